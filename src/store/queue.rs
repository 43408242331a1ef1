//! The outbound queue: messages on their way out, and the state of each recipient.
