//! Why what came back from another authority was not taken.

use sealock_core::Timestamp;
use thiserror::Error;

use crate::constraints::Violation;

/// Why a pile of certificates was refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImportError {
    /// No certificate at all.
    #[error("there is no certificate in what was given")]
    Empty,
    /// More than anybody sends.
    #[error("{0} certificates are more than are looked at ({max})", max = super::MOST_CERTIFICATES)]
    TooMany(usize),
    /// Not a certificate.
    #[error("certificate {number} cannot be read: {why}")]
    Unreadable {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No certificate is for the key.
    #[error("no certificate is for this key; there are certificates for {}", found.join("; "))]
    OtherKey {
        /// The subjects that are there.
        found: Vec<String>,
    },
    /// A private key that nothing that came along is for.
    #[error(
        "no certificate is for the private key that came along; there are certificates for {}",
        found.join("; ")
    )]
    StrayKey {
        /// The subjects that are there.
        found: Vec<String>,
    },
    /// What is served lasts longer.
    #[error("it ends at {until}, and what is served now at {served}")]
    Shorter {
        /// When the one that came ends.
        until: Timestamp,
        /// When the one that is served ends.
        served: Timestamp,
    },
    /// Names that were asked for are not there.
    #[error("the certificate lacks names that were asked for: {}", missing.join(", "))]
    NamesMissing {
        /// Which.
        missing: Vec<String>,
    },
    /// Names that were not asked for are there.
    #[error("the certificate has names that were not asked for: {}", extra.join(", "))]
    NamesAdded {
        /// Which.
        extra: Vec<String>,
    },
    /// Too early.
    #[error("{subject} is valid only from {from}")]
    NotYetValid {
        /// Which certificate.
        subject: String,
        /// From when.
        from: Timestamp,
    },
    /// Too late.
    #[error("{subject} has expired at {at}")]
    Expired {
        /// Which certificate.
        subject: String,
        /// When.
        at: Timestamp,
    },
    /// It may not be used for what it is wanted for.
    #[error("{subject} does not permit the usage {usage}")]
    Usage {
        /// Which certificate.
        subject: String,
        /// `server`, `client`, `code` or `email`.
        usage: &'static str,
    },
    /// The leaf is a CA.
    #[error("{subject} is the certificate of a CA, and nothing serves with that")]
    LeafIsAuthority {
        /// Which certificate.
        subject: String,
    },
    /// An issuer is none.
    #[error("{subject} stands as an issuer in the chain, but is not the certificate of a CA")]
    NotAuthority {
        /// Which certificate.
        subject: String,
    },
    /// An issuer may not sign certificates.
    #[error(
        "{subject} stands as an issuer in the chain, but its key usage has no certificate signing"
    )]
    NoCertSign {
        /// Which certificate.
        subject: String,
    },
    /// More CAs below one than it permits.
    #[error("{subject} permits {permitted} CAs below it, and there are {found}")]
    PathLength {
        /// Which certificate.
        subject: String,
        /// How many it permits.
        permitted: u32,
        /// How many there are.
        found: usize,
    },
    /// A name outside an issuer's constraints.
    #[error("{name} is outside the name constraints of {subject}: {violation}")]
    Constrained {
        /// The name.
        name: String,
        /// Whose constraints.
        subject: String,
        /// How it disagrees.
        violation: Violation,
    },
    /// Constraints that cannot be checked.
    #[error("the name constraints of {subject} cannot be checked: {what}")]
    Constraints {
        /// Whose.
        subject: String,
        /// What of them.
        what: String,
    },
    /// Not the issuer's signature.
    #[error("the signature on {subject} is not that of {issuer}")]
    Signature {
        /// Which certificate.
        subject: String,
        /// Who should have signed it.
        issuer: String,
    },
    /// By the name the issuer is there, by the key identifier it is another.
    #[error("{subject} is signed by another key than that of the {what} {issuer} that is here")]
    OtherIssuerKey {
        /// Which certificate.
        subject: String,
        /// Who it says has signed it.
        issuer: String,
        /// `root` or `CA`.
        what: &'static str,
    },
    /// Algorithms that are broken, or keys that are too small.
    #[error("{subject} is too weak: {why}")]
    Weak {
        /// Which certificate.
        subject: String,
        /// What of it.
        why: String,
    },
    /// The chain does not go on.
    #[error("the certificate of {issuer}, who has signed {subject}, is missing")]
    Missing {
        /// Whose certificate is missing.
        issuer: String,
        /// What it has signed.
        subject: String,
        /// Where it is said to be.
        url: Option<String>,
    },
    /// It ends at a root that nobody has added.
    #[error("the chain ends at a root that is not known: {subject}, SHA-256 {fingerprint}")]
    UnknownRoot {
        /// The root.
        subject: String,
        /// Of its DER, in hex.
        fingerprint: String,
    },
    /// The issuers sign each other.
    #[error("the chain goes round in a loop at {subject}, and reaches no root")]
    Loop {
        /// Where.
        subject: String,
    },
    /// Longer than any chain is.
    #[error("the chain is longer than {0} certificates")]
    TooDeep(usize),
    /// So many certificates for one name that not all ways were tried.
    #[error("the certificates make up too many chains to try them all")]
    TooManyWays,
    /// A leaf, where a CA is wanted.
    #[error("{subject} is for this key, but is not the certificate of a CA")]
    AuthorityWanted {
        /// Which certificate.
        subject: String,
    },
    /// A CA without a name.
    #[error("the certificate of the CA has no subject")]
    NoSubject,
    /// It could not sign its own revocation lists.
    #[error("the key usage of {subject} has no signing of revocation lists")]
    NoListSign {
        /// Which certificate.
        subject: String,
    },
    /// Nothing that is certified here.
    #[error(
        "{subject} permits certificates below it neither of servers or clients nor for code or e-mail"
    )]
    NoPurpose {
        /// Which certificate.
        subject: String,
    },
    /// What clients do not know they must refuse.
    #[error("{subject} has the critical extension {extension}, which is not known here")]
    Critical {
        /// Which certificate.
        subject: String,
        /// Its object identifier.
        extension: String,
    },
    /// A name of one of our own issuers.
    #[error("{subject} is how this authority's own issuers are called")]
    OwnName {
        /// Which certificate.
        subject: String,
    },
    /// A key that signs already, under another name.
    #[error("{subject} is for a key that signs already, as {before}")]
    OtherSubject {
        /// The certificate's.
        subject: String,
        /// That of the certificate before.
        before: String,
    },
    /// A key that signs already, with another identifier.
    #[error("{subject} has another key identifier than the certificate before, for the same key")]
    OtherIdentifier {
        /// Which certificate.
        subject: String,
    },
    /// What verifiers would say, where nothing above has said it first.
    #[error("the chain from {subject} would not be accepted by verifiers: {why}")]
    Verifier {
        /// The leaf.
        subject: String,
        /// What the verifier said.
        why: String,
    },
}

impl ImportError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Empty => "give the files that came back: PEM, DER, .p7b, .pfx".to_owned(),
            Self::OtherKey { .. } => {
                "it may be for an older CSR: send the one that waits".to_owned()
            }
            Self::StrayKey { .. } => {
                "leave the key out, or give the certificate that is for it".to_owned()
            }
            Self::Shorter { .. } => {
                "if it is meant, import it by itself with --accept-shorter".to_owned()
            }
            Self::OtherIssuerKey { what: "root", .. } => {
                "it is not from the CA of that root; if that has a new root of the same name: `sealock trust add FILE`"
                    .to_owned()
            }
            Self::OtherIssuerKey { .. } => {
                "give the certificate of the CA that has signed it along, which has the same name".to_owned()
            }
            Self::NamesMissing { .. } => {
                "have it signed again with these names, or ask for others with --replace".to_owned()
            }
            Self::NamesAdded { .. } => {
                "if they are meant, import it again with --accept-names".to_owned()
            }
            Self::Usage { .. } => {
                "have it signed again with this extended key usage, or ask without it (--usage)".to_owned()
            }
            Self::NotYetValid { .. } => "wait, or set the clock of this host right".to_owned(),
            Self::Missing { url: Some(url), .. } => {
                format!("get it from {url} (it is not fetched), and give it along with the others")
            }
            Self::Missing { url: None, .. } => {
                "give it along with the others; if it is the root: `sealock trust add FILE`".to_owned()
            }
            Self::AuthorityWanted { .. } | Self::NoListSign { .. } => {
                "have it signed as the CSR asks: a CA that signs certificates and revocation lists".to_owned()
            }
            Self::OwnName { .. } => "have it signed under another subject".to_owned(),
            Self::OtherSubject { .. } | Self::OtherIdentifier { .. } => {
                "what it has signed would no longer be good: ask for a new key with `sealock ca request`".to_owned()
            }
            Self::UnknownRoot { .. } => {
                "compare the fingerprint with the one that your CA publishes, then: `sealock trust add FILE`"
                    .to_owned()
            }
            Self::Expired { .. } | Self::Weak { .. } => {
                "have it signed again, and ask for the chain of today".to_owned()
            }
            _ => return None,
        })
    }

    /// Whether what is missing may still come, in another file.
    pub fn may_be_completed(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::OtherIssuerKey { .. })
    }
}
