//! The values of labels, each parsed into its own type.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use sealock_core::name::NameError;
use sealock_core::span::parse_span;
use sealock_core::{DnsName, SecretName, SubjectName};
use sealock_transfer::landing::Owner;
use serde::{Deserialize, Serialize};

use super::error::shortened;
use super::{LabelError, suggest};

/// The shortest life that can be asked for. Renewal at two thirds must still leave time to deliver.
pub const MINIMUM_TTL: Duration = Duration::from_secs(5);
/// The longest life that can be asked for: what browsers accept of a server (398 days).
pub const MAXIMUM_TTL: Duration = Duration::from_secs(398 * 86_400);

/// The life that is asked for where neither label nor profile says.
pub const USUAL_TTL: Duration = Duration::from_secs(86_400);

pub(super) fn members(text: &str, limit: usize) -> Result<Vec<&str>, LabelError> {
    let members: Vec<&str> = text.split(',').map(str::trim).collect();
    if members.iter().all(|member| member.is_empty()) {
        return Err(LabelError::Empty);
    }
    if members.len() > limit {
        return Err(LabelError::TooManyNames { limit });
    }
    Ok(members)
}

fn without_doubles<T: PartialEq>(members: Vec<T>) -> Vec<T> {
    let mut kept = Vec::with_capacity(members.len());
    for member in members {
        if !kept.contains(&member) {
            kept.push(member);
        }
    }
    kept
}

pub(super) fn dns_names(text: &str, limit: usize) -> Result<Vec<DnsName>, LabelError> {
    let names: Result<Vec<DnsName>, NameError> =
        members(text, limit)?.into_iter().map(str::parse).collect();
    Ok(without_doubles(names?))
}

pub(super) fn addresses(text: &str, limit: usize) -> Result<Vec<IpAddr>, LabelError> {
    let mut addresses = Vec::new();
    for member in members(text, limit)? {
        if let SubjectName::Ip(address) = SubjectName::ip(member)? {
            addresses.push(address);
        }
    }
    Ok(without_doubles(addresses))
}

pub(super) fn ttl(text: &str) -> Result<Duration, LabelError> {
    let span = parse_span(text)?;
    if (MINIMUM_TTL..=MAXIMUM_TTL).contains(&span) {
        Ok(span)
    } else {
        Err(LabelError::TtlRange { text: shortened(text) })
    }
}

/// Octal, three or four digits. The owner must be able to read; a key or secret that others can write,
/// or that is executable or setuid, is never meant.
pub(super) fn mode(text: &str) -> Result<u32, LabelError> {
    let refused = |why| LabelError::Mode { text: shortened(text), why };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let octal = Some(text).filter(|_| digits && (3..=4).contains(&text.len()));
    let mode = octal
        .and_then(|text| u32::from_str_radix(text, 8).ok())
        .ok_or_else(|| refused("three or four octal digits, such as 0400"))?;
    match mode {
        _ if mode & !0o777 != 0 => {
            Err(refused("permissions only, no setuid, setgid or sticky bit"))
        }
        _ if mode & 0o111 != 0 => Err(refused("what is read is not executable")),
        _ if mode & 0o022 != 0 => Err(refused("group and others must not write it")),
        _ if mode & 0o400 == 0 => Err(refused("its owner must be able to read it")),
        _ => Ok(mode),
    }
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Usages {
    /// TLS server (id-kp-serverAuth).
    pub server: bool,
    /// TLS client (id-kp-clientAuth).
    pub client: bool,
}

impl FromStr for Usages {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut usages = Self { server: false, client: false };
        for member in members(text, 8)? {
            match member {
                "server" => usages.server = true,
                "client" => usages.client = true,
                other => return Err(LabelError::Usage { text: shortened(other) }),
            }
        }
        Ok(usages)
    }
}

/// The kind of key of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA with 3,072 bits.
    Rsa3072,
}

impl FromStr for KeyType {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "p256" => Ok(Self::P256),
            "p384" => Ok(Self::P384),
            "ed25519" => Ok(Self::Ed25519),
            "rsa3072" => Ok(Self::Rsa3072),
            other => {
                let nearest = suggest::nearest(other, &["p256", "p384", "ed25519", "rsa3072"]);
                Err(LabelError::KeyType { text: shortened(other), nearest })
            }
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Ed25519 => "ed25519",
            Self::Rsa3072 => "rsa3072",
        })
    }
}

/// An owner as `chown` takes it: user and perhaps group, each a number or a name that the container's
/// own user database knows.
pub(super) fn owner(text: &str) -> Result<Owner, LabelError> {
    text.parse().map_err(|_| LabelError::Owner { text: shortened(text) })
}

/// The name of the secret that is a password. What stands there may be the password itself by mistake, so it is not
/// repeated.
pub(super) fn password(text: &str) -> Result<SecretName, LabelError> {
    if text.is_empty() {
        return Err(LabelError::Empty);
    }
    text.parse().map_err(|_| LabelError::PasswordName)
}

/// The only thing that can be said: what must not be is said by saying nothing.
pub(super) fn allowed(text: &str) -> Result<bool, LabelError> {
    if text == "allowed" { Ok(true) } else { Err(LabelError::OnDisk { text: shortened(text) }) }
}
