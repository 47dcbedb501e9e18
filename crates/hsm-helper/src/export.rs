//! A key leaves the token, where the token lets it go.
//!
//! One that may leave only encrypted is wrapped by a key that is there for this alone, and unwrapped again as an object
//! of this session that may be read: so no cipher is needed here.

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use sealock_hsm_wire::{Kind, Parts, Why};
use zeroize::Zeroizing;

use crate::refusal::Refusal;

pub(crate) fn export(
    session: &Session,
    key: ObjectHandle,
    kind: Kind,
    public: &[u8],
) -> Result<Parts, Refusal> {
    let asked = [AttributeType::Extractable, AttributeType::Sensitive];
    let found = session.get_attributes(key, &asked)?;
    if !found.contains(&Attribute::Extractable(true)) {
        return Err(Refusal::new(Why::Stays, "CKA_EXTRACTABLE is false"));
    }
    if found.contains(&Attribute::Sensitive(false)) {
        return read(session, key, kind, public);
    }
    let wrapping = session.generate_key(
        &Mechanism::AesKeyGen,
        &[
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(false),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Wrap(true),
            Attribute::Unwrap(true),
            Attribute::ValueLen(32.into()),
        ],
    )?;
    let copied = through(session, key, wrapping, kind, public);
    let _ = session.destroy_object(wrapping);
    copied
}

fn through(
    session: &Session,
    key: ObjectHandle,
    wrapping: ObjectHandle,
    kind: Kind,
    public: &[u8],
) -> Result<Parts, Refusal> {
    let wrapped = Zeroizing::new(session.wrap_key(&Mechanism::AesKeyWrapPad, wrapping, key)?);
    let kind_of = match kind {
        Kind::P256 | Kind::P384 => KeyType::EC,
        Kind::Ed25519 => KeyType::EC_EDWARDS,
        Kind::Rsa => KeyType::RSA,
    };
    let template = [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::KeyType(kind_of),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
    ];
    let mechanism = Mechanism::AesKeyWrapPad;
    let copy = session.unwrap_key(&mechanism, wrapping, &wrapped, &template)?;
    let parts = read(session, copy, kind, public);
    let _ = session.destroy_object(copy);
    parts
}

fn read(session: &Session, key: ObjectHandle, kind: Kind, public: &[u8]) -> Result<Parts, Refusal> {
    let wanted = match kind {
        Kind::Rsa => &[
            AttributeType::Modulus,
            AttributeType::PublicExponent,
            AttributeType::PrivateExponent,
            AttributeType::Prime1,
            AttributeType::Prime2,
            AttributeType::Exponent1,
            AttributeType::Exponent2,
            AttributeType::Coefficient,
        ][..],
        _ => &[AttributeType::Value][..],
    };
    let mut parts = Vec::new();
    for attribute in session.get_attributes(key, wanted)? {
        match attribute {
            Attribute::Value(bytes)
            | Attribute::Modulus(bytes)
            | Attribute::PublicExponent(bytes)
            | Attribute::PrivateExponent(bytes)
            | Attribute::Prime1(bytes)
            | Attribute::Prime2(bytes)
            | Attribute::Exponent1(bytes)
            | Attribute::Exponent2(bytes)
            | Attribute::Coefficient(bytes) => parts.push(Zeroizing::new(bytes)),
            _ => {}
        }
    }
    if kind != Kind::Rsa {
        parts.push(Zeroizing::new(public.to_vec()));
    }
    match parts.len() == kind.parts() {
        true => Ok(Parts { kind, parts }),
        false => Err(Refusal::new(Why::Stays, "the token does not tell the key")),
    }
}
