//! The token: found, logged in to once, and asked.

use std::collections::HashMap;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use sealock_hsm_wire::{Kind, Parts, Public, Reply, Request, Token, TokenName, Why};
use zeroize::Zeroize;

use crate::refusal::Refusal;

/// `secp256r1` (RFC 5480 §2.1.1.1), as `CKA_EC_PARAMS`.
const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// `secp384r1`.
const P384: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x22];
/// `id-Ed25519` (RFC 8410 §3).
const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];
const RSA_BITS: u64 = 3072;
/// So many of the tokens that are there are named where none of them is the one.
const MOST_NAMED: usize = 8;

/// How far it is.
#[derive(Default)]
pub(crate) enum Helper {
    /// No module is loaded.
    #[default]
    New,
    /// The token is there, and nobody is logged in.
    Found(Session),
    /// Somebody is.
    Opened(Opened),
}

pub(crate) struct Opened {
    pub(crate) session: Session,
    /// Private keys that were found by their id.
    keys: HashMap<Vec<u8>, ObjectHandle>,
}

impl Helper {
    /// Does what is asked.
    pub(crate) fn answer(&mut self, request: Request) -> Reply {
        self.done(request).unwrap_or_else(Refusal::reply)
    }

    fn done(&mut self, request: Request) -> Result<Reply, Refusal> {
        match &request {
            Request::Open { module, token } => return self.open(module, token).map(Reply::Ready),
            Request::Login { pin } => return self.login(pin).map(|()| Reply::Done),
            _ => {}
        }
        let Self::Opened(opened) = self else {
            return Err(Refusal::new(Why::Order, "no token is open"));
        };
        match request {
            Request::Open { .. } | Request::Login { .. } => Err(already()),
            Request::Generate { kind, id, label } => {
                opened.generate(kind, &id, &label).map(Reply::Made)
            }
            Request::Import { id, label, extractable, key } => {
                opened.import(&id, &label, extractable, &key).map(|()| Reply::Done)
            }
            Request::Find { id } => {
                let count = opened.find(ObjectClass::PRIVATE_KEY, &id)?.len();
                Ok(Reply::Count(u32::try_from(count).unwrap_or(u32::MAX)))
            }
            Request::Sign { id, kind, data } => opened.sign(&id, kind, &data).map(Reply::Signature),
            Request::Export { id, kind, public } => {
                let key = opened.key(&id)?;
                crate::export::export(&opened.session, key, kind, &public).map(Reply::Key)
            }
            Request::Remove { id } => opened.remove(&id).map(Reply::Count),
        }
    }

    fn open(&mut self, module: &str, wanted: &TokenName) -> Result<Token, Refusal> {
        let Self::New = self else { return Err(already()) };
        let (session, token) = found(module, wanted)?;
        *self = Self::Found(session);
        Ok(token)
    }

    /// Tries the PIN, once: after a refusal it has to be started anew.
    fn login(&mut self, pin: &[u8]) -> Result<(), Refusal> {
        let Self::Found(session) = std::mem::take(self) else { return Err(already()) };
        let pin =
            std::str::from_utf8(pin).map_err(|_| Refusal::new(Why::PinWrong, "it is no text"))?;
        session.login(UserType::User, Some(&AuthPin::from(pin.to_owned())))?;
        *self = Self::Opened(Opened { session, keys: HashMap::new() });
        Ok(())
    }
}

fn already() -> Refusal {
    Refusal::new(Why::Order, "it is not the time for that")
}

fn found(module: &str, wanted: &TokenName) -> Result<(Session, Token), Refusal> {
    let library = Pkcs11::new(module).map_err(|error| Refusal::module(&error))?;
    library
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .map_err(|error| Refusal { why: Why::Gone, ..Refusal::from(error) })?;
    let (slot, info) = the_token(&library, wanted)?;
    if info.user_pin_locked() {
        return Err(Refusal::new(Why::PinLocked, "CKF_USER_PIN_LOCKED"));
    }
    if info.user_pin_final_try() {
        return Err(Refusal::new(Why::PinLast, "CKF_USER_PIN_FINAL_TRY"));
    }
    let session = library.open_rw_session(slot)?;
    let token = Token {
        label: info.label().trim_end().to_owned(),
        serial: info.serial_number().trim_end().to_owned(),
        manufacturer: info.manufacturer_id().trim_end().to_owned(),
        model: info.model().trim_end().to_owned(),
    };
    Ok((session, token))
}

fn the_token(library: &Pkcs11, wanted: &TokenName) -> Result<(Slot, TokenInfo), Refusal> {
    let mut found = None;
    let mut others = Vec::new();
    for slot in library.get_slots_with_token()? {
        // A slot that cannot be asked is not the one.
        let Ok(info) = library.get_token_info(slot) else { continue };
        let is = |wanted: &Option<String>, has: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == has.trim_end())
        };
        if info.token_initialized() && others.len() < MOST_NAMED {
            others.push(format!("`{}`", info.label().trim_end()));
        }
        let meant = info.token_initialized()
            && is(&wanted.label, info.label())
            && is(&wanted.serial, info.serial_number())
            && is(&wanted.manufacturer, info.manufacturer_id())
            && is(&wanted.model, info.model());
        if meant && found.replace((slot, info)).is_some() {
            return Err(Refusal::new(Why::ManyTokens, "more than one token is like that"));
        }
    }
    found.ok_or_else(|| {
        let there = match others.is_empty() {
            true => "the module has no token".to_owned(),
            false => format!("the module has {}", others.join(", ")),
        };
        Refusal::new(Why::NoToken, there)
    })
}

impl Opened {
    fn find(&self, class: ObjectClass, id: &[u8]) -> Result<Vec<ObjectHandle>, Refusal> {
        let template =
            [Attribute::Class(class), Attribute::Token(true), Attribute::Id(id.to_vec())];
        Ok(self.session.find_objects(&template)?)
    }

    /// The one private key with this id.
    fn key(&mut self, id: &[u8]) -> Result<ObjectHandle, Refusal> {
        if let Some(known) = self.keys.get(id) {
            return Ok(*known);
        }
        match self.find(ObjectClass::PRIVATE_KEY, id)?.as_slice() {
            [one] => {
                self.keys.insert(id.to_vec(), *one);
                Ok(*one)
            }
            [] => Err(Refusal::new(Why::Key, "no private key has this id")),
            _ => Err(Refusal::new(Why::Key, "more than one private key has this id")),
        }
    }

    fn sign(&mut self, id: &[u8], kind: Kind, data: &[u8]) -> Result<Vec<u8>, Refusal> {
        let key = self.key(id)?;
        let mechanism = match kind {
            Kind::P256 | Kind::P384 => Mechanism::Ecdsa,
            Kind::Rsa => Mechanism::RsaPkcs,
            Kind::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
        };
        let signed = self.session.sign(&mechanism, key, data);
        if signed.is_err() {
            // Objects have other handles when a token was away.
            self.keys.clear();
        }
        Ok(signed?)
    }

    fn generate(&mut self, kind: Kind, id: &[u8], label: &str) -> Result<Public, Refusal> {
        if !self.find(ObjectClass::PRIVATE_KEY, id)?.is_empty() {
            return Err(Refusal::new(Why::Key, "there is a key with this id"));
        }
        let named = || [Attribute::Id(id.to_vec()), Attribute::Label(label.as_bytes().to_vec())];
        let mut public = vec![Attribute::Token(true), Attribute::Verify(true)];
        public.extend(named());
        let (mechanism, parameters) = match kind {
            Kind::P256 | Kind::P384 => {
                (Mechanism::EccKeyPairGen, vec![Attribute::EcParams(curve(kind).to_vec())])
            }
            Kind::Ed25519 => {
                (Mechanism::EccEdwardsKeyPairGen, vec![Attribute::EcParams(curve(kind).to_vec())])
            }
            Kind::Rsa => (
                Mechanism::RsaPkcsKeyPairGen,
                vec![
                    Attribute::ModulusBits(RSA_BITS.into()),
                    Attribute::PublicExponent(vec![1, 0, 1]),
                ],
            ),
        };
        public.extend(parameters);
        let mut private = stays(kind, false);
        private.extend(named());
        let (public, private) = self.session.generate_key_pair(&mechanism, &public, &private)?;
        let made = self.kept(private, false).and_then(|()| self.public(public, kind));
        if made.is_err() {
            let _ = self.session.destroy_object(private);
            let _ = self.session.destroy_object(public);
        }
        made
    }

    /// Whether the token keeps a key as it was asked to.
    fn kept(&self, key: ObjectHandle, extractable: bool) -> Result<(), Refusal> {
        let asked = [AttributeType::Sensitive, AttributeType::Extractable];
        let found = self.session.get_attributes(key, &asked)?;
        let right = found.contains(&Attribute::Sensitive(true))
            && found.contains(&Attribute::Extractable(extractable));
        match right {
            true => Ok(()),
            false => {
                Err(Refusal::new(Why::Failed, "the token does not keep keys as it is asked to"))
            }
        }
    }

    fn public(&self, key: ObjectHandle, kind: Kind) -> Result<Public, Refusal> {
        let asked = match kind {
            Kind::Rsa => &[AttributeType::Modulus, AttributeType::PublicExponent][..],
            _ => &[AttributeType::EcPoint][..],
        };
        let (mut value, mut exponent) = (Vec::new(), Vec::new());
        for attribute in self.session.get_attributes(key, asked)? {
            match attribute {
                Attribute::EcPoint(point) => value = bare(point, kind),
                Attribute::Modulus(modulus) => value = modulus,
                Attribute::PublicExponent(number) => exponent = number,
                _ => {}
            }
        }
        match value.is_empty() {
            true => Err(Refusal::new(Why::Failed, "the token does not tell the public key")),
            false => Ok(Public { kind, value, exponent }),
        }
    }

    fn import(
        &mut self,
        id: &[u8],
        label: &str,
        extractable: bool,
        key: &Parts,
    ) -> Result<(), Refusal> {
        if !self.find(ObjectClass::PRIVATE_KEY, id)?.is_empty() {
            return Err(Refusal::new(Why::Key, "there is a key with this id"));
        }
        let mut template = stays(key.kind, extractable);
        template.push(Attribute::Class(ObjectClass::PRIVATE_KEY));
        template.push(Attribute::Id(id.to_vec()));
        template.push(Attribute::Label(label.as_bytes().to_vec()));
        template.extend(values(key)?);
        let made = self.session.create_object(&template);
        wiped(template);
        let made = made?;
        let kept = self.kept(made, extractable);
        if kept.is_err() {
            let _ = self.session.destroy_object(made);
        }
        kept
    }

    fn remove(&mut self, id: &[u8]) -> Result<u32, Refusal> {
        self.keys.remove(id);
        let mut count = 0;
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            for object in self.find(class, id)? {
                self.session.destroy_object(object)?;
                count += 1;
            }
        }
        Ok(count)
    }
}

/// As what a private key is kept: it signs and does nothing else, and its value is never shown.
fn stays(kind: Kind, extractable: bool) -> Vec<Attribute> {
    let only = match kind {
        Kind::Rsa => vec![Attribute::Decrypt(false), Attribute::Unwrap(false)],
        Kind::P256 | Kind::P384 => vec![Attribute::Derive(false)],
        Kind::Ed25519 => Vec::new(),
    };
    let always = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(extractable),
        Attribute::Sign(true),
    ];
    always.into_iter().chain(only).collect()
}

fn curve(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::P256 => P256,
        Kind::P384 => P384,
        Kind::Ed25519 | Kind::Rsa => ED25519,
    }
}

/// A point without the octet string around it (PKCS#11 §6.3.3); some tokens leave that out.
fn bare(point: Vec<u8>, kind: Kind) -> Vec<u8> {
    let length = match kind {
        Kind::P256 => 65,
        Kind::P384 => 97,
        Kind::Ed25519 | Kind::Rsa => 32,
    };
    match point.as_slice() {
        [4, said, rest @ ..] if usize::from(*said) == length && rest.len() == length => {
            rest.to_vec()
        }
        _ => point,
    }
}

/// What was secret in a template is wiped; the module's own copies are its own.
fn wiped(template: Vec<Attribute>) {
    for attribute in template {
        if let Attribute::Value(mut bytes)
        | Attribute::PrivateExponent(mut bytes)
        | Attribute::Prime1(mut bytes)
        | Attribute::Prime2(mut bytes)
        | Attribute::Exponent1(mut bytes)
        | Attribute::Exponent2(mut bytes)
        | Attribute::Coefficient(mut bytes) = attribute
        {
            bytes.zeroize();
        }
    }
}

fn values(key: &Parts) -> Result<Vec<Attribute>, Refusal> {
    let parts: Vec<Vec<u8>> = key.parts.iter().map(|part| part.to_vec()).collect();
    let wrong = || Refusal::new(Why::Order, "a key has other parts");
    if key.kind != Kind::Rsa {
        let [value, _] = <[Vec<u8>; 2]>::try_from(parts).map_err(|_| wrong())?;
        let kind = if key.kind == Kind::Ed25519 { KeyType::EC_EDWARDS } else { KeyType::EC };
        return Ok(vec![
            Attribute::KeyType(kind),
            Attribute::EcParams(curve(key.kind).to_vec()),
            Attribute::Value(value),
        ]);
    }
    let [n, e, d, p, q, dp, dq, inverse] = <[Vec<u8>; 8]>::try_from(parts).map_err(|_| wrong())?;
    Ok(vec![
        Attribute::KeyType(KeyType::RSA),
        Attribute::Modulus(n),
        Attribute::PublicExponent(e),
        Attribute::PrivateExponent(d),
        Attribute::Prime1(p),
        Attribute::Prime2(q),
        Attribute::Exponent1(dp),
        Attribute::Exponent2(dq),
        Attribute::Coefficient(inverse),
    ])
}
