//! Why a certificate was not published.

use std::io;

use sealock_net::tls::TlsError;
use thiserror::Error;

use crate::dn::Dn;
use crate::location::Location;

/// An error of whoever knows the inventory.
pub type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Why a directory does not hold what it should.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Nobody said that this may go in the clear.
    #[error(
        "{0} is not asked without TLS: certificates could be put in and passwords read by anybody on the way"
    )]
    Plain(Location),
    /// Only who is on this host may name one that is.
    #[error("{0} is on the daemon's own host or link, which is for its administrator to name")]
    Local(Location),
    /// TLS within TLS, or on a socket of this host.
    #[error("{0} cannot have StartTLS")]
    StartTls(Location),
    /// A bind with a name and no password is an anonymous one, that succeeds.
    #[error("the password for the bind as {0} is empty")]
    EmptyPassword(Dn),
    /// The certificate for the bind would not be shown.
    #[error("a certificate binds over TLS only, and {0} would be asked without")]
    CertificateWithoutTls(Location),
    /// Roots, certificate or key.
    #[error("TLS for {location} cannot be set up")]
    Tls {
        /// Which directory.
        location: Location,
        /// Why not.
        source: TlsError,
    },
    /// The directory cannot be reached.
    #[error("cannot connect to {location}")]
    Connect {
        /// Which directory.
        location: Location,
        /// Why not.
        source: io::Error,
    },
    /// The directory is not who it should be, or speaks no TLS.
    #[error("the TLS handshake with {location} failed")]
    Handshake {
        /// Which directory.
        location: Location,
        /// Why.
        source: io::Error,
    },
    /// It does not begin TLS.
    #[error("the directory does not do StartTLS: {said}")]
    NoStartTls {
        /// Its own words.
        said: String,
    },
    /// The connection broke.
    #[error("the connection to the directory broke during {during}")]
    Broken {
        /// What was asked.
        during: &'static str,
        /// How.
        source: io::Error,
    },
    /// It took too long.
    #[error("the directory did not answer in time: {during}")]
    Late {
        /// What was asked.
        during: &'static str,
    },
    /// It said something else than LDAP.
    #[error("the directory's answer cannot be read: {why}")]
    Protocol {
        /// What is wrong with it.
        why: &'static str,
    },
    /// It said more than it may.
    #[error("the directory's answer is longer than {limit} bytes")]
    TooLong {
        /// How long it may be.
        limit: usize,
    },
    /// Another server is to be asked.
    #[error("the directory refers to another server for {dn}, and referrals are not followed")]
    Referral {
        /// The entry.
        dn: Dn,
    },
    /// It ends the connection by itself (RFC 4511 §4.4.1).
    #[error("the directory ends the connection: {said}")]
    Disconnects {
        /// Its own words.
        said: String,
    },
    /// Name, password or certificate are not taken.
    #[error("the directory does not take the bind{who}: {said}")]
    Bind {
        /// As whom.
        who: String,
        /// Its own words.
        said: String,
    },
    /// There is no such entry.
    #[error("the directory has no entry {0}")]
    NoEntry(Dn),
    /// Nothing of the entry's name can be its own.
    #[error("{dn} cannot be made as a {kind}: the first part must be {wanted}")]
    Shape {
        /// The entry.
        dn: Dn,
        /// What it was to be.
        kind: &'static str,
        /// What its name may be made of.
        wanted: &'static str,
    },
    /// The directory said no.
    #[error("the directory refused {during} of {dn}: {said}")]
    Refused {
        /// What was asked.
        during: &'static str,
        /// The entry.
        dn: Dn,
        /// The result code (RFC 4511 appendix A).
        code: u32,
        /// Its name, and the directory's own words.
        said: String,
    },
    /// Somebody else writes all the time.
    #[error("{0} is changed by somebody else all the time")]
    Contended(Dn),
    /// Whose certificates those in the entry are cannot be found out.
    #[error("what is in the directory cannot be held against the inventory")]
    Inventory(#[source] BoxedError),
}

impl DirectoryError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Plain(_) => "write ldaps://, or give --start-tls (start_tls = true)",
            Self::Local(_) => {
                "name a directory of the daemon's settings, or run it on the daemon's host"
            }
            Self::StartTls(_) => "leave --start-tls (start_tls) out: it is for ldap:// only",
            Self::EmptyPassword(_) => {
                "write the password into the file; to bind as nobody, leave --bind-dn (bind_dn) out"
            }
            Self::CertificateWithoutTls(_) => "write ldaps://, or give --start-tls",
            Self::NoStartTls { .. } => "write ldaps://, or have the directory set up for TLS",
            Self::Connect { .. } => "is the directory running, and are host and port right?",
            Self::Handshake { .. } => {
                "the directory's certificate must be for the host in the URL, and come from Sealock's CA or the one of --ca (ca_file)"
            }
            Self::Late { .. } => "is it the right port? ldaps:// and ldap:// have different ones",
            Self::Protocol { .. } => {
                "is it an LDAP server, and the right port? ldaps:// and ldap:// have different ones"
            }
            Self::Referral { .. } => "give the URL of the server that has the entry",
            Self::Bind { .. } => {
                "check the bind DN and the password, or which entry the directory takes the certificate for"
            }
            Self::NoEntry(_) => {
                "check the DN, or have the entry made: --create person or --create device"
            }
            Self::Shape { .. } => "give another DN, or have the entry made by other means",
            Self::Refused { code, .. } => return hint_for(*code),
            Self::Contended(_) => "run it again in a while",
            _ => return None,
        })
    }

    /// Whether it may be better in a while without anybody doing anything.
    pub const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Broken { .. }
                | Self::Late { .. }
                | Self::Disconnects { .. }
                | Self::Contended(_)
                | Self::Inventory(_)
        )
    }

    /// Whether the entry may have been changed all the same: the answer to a change is missing, or cannot be read.
    pub fn may_have_changed(&self) -> bool {
        matches!(self, Self::Broken { during, .. } | Self::Late { during } if CHANGES.contains(during))
            || matches!(
                self,
                Self::Protocol { .. } | Self::TooLong { .. } | Self::Disconnects { .. }
            )
    }
}

/// What changes an entry, as it is called in errors.
const CHANGES: [&str; 3] = ["the change", "the making", WHOLE];
/// All of it together.
pub(crate) const WHOLE: &str = "the publication as a whole";

fn hint_for(code: u32) -> Option<&'static str> {
    Some(match code {
        13 => "the directory wants TLS: write ldaps://, or give --start-tls",
        16 | 17 => "does its schema have userCertificate (RFC 4523)?",
        21 | 65 => {
            "the entry must be of a class that has userCertificate: inetOrgPerson has it, others need pkiUser as well"
        }
        32 => "the parent of the entry must be there",
        50 => "the one who binds needs the right to write userCertificate there",
        _ => return None,
    })
}
