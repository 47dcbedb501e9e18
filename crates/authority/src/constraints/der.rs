//! Name constraints as the DER of their extension: written by hand because rcgen has no URI subtrees,
//! read with x509-parser.

use std::net::IpAddr;

use x509_parser::extensions::{GeneralName, GeneralSubtree, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Constraint, ConstraintError, DirectoryName, NameConstraints};
use crate::der::{SEQUENCE, element};

/// GeneralName's tags (RFC 5280 §4.2.1.6), implicit and primitive.
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const IP: u8 = 0x87;
/// Explicit and constructed, since a `Name` is a choice.
const DIRECTORY: u8 = 0xa4;
/// The most subtrees of a certificate of somebody else that are looked at.
const MOST_SUBTREES: usize = 256;
const PERMITTED: u8 = 0xa0;
const EXCLUDED: u8 = 0xa1;

impl NameConstraints {
    /// The extension's value.
    pub(crate) fn to_der(&self) -> Vec<u8> {
        let mut both = Vec::new();
        for (tag, constraints) in [(PERMITTED, &self.permitted), (EXCLUDED, &self.excluded)] {
            if !constraints.is_empty() {
                let subtrees: Vec<u8> = constraints.iter().flat_map(subtree).collect();
                both.extend(element(tag, &subtrees));
            }
        }
        element(SEQUENCE, &both)
    }

    /// The constraints of a CA certificate that somebody else has made: of so many subtrees at most.
    pub(crate) fn of_foreign(der: &[u8]) -> Result<Self, ConstraintError> {
        Self::read(der, MOST_SUBTREES)
    }

    /// The constraints of a CA certificate of ours; none when it has no such extension.
    pub(crate) fn of_certificate(der: &[u8]) -> Result<Self, ConstraintError> {
        Self::read(der, usize::MAX)
    }

    fn read(der: &[u8], most: usize) -> Result<Self, ConstraintError> {
        let unreadable = |what: &str| ConstraintError::Unsupported(what.to_owned());
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| unreadable("unreadable certificate"))?;
        let extension = certificate
            .name_constraints()
            .map_err(|_| unreadable("more than one such extension, or an unreadable one"))?;
        let Some(extension) = extension else {
            let unparsed = certificate.extensions().iter().any(|extension| {
                extension.oid == x509_parser::oid_registry::OID_X509_EXT_NAME_CONSTRAINTS
                    && !matches!(extension.parsed_extension(), ParsedExtension::NameConstraints(_))
            });
            return if unparsed {
                Err(unreadable("unreadable extension"))
            } else {
                Ok(Self::default())
            };
        };
        let (permitted, excluded) =
            (&extension.value.permitted_subtrees, &extension.value.excluded_subtrees);
        let found: usize = [permitted, excluded].into_iter().flatten().map(Vec::len).sum();
        if found > most {
            return Err(ConstraintError::Unsupported(format!(
                "{found} subtrees, of at most {most}"
            )));
        }
        let side = |subtrees: &Option<Vec<GeneralSubtree<'_>>>| {
            subtrees.iter().flatten().map(constraint).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self { permitted: side(permitted)?, excluded: side(excluded)? })
    }
}

fn subtree(constraint: &Constraint) -> Vec<u8> {
    let base = match constraint {
        Constraint::Dns(base) => element(DNS, base.as_bytes()),
        Constraint::Email(base) => element(EMAIL, base.as_bytes()),
        Constraint::Uri(base) => element(URI, base.as_bytes()),
        Constraint::Ip { network, prefix } => element(IP, &address_and_mask(*network, *prefix)),
        Constraint::Directory(base) => element(DIRECTORY, base.der()),
    };
    element(SEQUENCE, &base)
}

fn address_and_mask(network: IpAddr, prefix: u8) -> Vec<u8> {
    match network {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            [four.octets(), mask.to_be_bytes()].concat()
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            [six.octets(), mask.to_be_bytes()].concat()
        }
    }
}

fn constraint(subtree: &GeneralSubtree<'_>) -> Result<Constraint, ConstraintError> {
    let text = match &subtree.base {
        GeneralName::DNSName(base) => format!("dns:{base}"),
        GeneralName::RFC822Name(base) => format!("email:{base}"),
        GeneralName::URI(base) => format!("uri:{base}"),
        GeneralName::IPAddress(bytes) => {
            return network(bytes)
                .ok_or_else(|| ConstraintError::Unsupported("an IP range with gaps".to_owned()));
        }
        GeneralName::DirectoryName(base) => {
            return DirectoryName::read(base.as_raw()).map(Constraint::Directory).ok_or_else(
                || ConstraintError::Unsupported("a name of a directory with gaps".to_owned()),
            );
        }
        other => return Err(ConstraintError::Unsupported(format!("{other}"))),
    };
    text.parse().map_err(|_| ConstraintError::Unsupported(text))
}

fn network(bytes: &[u8]) -> Option<Constraint> {
    let (address, mask) = bytes.split_at_checked(bytes.len() / 2)?;
    let (network, ones, zeros) = if let Ok(four) = <[u8; 4]>::try_from(address) {
        let mask = u32::from_be_bytes(mask.try_into().ok()?);
        (
            IpAddr::from(four),
            mask.leading_ones(),
            mask.trailing_zeros().min(32 - mask.leading_ones()),
        )
    } else {
        let mask = u128::from_be_bytes(mask.try_into().ok()?);
        let six: [u8; 16] = address.try_into().ok()?;
        (
            IpAddr::from(six),
            mask.leading_ones(),
            mask.trailing_zeros().min(128 - mask.leading_ones()),
        )
    };
    let width = if network.is_ipv4() { 32 } else { 128 };
    (ones + zeros == width).then_some(Constraint::Ip { network, prefix: u8::try_from(ones).ok()? })
}
