//! What a sender offers, and to whom: the first message of a transfer, and what both sides bind into
//! the session's keys.

use std::fmt;

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use crate::codec::{CodecError, Decoder, Encoder};
use crate::container::ContainerId;
use crate::landing::Owner;
use crate::member::{COMPONENT_LIMIT, PATH_LIMIT};
use crate::plan::{Announced, Shape};

/// The version of everything that passes between sender and receiver.
pub const VERSION: u8 = 1;
/// The version of an offer. The second one says whether only memory will do as a destination: a receiver
/// that does not know of this must not take it.
const OFFER_VERSION: u8 = 2;
/// What the name of a receiver begins with that was put into a container for one transfer, and removes
/// itself when it is started.
pub const PLACED_PREFIX: &str = ".sealock-receiver-";

/// Whether a file of this name is such a receiver.
pub fn is_placed(name: &str) -> bool {
    name.starts_with(PLACED_PREFIX)
}

/// The longest text of an owner: two names and a colon.
const OWNER_LIMIT: usize = 600;
/// The longest URL that is accepted.
pub const URL_LIMIT: usize = 512;

/// Names a transfer in messages, logs and the audit stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransferId([u8; 16]);

impl TransferId {
    /// A new one, by chance. `None` when the system has no randomness.
    pub fn generate() -> Option<Self> {
        let mut bytes = [0; 16];
        rand::fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// From its 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for TransferId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for TransferId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The secret by which sender and receiver of one transfer know one another. It travels on the
/// standard input of exec, or in a ticket, and nowhere else.
#[derive(Clone)]
pub struct OneTimeSecret(Zeroizing<[u8; 32]>);

impl OneTimeSecret {
    /// A new one, by chance. `None` when the system has no randomness.
    pub fn generate() -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(bytes.as_mut_slice()).ok()?;
        Some(Self(bytes))
    }

    /// From its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for OneTimeSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OneTimeSecret(redacted)")
    }
}

/// Which container, and which run of it, a transfer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The container.
    pub container: ContainerId,
    /// Since when it runs, as the engine says it: nanoseconds since 1970.
    pub started: u64,
    /// Whether the container has a pid namespace of its own, so that its first process shows since
    /// when it runs.
    pub start_shows: bool,
    /// The container whose network it uses, when it is another's (`--network container:X`).
    pub network_of: Option<ContainerId>,
}

/// How the sealed bytes come to the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// On the same standard input as the offer.
    Here,
    /// By one GET.
    Url(Address),
}

/// Where a listener waits, and how it is known.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// `https://<ip>:<port>/<path>`. The path is a secret of its own.
    pub url: String,
    /// The SHA-256 of the listener's certificate.
    pub pin: [u8; 32],
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Address(redacted)")
    }
}

/// What is to land where, as a person asked for it: the receiver settles it among the files that it
/// sees (see [`settle`](crate::landing::Root::settle)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The path in the container.
    pub path: String,
    /// The name of the one file that is to come, if it is one: empty when it has none.
    pub one_file: Option<String>,
    /// Who is to own it; without, the receiver's own user.
    pub owner: Option<Owner>,
    /// The permission bits of every file; without, those of the source.
    pub mode: Option<u32>,
    /// How much there is.
    pub announced: Announced,
    /// Whether it must land on a file system in memory.
    pub memory_only: bool,
}

impl Wanted {
    /// Whether one file is to come or a folder.
    pub fn shape(&self) -> Shape {
        shape(self.one_file.as_deref())
    }
}

pub(crate) fn shape(one_file: Option<&str>) -> Shape {
    if one_file.is_some() { Shape::File } else { Shape::Folder }
}

/// The first message: what is to come, for whom, and the secret.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Names the transfer.
    pub transfer: TransferId,
    /// By which both sides know one another.
    pub secret: OneTimeSecret,
    /// For whom.
    pub bound: Bound,
    /// How the bytes come.
    pub reach: Reach,
    /// What is to land where.
    pub wanted: Wanted,
}

impl Offer {
    /// As a message. The only one that holds the secret.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut encoder = Encoder::new();
        encoder.byte(OFFER_VERSION);
        encoder.fixed(self.transfer.as_bytes()).fixed(self.secret.expose());
        self.encode_terms(&self.bound.container, &mut encoder);
        encoder.finish()
    }

    /// Reads the message.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut decoder = Decoder::new(bytes);
        match decoder.byte()? {
            OFFER_VERSION => {}
            other => return Err(CodecError::Version(other)),
        }
        let offer = Self {
            transfer: TransferId(decoder.array()?),
            secret: OneTimeSecret::from_bytes(decoder.array()?),
            bound: decode_bound(&mut decoder)?,
            reach: decode_reach(&mut decoder)?,
            wanted: decode_wanted(&mut decoder)?,
        };
        decoder.finish()?;
        Ok(offer)
    }

    /// What the session's keys bind, where `container` is the one that the side which asks knows by
    /// itself.
    pub(crate) fn context(&self, container: &ContainerId) -> Zeroizing<Vec<u8>> {
        let mut encoder = Encoder::new();
        encoder.byte(VERSION).byte(b'C').fixed(self.transfer.as_bytes());
        self.encode_terms(container, &mut encoder);
        encoder.finish()
    }

    fn encode_terms(&self, container: &ContainerId, encoder: &mut Encoder) {
        let bound = &self.bound;
        encoder.fixed(container.as_bytes()).number(bound.started).flag(bound.start_shows);
        encoder.flag(bound.network_of.is_some());
        if let Some(other) = &bound.network_of {
            encoder.fixed(other.as_bytes());
        }
        encoder.flag(matches!(self.reach, Reach::Url(_)));
        if let Reach::Url(address) = &self.reach {
            encode_address(address, encoder);
        }
        encode_wanted(&self.wanted, encoder);
    }
}

fn decode_bound(decoder: &mut Decoder<'_>) -> Result<Bound, CodecError> {
    Ok(Bound {
        container: ContainerId::from_bytes(decoder.array()?),
        started: decoder.number()?,
        start_shows: decoder.flag("start shows")?,
        network_of: decoder
            .optional("network of", |decoder| decoder.array().map(ContainerId::from_bytes))?,
    })
}

fn decode_reach(decoder: &mut Decoder<'_>) -> Result<Reach, CodecError> {
    let address = decoder.optional("reach", decode_address)?;
    Ok(address.map_or(Reach::Here, Reach::Url))
}

pub(crate) fn encode_address(address: &Address, encoder: &mut Encoder) {
    encoder.text(&address.url).fixed(&address.pin);
}

pub(crate) fn decode_address(decoder: &mut Decoder<'_>) -> Result<Address, CodecError> {
    let url = decoder.text(URL_LIMIT, "url")?.to_owned();
    Ok(Address { url, pin: decoder.array()? })
}

fn encode_wanted(wanted: &Wanted, encoder: &mut Encoder) {
    encoder.text(&wanted.path);
    encode_amount(wanted.one_file.as_deref(), &wanted.announced, encoder);
    let owner = wanted.owner.as_ref().map(Owner::to_string).unwrap_or_default();
    encoder.text(&owner).flag(wanted.mode.is_some());
    if let Some(mode) = wanted.mode {
        encoder.small_number(mode);
    }
    encoder.flag(wanted.memory_only);
}

fn decode_wanted(decoder: &mut Decoder<'_>) -> Result<Wanted, CodecError> {
    let path = decoder.text(PATH_LIMIT, "path")?;
    if !path.starts_with('/') || path.chars().any(char::is_control) {
        return Err(CodecError::Field("path"));
    }
    let (one_file, announced) = decode_amount(decoder)?;
    let owner = match decoder.text(OWNER_LIMIT, "owner")? {
        "" => None,
        text => {
            let owner = text.parse::<Owner>().ok().filter(|owner| owner.to_string() == text);
            Some(owner.ok_or(CodecError::Field("owner"))?)
        }
    };
    let mode = decoder.optional("mode", Decoder::small_number)?;
    if mode.is_some_and(|mode| mode > 0o777) {
        return Err(CodecError::Field("mode"));
    }
    let memory_only = decoder.flag("memory only")?;
    Ok(Wanted { path: path.to_owned(), one_file, owner, mode, announced, memory_only })
}

pub(crate) fn encode_amount(one_file: Option<&str>, announced: &Announced, encoder: &mut Encoder) {
    encoder.flag(one_file.is_some());
    if let Some(name) = one_file {
        encoder.text(name);
    }
    encoder.number(announced.bytes).number(announced.members);
}

pub(crate) fn decode_amount(
    decoder: &mut Decoder<'_>,
) -> Result<(Option<String>, Announced), CodecError> {
    let one_file = decoder.optional("name", |decoder| {
        let name = decoder.text(COMPONENT_LIMIT, "name")?;
        if matches!(name, "." | "..") || name.chars().any(|one| one == '/' || one.is_control()) {
            return Err(CodecError::Field("name"));
        }
        Ok(name.to_owned())
    })?;
    Ok((one_file, Announced { bytes: decoder.number()?, members: decoder.number()? }))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn sample() -> Offer {
        Offer {
            transfer: TransferId([1; 16]),
            secret: OneTimeSecret::from_bytes([2; 32]),
            bound: Bound {
                container: ContainerId::from_bytes([3; 32]),
                started: 1_700_000_000_123_456_789,
                start_shows: true,
                network_of: None,
            },
            reach: Reach::Here,
            wanted: Wanted {
                path: "/run/certs".into(),
                one_file: None,
                owner: Some("app:998".parse().unwrap()),
                mode: Some(0o400),
                announced: Announced { bytes: 1_000_000, members: 100 },
                memory_only: true,
            },
        }
    }

    #[test]
    fn an_offer_reads_back_as_written() {
        let mut offer = sample();
        offer.reach = Reach::Url(Address { url: "https://172.17.0.1:5/x".into(), pin: [9; 32] });
        offer.bound.network_of = Some(ContainerId::from_bytes([4; 32]));
        offer.wanted.one_file = Some("x.pem".into());
        let back = Offer::decode(&offer.encode()).unwrap();
        assert_eq!(back.encode(), offer.encode());
        assert_eq!((back.bound, back.reach), (offer.bound, offer.reach));
        assert_eq!(back.wanted, offer.wanted);
    }

    #[test]
    fn a_cut_or_lengthened_offer_is_refused() {
        let bytes = sample().encode();
        for length in 0..bytes.len() {
            assert!(Offer::decode(&bytes[..length]).is_err(), "cut at {length}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(Offer::decode(&longer).unwrap_err(), CodecError::Trailing);
        let mut newer = bytes.to_vec();
        newer[0] = 9;
        assert_eq!(Offer::decode(&newer).unwrap_err(), CodecError::Version(9));
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut offer = sample();
        offer.reach = Reach::Url(Address { url: "https://h/hidden".into(), pin: [9; 32] });
        let shown = format!("{offer:?}");
        assert!(!shown.contains("hidden") && !shown.contains("2, 2"), "{shown}");
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(position in 0_usize..200, value: u8) {
            let mut bytes = sample().encode().to_vec();
            let position = position % bytes.len();
            bytes[position] = value;
            if let Ok(offer) = Offer::decode(&bytes) {
                prop_assert_eq!(offer.encode().to_vec(), bytes);
            }
        }

        #[test]
        fn no_bytes_make_it_fail_otherwise_than_by_an_error(bytes: Vec<u8>) {
            let _ = Offer::decode(&bytes);
        }
    }
}
