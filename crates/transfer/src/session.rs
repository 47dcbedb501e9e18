//! The sealed transfer without I/O: who says what, and which keys come of it.
//!
//! ```text
//! sender                                                  receiver
//!   Offer (or a ticket): terms and one-time secret  ──▶    finds out where it is; checks the terms
//!   checks container and MAC                        ◀──    Hello: container, evidence, one-time public
//!                                                          keys (X25519, ML-KEM-768), MAC
//!   Encapsulation: X25519 key, ciphertext, MAC      ──▶    checks the MAC: both have the same keys
//!   frames                                          ──▶    opens, unpacks, compares the digest
//!   checks the receipt                              ◀──    Receipt
//! ```
//!
//! # Keys
//!
//! With `context` for the terms as below, and `|` for concatenation (all parts but the context are of one
//! length; the context has every varying field behind its length):
//!
//! | value | made of |
//! | --- | --- |
//! | hello key | HKDF-SHA256(salt `sealock hello 1`, ikm one-time secret, info `mac`) |
//! | hello MAC | HMAC-SHA256(hello key, SHA-256(context) \| hello without its MAC) |
//! | transcript | SHA-256(`sealock session 1` \| SHA-256(context) \| SHA-256(hello) \| X25519 key \| ciphertext) |
//! | session secret | HKDF-SHA256-Extract(salt transcript, ikm X25519 secret \| ML-KEM secret \| one-time secret) |
//! | payload key | Expand(session secret, `payload`), AES-256-GCM; see [`frame`](crate::frame) |
//! | receipt key | Expand(session secret, `receipt`), HMAC-SHA256; see [`receipt`](crate::receipt) |
//! | confirmation | HMAC-SHA256(Expand(session secret, `confirm`), transcript) |
//!
//! # What is bound
//!
//! | bound | by | so that |
//! | --- | --- | --- |
//! | version, transfer id | context | nothing of another transfer or version fits |
//! | container id | context, **each side from its own knowledge** | bytes for one container cannot be opened in another |
//! | start of the container's run | context; checked by the receiver where it shows, and by the sender's second look at the engine | bytes for one run are not taken by the next |
//! | destination, shape, owner, mode, amounts | context | nobody on the way changes where or how it lands |
//! | URL and certificate pin | context | a transfer goes to the listener it was made for |
//! | evidence, both public keys, ciphertext | transcript | nothing of the exchange was exchanged |
//! | one-time secret | session secret, hello MAC | only who was given the offer takes part |
//!
//! The keys are hybrid: whoever records all of it and later breaks one of X25519 and ML-KEM-768 (or
//! learns the one-time secret) opens nothing. They are one-time: receiver and sender forget them with
//! the session, so a replayed recording meets a new public key and its frames do not open.
//!
//! **What an attacker controls:** on the way, every byte of every message; each is covered by a MAC, by
//! the transcript or by the frames' seals, and a change is an error before any content is used. A
//! hostile receiver controls its hello; it is read with hard limits, and its keys are refused when they
//! lead to a secret of zeros.

mod keys;

use aws_lc_rs::agreement::{EphemeralPrivateKey, X25519};
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use aws_lc_rs::{hkdf, hmac, rand};
use thiserror::Error;

use crate::codec::{CodecError, Decoder, Encoder};
use crate::container::{ContainerId, ContainerPrefix};
use crate::frame::{Opener, Sealer};
use crate::identify::{Evidence, Found, Known};
use crate::offer::{Offer, OneTimeSecret, TransferId, VERSION};
use crate::receipt::ReceiptKey;
use crate::ticket::Ticket;
use keys::{Exchange, Keys, agree, expand, sha256};

/// How long a hello is at most.
pub const HELLO_LIMIT: usize = 2048;
/// How long an encapsulation is: an X25519 key, an ML-KEM-768 ciphertext and a MAC.
pub const ENCAPSULATION_LENGTH: usize = 32 + ML_KEM_CIPHERTEXT + 32;

const X25519_LENGTH: usize = 32;
const ML_KEM_KEY: usize = 1184;
const ML_KEM_CIPHERTEXT: usize = 1088;

/// The first process may start this long before the engine calls the container started: networks are
/// made in between.
const STARTED_BEFORE_MILLIS: u64 = 30_000;
/// And this long after, which only whole seconds and rounding make possible.
const STARTED_AFTER_MILLIS: u64 = 3_000;

/// Why a session does not come about.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum SessionError {
    /// A message is not as its format has it.
    #[error("the {message} cannot be read")]
    Unreadable {
        /// Which message.
        message: &'static str,
        /// Why.
        source: CodecError,
    },
    /// The receiver is in another container than the one meant.
    #[error("this is container {found}, and the transfer is for {wanted:?}")]
    WrongContainer {
        /// Where the receiver is.
        found: Known,
        /// Where it should be.
        wanted: ContainerId,
    },
    /// The container is not in the run that was meant.
    #[error("the container's run began {seconds} s away from the one that the transfer is for")]
    OtherRun {
        /// The difference.
        seconds: i64,
    },
    /// The other side does not have the one-time secret, or has other terms in mind.
    #[error("the {0} is not authentic")]
    NotAuthentic(&'static str),
    /// The other side's key leads to no secret.
    #[error("the other side's {0} key is refused")]
    KeyRefused(&'static str),
    /// The system has no randomness, or the cipher library refuses.
    #[error("cannot make one-time keys")]
    Keys,
}

fn unreadable(message: &'static str) -> impl Fn(CodecError) -> SessionError {
    move |source| SessionError::Unreadable { message, source }
}

/// What both sides must have in mind, as one side knows it.
#[derive(Debug, Clone)]
pub struct Terms {
    transfer: TransferId,
    secret: OneTimeSecret,
    container: Option<ContainerId>,
    context: [u8; 32],
}

impl Terms {
    /// The sender's: the container is the one that the offer is for.
    pub fn of_sender(offer: &Offer) -> Self {
        Self::new(offer, offer.bound.container)
    }

    /// The receiver's: the container is the one that it has found itself in. `started` is since when
    /// that one's first process runs, in milliseconds since 1970, where it shows.
    pub fn of_receiver(
        offer: &Offer,
        found: &Found,
        started: Option<u64>,
    ) -> Result<Self, SessionError> {
        let wanted = offer.bound.container;
        if !found.container.fits(&wanted) {
            return Err(SessionError::WrongContainer { found: found.container, wanted });
        }
        if let Some(started) = started.filter(|_| offer.bound.start_shows) {
            check_start(offer.bound.started / 1_000_000, started)?;
        }
        let own = match found.container {
            Known::Id(id) => id,
            // Only its beginning is known, and that fits.
            Known::Prefix(_) => wanted,
        };
        Ok(Self::new(offer, own))
    }

    /// Of a ticket, which is for no container.
    pub fn of_ticket(ticket: &Ticket) -> Self {
        Self {
            transfer: ticket.transfer,
            secret: ticket.secret.clone(),
            container: None,
            context: sha256(&[&ticket.context()]),
        }
    }

    fn new(offer: &Offer, container: ContainerId) -> Self {
        Self {
            transfer: offer.transfer,
            secret: offer.secret.clone(),
            container: Some(container),
            context: sha256(&[&offer.context(&container)]),
        }
    }

    /// Which transfer this is.
    pub fn transfer(&self) -> TransferId {
        self.transfer
    }

    /// The container, unless the transfer is for none.
    pub fn container(&self) -> Option<ContainerId> {
        self.container
    }

    fn hello_mac(&self, hello: &[u8]) -> Result<hmac::Tag, SessionError> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"sealock hello 1");
        let key = expand(&salt.extract(self.secret.expose()), "mac")?;
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &*key));
        context.update(&self.context);
        context.update(hello);
        Ok(context.sign())
    }
}

fn check_start(wanted: u64, found: u64) -> Result<(), SessionError> {
    let earliest = wanted.saturating_sub(STARTED_BEFORE_MILLIS);
    let latest = wanted.saturating_add(STARTED_AFTER_MILLIS);
    if (earliest..=latest).contains(&found) {
        return Ok(());
    }
    let apart = i64::try_from(found.abs_diff(wanted) / 1000).unwrap_or(i64::MAX);
    Err(SessionError::OtherRun { seconds: if found < wanted { -apart } else { apart } })
}

/// What a receiver says of itself. Read only after its MAC was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Introduction {
    /// Which container it is in; `None` for tickets.
    pub container: Option<Known>,
    /// By which sources it knows.
    pub evidence: Evidence,
    /// Since when the container's first process runs, in milliseconds since 1970, where it shows.
    pub started: Option<u64>,
}

/// A receiver that has said hello and waits for the answer.
pub struct Greeted {
    terms: Terms,
    hello: Vec<u8>,
    x25519: EphemeralPrivateKey,
    ml_kem: DecapsulationKey,
}

/// What a session has come to, for the sender.
#[derive(Debug)]
pub struct Sending {
    /// Seals the frames.
    pub sealer: Sealer,
    /// Checks the receipt.
    pub receipt: ReceiptKey,
    /// Who receives.
    pub receiver: Introduction,
}

/// What a session has come to, for the receiver.
#[derive(Debug)]
pub struct Receiving {
    /// Opens the frames.
    pub opener: Opener,
    /// Signs the receipt.
    pub receipt: ReceiptKey,
}

/// The receiver's first step: makes one-time keys and says hello.
pub fn greet(
    terms: Terms,
    introduction: &Introduction,
) -> Result<(Vec<u8>, Greeted), SessionError> {
    let x25519 = EphemeralPrivateKey::generate(&X25519, &rand::SystemRandom::new())
        .map_err(|_| SessionError::Keys)?;
    let ml_kem = DecapsulationKey::generate(&ML_KEM_768).map_err(|_| SessionError::Keys)?;
    let x25519_key = x25519.compute_public_key().map_err(|_| SessionError::Keys)?;
    let ml_kem_key = ml_kem
        .encapsulation_key()
        .and_then(|key| key.key_bytes().map(|bytes| bytes.as_ref().to_vec()))
        .map_err(|_| SessionError::Keys)?;
    let mut encoder = Encoder::new();
    encode_introduction(introduction, &mut encoder);
    encoder.fixed(x25519_key.as_ref()).fixed(&ml_kem_key);
    let mut hello = encoder.finish().to_vec();
    let tag = terms.hello_mac(&hello)?;
    hello.extend_from_slice(tag.as_ref());
    Ok((hello.clone(), Greeted { terms, hello, x25519, ml_kem }))
}

/// The sender's step: checks the hello, and answers with what only that receiver can open.
pub fn answer(terms: &Terms, hello: &[u8]) -> Result<(Vec<u8>, Sending), SessionError> {
    let message = "hello";
    if hello.len() > HELLO_LIMIT {
        return Err(unreadable(message)(CodecError::Trailing));
    }
    let mut decoder = Decoder::new(hello);
    let receiver = decode_introduction(&mut decoder).map_err(unreadable(message))?;
    let their_x25519: [u8; X25519_LENGTH] = decoder.array().map_err(unreadable(message))?;
    let their_ml_kem = decoder.take(ML_KEM_KEY).map_err(unreadable(message))?;
    let tag = decoder.take(32).map_err(unreadable(message))?;
    decoder.finish().map_err(unreadable(message))?;
    if let (Some(found), Some(wanted)) = (receiver.container, terms.container)
        && !found.fits(&wanted)
    {
        return Err(SessionError::WrongContainer { found, wanted });
    }
    let body = hello.get(..hello.len() - tag.len()).unwrap_or_default();
    let expected = terms.hello_mac(body)?;
    aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_ref(), tag)
        .map_err(|_| SessionError::NotAuthentic(message))?;

    let x25519 = EphemeralPrivateKey::generate(&X25519, &rand::SystemRandom::new())
        .map_err(|_| SessionError::Keys)?;
    let x25519_key = x25519.compute_public_key().map_err(|_| SessionError::Keys)?;
    let x25519_secret = agree(x25519, &their_x25519)?;
    let (ciphertext, ml_kem_secret) = EncapsulationKey::new(&ML_KEM_768, their_ml_kem)
        .map_err(|_| SessionError::KeyRefused("ML-KEM-768"))?
        .encapsulate()
        .map_err(|_| SessionError::KeyRefused("ML-KEM-768"))?;
    let keys = Keys::derive(
        terms,
        &Exchange { hello, x25519_key: x25519_key.as_ref(), ciphertext: ciphertext.as_ref() },
        &x25519_secret,
        ml_kem_secret.as_ref(),
    )?;
    let encapsulation =
        [x25519_key.as_ref(), ciphertext.as_ref(), keys.confirmation.as_ref()].concat();
    let sealer = Sealer::new(&keys.payload).ok_or(SessionError::Keys)?;
    Ok((encapsulation, Sending { sealer, receipt: keys.receipt, receiver }))
}

impl Greeted {
    /// The receiver's second step: reads the answer and has the same keys.
    pub fn complete(self, encapsulation: &[u8]) -> Result<Receiving, SessionError> {
        let message = "encapsulation";
        let mut decoder = Decoder::new(encapsulation);
        let x25519_key: [u8; X25519_LENGTH] = decoder.array().map_err(unreadable(message))?;
        let ciphertext = decoder.take(ML_KEM_CIPHERTEXT).map_err(unreadable(message))?;
        let confirmation = decoder.take(32).map_err(unreadable(message))?;
        decoder.finish().map_err(unreadable(message))?;
        let x25519_secret = agree(self.x25519, &x25519_key)?;
        let ml_kem_secret = self
            .ml_kem
            .decapsulate(Ciphertext::from(ciphertext))
            .map_err(|_| SessionError::KeyRefused("ML-KEM-768"))?;
        let keys = Keys::derive(
            &self.terms,
            &Exchange { hello: &self.hello, x25519_key: &x25519_key, ciphertext },
            &x25519_secret,
            ml_kem_secret.as_ref(),
        )?;
        aws_lc_rs::constant_time::verify_slices_are_equal(keys.confirmation.as_ref(), confirmation)
            .map_err(|_| SessionError::NotAuthentic(message))?;
        let opener = Opener::new(&keys.payload).ok_or(SessionError::Keys)?;
        Ok(Receiving { opener, receipt: keys.receipt })
    }
}

fn encode_introduction(introduction: &Introduction, encoder: &mut Encoder) {
    encoder.byte(VERSION);
    match introduction.container {
        None => encoder.byte(0),
        Some(Known::Id(id)) => encoder.byte(1).fixed(id.as_bytes()),
        Some(Known::Prefix(prefix)) => encoder.byte(2).fixed(prefix.as_bytes()),
    };
    encoder.byte(introduction.evidence.to_byte()).flag(introduction.started.is_some());
    if let Some(started) = introduction.started {
        encoder.number(started);
    }
}

fn decode_introduction(decoder: &mut Decoder<'_>) -> Result<Introduction, CodecError> {
    match decoder.byte()? {
        VERSION => {}
        other => return Err(CodecError::Version(other)),
    }
    let container = match decoder.byte()? {
        0 => None,
        1 => Some(Known::Id(ContainerId::from_bytes(decoder.array()?))),
        2 => Some(Known::Prefix(ContainerPrefix::from_bytes(decoder.array()?))),
        _ => return Err(CodecError::Field("container")),
    };
    let evidence = Evidence::from_byte(decoder.byte()?).ok_or(CodecError::Field("evidence"))?;
    Ok(Introduction { container, evidence, started: decoder.optional("started", Decoder::number)? })
}

#[cfg(test)]
mod tests;
