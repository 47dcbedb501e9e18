//! Why a token did not do what it was asked.

use std::time::Duration;

use sealock_hsm_wire::Why;
use thiserror::Error;

use crate::file::ModuleError;

/// Why a token did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HsmError {
    /// The module is not loaded.
    #[error("the PKCS#11 module is not loaded")]
    File(#[from] ModuleError),
    /// It cannot be loaded, or is none.
    #[error("the PKCS#11 module cannot be loaded: {0}")]
    Module(String),
    /// The helper does not start.
    #[error("the program that loads PKCS#11 modules does not start: {0}")]
    Start(String),
    /// There is no PIN.
    #[error("there is no PIN for the HSM: {0}")]
    NoPin(String),
    /// It was refused now.
    #[error("the HSM refuses the PIN")]
    PinWrong,
    /// It was refused before.
    #[error("the HSM has refused this PIN; it is not tried again")]
    PinRefused,
    /// It was tried, and nobody knows how that ended.
    #[error(
        "a login to the HSM with this PIN was begun and came to no end; it is not tried again by itself"
    )]
    PinUnsure,
    /// What becomes of a login cannot be remembered, so none is begun.
    #[error("what becomes of a login to the HSM cannot be written down: {0}")]
    Unwritten(String),
    /// One more wrong one would lock the token.
    #[error("the HSM says that one more wrong PIN locks it, so none is tried")]
    PinLast,
    /// It is locked.
    #[error("the HSM has locked its PIN")]
    PinLocked,
    /// The token is not there.
    #[error("the HSM does not answer: no token there is the one that the settings name: {0}")]
    NoToken(String),
    /// The settings mean several.
    #[error("more than one token is what the settings name")]
    ManyTokens,
    /// The key is in another token.
    #[error("the key is in the token with the serial number {wanted}, and {found} is there")]
    OtherToken {
        /// Where the key is.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// The key is not there.
    #[error("the HSM does not have the key: {0}")]
    Key(String),
    /// It cannot do this.
    #[error("the HSM cannot do that: {0}")]
    Mechanism(String),
    /// The key does not leave it.
    #[error("the key does not leave the HSM: {0}")]
    Stays(String),
    /// It refused or failed otherwise.
    #[error("the HSM refuses: {0}")]
    Failed(String),
    /// It is gone.
    #[error("the HSM does not answer: {0}")]
    Gone(String),
    /// The helper has ended.
    #[error("the HSM does not answer: the module has ended its process{0}")]
    Died(String),
    /// It took too long.
    #[error("the HSM does not answer within {0:?}")]
    Deadline(Duration),
    /// Too many wait for it.
    #[error("the HSM does not answer: too much is waiting for it already")]
    Busy,
    /// Bytes that are no answer.
    #[error("the HSM does not answer: what came is no answer ({0})")]
    Nonsense(String),
}

impl HsmError {
    pub(crate) fn refused(why: Why, text: String) -> Self {
        match why {
            Why::Module => Self::Module(text),
            Why::NoToken => Self::NoToken(text),
            Why::ManyTokens => Self::ManyTokens,
            Why::PinWrong => Self::PinWrong,
            Why::PinLast => Self::PinLast,
            Why::PinLocked => Self::PinLocked,
            Why::Key => Self::Key(text),
            Why::Mechanism => Self::Mechanism(text),
            Why::Stays => Self::Stays(text),
            Why::Failed => Self::Failed(text),
            Why::Gone => Self::Gone(text),
            Why::Order => Self::Nonsense(text),
        }
    }

    /// Whether the same may work later, with nothing changed by a person here; or, of a login that came to no end, whether
    /// everything else has to go on meanwhile as it does then.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::NoToken(_)
                | Self::Gone(_)
                | Self::Died(_)
                | Self::Deadline(_)
                | Self::Busy
                | Self::Nonsense(_)
                | Self::Unwritten(_)
                | Self::PinUnsure
        )
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::File(ModuleError::Missing { .. }) => {
                "hsm.module must be the path of the HSM's PKCS#11 library, and that is not there: is the vendor's package installed?"
            }
            Self::File(
                ModuleError::Relative(_) | ModuleError::NoFile(_) | ModuleError::Text(_),
            ) => "hsm.module must be the absolute path of the HSM's PKCS#11 library",
            Self::File(_) => {
                "the module's file and its folders must be root's, and written to by nobody else"
            }
            Self::Module(_) => "hsm.module must be a PKCS#11 module for this machine",
            Self::Start(_) => {
                "a module needs this machine's C library (glibc): in an image without one there is no HSM"
            }
            Self::NoPin(_) => "set hsm.pin_file, or give the systemd credential sealock-hsm-pin",
            Self::PinWrong | Self::PinRefused => {
                "correct the PIN: a token locks itself after a few wrong ones; `sealock ca retry-pin` has this one tried once more"
            }
            Self::PinUnsure => {
                "a wrong PIN that is tried again and again locks a token: make sure that it is right, then `sealock ca retry-pin`"
            }
            Self::Unwritten(_) => "see to the disk of the state folder",
            Self::PinLast => {
                "log in once with the right PIN by the vendor's own tool, then start again"
            }
            Self::PinLocked => "the HSM's security officer unlocks it by the vendor's own tool",
            Self::ManyTokens => "name one by its serial number: hsm.token = \"pkcs11:serial=…\"",
            Self::OtherToken { .. } | Self::Key(_) => {
                "put the HSM back that has the key, or make new keys with `sealock ca rotate`"
            }
            Self::Mechanism(_) => "p256, p384 and rsa3072 are what most HSMs have",
            Self::Stays(_) => {
                "make new keys with `sealock ca rotate`; a key that was born in an HSM stays there"
            }
            Self::Failed(_) => "the HSM's own log may say more",
            Self::NoToken(_) => {
                "hsm.token names it by its label or as pkcs11:serial=…; is none or another one there, the module may look elsewhere: hsm.environment, such as SOFTHSM2_CONF=/etc/softhsm2.conf"
            }
            Self::Gone(_) | Self::Died(_) | Self::Deadline(_) | Self::Busy | Self::Nonsense(_) => {
                "nothing was signed or recorded; it works again as soon as the HSM does"
            }
        }
    }
}
