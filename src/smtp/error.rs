//! Why we say no: faults of the text become replies here, refusals of the rooms have their answers from
//! submission.

use super::{Reply, command::Syntax};
use crate::{
    delivery::{self, Refusal},
    mail,
    submission::{self, Answer},
};

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::new(answer.code, answer.enhanced, answer.text)
    }
}

impl From<&Syntax> for Reply {
    fn from(fault: &Syntax) -> Self {
        let (code, enhanced) = match fault {
            Syntax::Unknown => (500, "5.5.1"),
            Syntax::NotUtf8 => (500, "5.5.2"),
            Syntax::Arguments(_) | Syntax::Bdat => (501, "5.5.4"),
            Syntax::Envelope(fault) => return Answer::from(fault).into(),
        };
        Self::new(code, enhanced, fault.to_string())
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Answer::from(refusal).into()
    }
}

impl From<&mail::Error> for Reply {
    fn from(error: &mail::Error) -> Self {
        Answer::from(error).into()
    }
}

/// What delivery says no to.
pub(super) fn reply_to_delivery(error: &delivery::Error) -> Reply {
    Answer::from(error).into()
}

impl From<&submission::Error> for Reply {
    fn from(error: &submission::Error) -> Self {
        Answer::from(error).into()
    }
}
