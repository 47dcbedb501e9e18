//! What a module says went wrong, in our words.

use cryptoki::error::{Error, RvError};
use sealock_hsm_wire::{LONGEST_TEXT, Reply, Why};

/// Why something was not done.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) why: Why,
    pub(crate) text: String,
}

impl Refusal {
    pub(crate) fn new(why: Why, text: impl Into<String>) -> Self {
        Self { why, text: text.into() }
    }

    /// The module could not be loaded.
    pub(crate) fn module(error: &Error) -> Self {
        Self::new(Why::Module, error.to_string())
    }

    pub(crate) fn reply(self) -> Reply {
        let mut text = self.text;
        let end = (0..=LONGEST_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        Reply::Refused { why: self.why, text }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match &error {
            Error::Pkcs11(value, function) => {
                Self::new(why(*value), format!("C_{function:?}: {value:?}"))
            }
            Error::NotSupported | Error::NullFunctionPointer => {
                Self::new(Why::Mechanism, error.to_string())
            }
            _ => Self::new(Why::Failed, error.to_string()),
        }
    }
}

fn why(value: RvError) -> Why {
    use RvError as E;
    match value {
        E::PinIncorrect | E::PinInvalid | E::PinLenRange => Why::PinWrong,
        E::PinLocked => Why::PinLocked,
        E::MechanismInvalid
        | E::MechanismParamInvalid
        | E::FunctionNotSupported
        | E::CurveNotSupported
        | E::DomainParamsInvalid
        | E::TemplateInconsistent => Why::Mechanism,
        E::KeyUnextractable | E::AttributeSensitive | E::KeyNotWrappable => Why::Stays,
        E::DeviceError
        | E::DeviceRemoved
        | E::TokenNotPresent
        | E::TokenNotRecognized
        | E::SessionClosed
        | E::SessionHandleInvalid
        | E::UserNotLoggedIn
        | E::CryptokiNotInitialized
        // Handles are those that this token has given: it is another one, or away.
        | E::KeyHandleInvalid
        | E::ObjectHandleInvalid
        | E::GeneralError => Why::Gone,
        _ => Why::Failed,
    }
}
