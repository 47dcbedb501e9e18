//! What can go wrong with issuers under roots of others.

use sealock_core::IssuerName;
use thiserror::Error;

use crate::error::AuthorityError;
use crate::imported::ImportError;

/// The most names of issuers that there may be, our own not counted.
pub(super) const MOST: usize = 32;

/// Why an issuer was not asked for, taken or changed. Nothing has changed.
#[derive(Debug, Error)]
pub enum IssuerError {
    /// The name of our own intermediate.
    #[error("`own` is the issuer under this authority's own root")]
    Own,
    /// Our own signs what the daemon itself needs.
    #[error(
        "`own` is the issuer under this authority's own root: it cannot be disabled, and nothing waits for it"
    )]
    OwnStays,
    /// No more room.
    #[error("there are {MOST} issuers already")]
    TooMany,
    /// A CA without a name.
    #[error("a CA needs a subject")]
    NoSubject,
    /// A name that is taken for one of our own issuers'.
    #[error("{0} is how this authority's own issuers are called")]
    OwnSubject(String),
    /// The same name with other wishes.
    #[error("`{0}` waits for a signature already, and for another subject or kind of key")]
    OtherWishes(IssuerName),
    /// Nothing of that name.
    #[error("there is no issuer `{0}`")]
    Unknown(IssuerName),
    /// There is nothing to cancel.
    #[error("`{0}` waits for no signature")]
    NotWaiting(IssuerName),
    /// What came back.
    #[error("the certificate for the issuer `{name}` was not taken")]
    Import {
        /// For which.
        name: IssuerName,
        /// Why not.
        source: ImportError,
    },
    /// Others are at it.
    #[error("`{0}`, or the known roots, changed again and again while the certificate was checked")]
    Changed(IssuerName),
    /// The state.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl IssuerError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Own => "it needs no certificate from elsewhere; choose another name".into(),
            Self::OwnStays => {
                "the daemon needs it; policy says who may have certificates of it: context.issuer == \"own\"".into()
            }
            Self::NoSubject => {
                "give one with --subject, such as CN=Docker Issuing CA,O=Corp".into()
            }
            Self::OwnSubject(_) => {
                "whoever reads a bundle tells by names what is ours: ask for another subject".into()
            }
            Self::OtherWishes(name) => format!(
                "`sealock ca request {name} --show` prints what waits; --replace makes a new key and CSR"
            ),
            Self::Unknown(name) => {
                format!("see `sealock ca list`; `sealock ca request {name} --subject …` makes one")
            }
            Self::NotWaiting(name) => {
                format!("`sealock ca request {name}` makes the next key and CSR")
            }
            Self::Import { name, source: ImportError::OtherKey { .. } } => format!(
                "it may be for an older CSR: send the one that `sealock ca request {name} --show` prints"
            ),
            Self::Import { source, .. } => return source.hint(),
            Self::Changed(_) => "import it again".into(),
            Self::Authority(error) => return error.hint(),
            Self::TooMany => return None,
        })
    }
}
