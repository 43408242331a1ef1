//! Sockets, with no mail in sight: connections and TLS, who may connect, bytes to whole frames,
//! answers on their way out, and names to addresses.
//!
//! Nothing here knows a protocol's commands. Nothing is generic over the connection: a
//! [`Stream`] is one type that turns on TLS in its place. A door opens it as an [`Input`] and an
//! [`Output`] by [`open`].

mod deflate;
pub mod dns;
pub mod frame;
pub mod imap_client;
pub mod input;
mod layer;
pub mod limits;
pub mod listen;
pub mod memory;
pub mod output;
pub mod pace;
pub mod stream;
pub mod tls;

pub use dns::{DnsError, Exchange, MailHosts, Resolver};
pub use frame::{BadLine, Damage, Data, LineEnds, Literal};
pub use input::{DataBody, Input, InputError, Octets};
pub use limits::{ConnectionLimits, Connections, Permit, Refusal};
pub use listen::{BindError, Connection, Listener};
pub use memory::{InflationLimits, Memory, MemoryLimits, OutputLimits, Share};
pub use output::{Output, OutputError};
pub use pace::Rate;
pub use stream::{Stream, open};
pub use tls::{ClientTls, Protocol, ServerTls, TlsError};
