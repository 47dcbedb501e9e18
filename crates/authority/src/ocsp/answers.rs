//! Answers: from memory, from the store, or made.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use sealock_core::Timestamp;
use sealock_store::{Change, Operation, Transaction, Versioned};

use super::cache::{Cache, Ready};
use super::issuers::{Issuer, Naming};
use super::request::Asked;
use super::responder::{Responder, Responders};
use super::response::{self, Good, Said};
use super::{OcspAnswer, OcspRequest};
use crate::authority::{Authority, BACKDATE, is_ahead};
use crate::error::AuthorityError;
use crate::inventory::{IssuerId, Reason};
use crate::serial::Serial;

/// How many answers are made and stored in one commit.
const PAGE: usize = 512;

/// What is there to answer with.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    cache: Mutex<Cache>,
    responders: ArcSwapOption<Responders>,
}

impl Answers {
    pub(super) fn responders(&self) -> Option<Arc<Responders>> {
        self.responders.load_full()
    }

    pub(super) fn serve_by(&self, responders: Arc<Responders>) {
        self.responders.store(Some(responders));
        self.cache.lock().clear();
    }

    /// A CA is revoked: nothing that is in memory need be true any more.
    pub(crate) fn forget(&self) {
        self.cache.lock().clear();
    }

    /// A certificate is revoked: what is in memory is no longer true.
    pub(crate) fn revoked(&self, issuer: IssuerId, serial: Serial) {
        self.cache.lock().revoked(issuer, serial);
    }
}

/// The place of the answer to the usual question. Below a revoked issuer it is another: what was stored before may say
/// "good", and is not looked at again.
pub(super) fn place(issuer: &Issuer, serial: Serial) -> Vec<u8> {
    let prefix: &[u8] = if issuer.revoked.is_some() { b"ocsp-revoked/" } else { b"ocsp/" };
    [prefix, issuer.id.as_bytes(), serial.as_bytes()].concat()
}

/// The same while the issuer is good.
fn usual_place(issuer: IssuerId, serial: Serial) -> Vec<u8> {
    [b"ocsp/", &issuer.as_bytes()[..], serial.as_bytes()].concat()
}

/// An answer as it is stored: from when, until when, DER.
fn stored(good: Good, der: &[u8]) -> Vec<u8> {
    let time = |moment: Timestamp| moment.as_millis().to_be_bytes();
    [&time(good.this_update)[..], &time(good.next_update), der].concat()
}

pub(super) fn read(value: &[u8]) -> Option<(Good, &[u8])> {
    let (from, rest) = value.split_first_chunk()?;
    let (until, der) = rest.split_first_chunk()?;
    let time = |bytes: &[u8; 8]| Timestamp::from_millis(i64::from_be_bytes(*bytes));
    Some((Good { this_update: time(from), next_update: time(until) }, der))
}

fn answer(good: Good, der: &[u8]) -> OcspAnswer {
    OcspAnswer { der: der.into(), good: Some((good.this_update, good.next_update)) }
}

/// Whether a stored answer is used. Not when half of its life is over, nor when it begins in the future: the clock was
/// ahead once.
fn is_good(good: Good, now: Timestamp) -> bool {
    now < again(good) && !is_ahead(good.this_update, now)
}

/// From when on an answer is made anew: when half of its life is over.
fn again(good: Good) -> Timestamp {
    good.next_update.minus(good.next_update.since(good.this_update) / 2)
}

impl Authority {
    /// The answer, if it is in memory. Never waits.
    pub fn ocsp_ready(&self, request: &OcspRequest) -> Option<OcspAnswer> {
        if request.nonce.is_some() && self.publication.load().nonce {
            return None;
        }
        let asked = request.single()?;
        let responders = self.answers.responders()?;
        let responder = meant(&responders, asked)?;
        let question = (responder.issuer.id, asked.hash?, asked.serial?);
        self.answers.cache.lock().find(&question, self.now())
    }

    /// The answer, from the store or made now. Blocking.
    pub fn ocsp(&self, request: &OcspRequest) -> Result<OcspAnswer, AuthorityError> {
        if let Some(ready) = self.ocsp_ready(request) {
            return Ok(ready);
        }
        // Counted before anything is read that a revocation changes, of a CA too: what is made of older things is not kept.
        // New responders count as well, and are there then.
        let counted = || self.answers.cache.lock().revocations();
        let (mut revocations, mut responders) = (counted(), self.responders()?);
        if revocations != counted() {
            (revocations, responders) = (counted(), self.responders()?);
        }
        let Some(responder) = request.asked.first().and_then(|asked| meant(&responders, asked))
        else {
            return Ok(OcspAnswer::unauthorized());
        };
        let nonce = request.nonce.as_deref().filter(|_| self.publication.load().nonce);
        match request.single() {
            Some(asked) if nonce.is_none() => self.usual(responder, asked, revocations),
            _ => self.made_to_measure(responder, request, nonce),
        }
    }

    /// The answer to the usual question: from the store, or made and kept.
    fn usual(
        &self,
        responder: &Responder,
        asked: &Asked,
        revocations: u64,
    ) -> Result<OcspAnswer, AuthorityError> {
        let (Some(naming), Some(serial)) = (asked.hash, asked.serial) else {
            return Ok(OcspAnswer::unauthorized());
        };
        let now = self.now();
        let question = (responder.issuer.id, naming, serial);
        let keep = |good: Good, der: &[u8]| {
            let answer = answer(good, der);
            let ready = Ready { answer: answer.clone(), again: again(good) };
            self.answers.cache.lock().keep(question, ready, revocations);
            answer
        };
        if naming == Naming::USUAL
            && let Some(stored) = self.store().get(&place(&responder.issuer, serial))?
            && let Some((good, der)) = read(&stored.value)
            && is_good(good, now)
        {
            return Ok(keep(good, der));
        }
        let Some(said) = self.said(responder, asked)? else {
            return Ok(OcspAnswer::unauthorized());
        };
        let good = self.good(responder, now);
        let der = response::build(vec![said], good, None, responder.signer())?;
        Ok(keep(good, &der))
    }

    /// An answer about several certificates, or with a nonce.
    fn made_to_measure(
        &self,
        responder: &Responder,
        request: &OcspRequest,
        nonce: Option<&[u8]>,
    ) -> Result<OcspAnswer, AuthorityError> {
        let mut said = Vec::with_capacity(request.asked.len());
        for asked in &request.asked {
            match self.said(responder, asked)? {
                Some(one) => said.push(one),
                None => return Ok(OcspAnswer::unauthorized()),
            }
        }
        let good = self.good(responder, self.now());
        let der = response::build(said, good, nonce, responder.signer())?;
        // Nobody else will ask the same.
        Ok(OcspAnswer { good: None, ..answer(good, &der) })
    }

    /// What is to be said of a certificate; `None` when it is not of this issuer's.
    fn said(&self, responder: &Responder, asked: &Asked) -> Result<Option<Said>, AuthorityError> {
        let issuer = &responder.issuer;
        let (Some(naming), Some(serial)) = (asked.hash, asked.serial) else { return Ok(None) };
        let id = issuer.name_of(naming, serial)?;
        if id != asked.id {
            return Ok(None);
        }
        let found = self.inventory.by_serial(serial)?;
        let ours = found.filter(|found| found.entry.issuer == issuer.id);
        Ok(ours.map(|found| {
            let revoked = found.entry.note.revoked.map(|it| (it.at, it.reason));
            let revoked = revoked.or(issuer.revoked);
            Said { id, revoked }
        }))
    }

    fn good(&self, responder: &Responder, now: Timestamp) -> Good {
        let whole = |moment: Timestamp| Timestamp::from_secs(moment.as_secs());
        let until = now.plus(self.publication.load().ocsp_life).min(responder.not_after);
        Good { this_update: whole(now.minus(BACKDATE)), next_update: whole(until) }
    }

    /// What the commit of a revocation does about OCSP: the new answer in place of the old one, or no
    /// answer. It must be there in time for those who ask a locked authority.
    pub(crate) fn ocsp_revocation(
        &self,
        responders: Option<&Responders>,
        issuer: IssuerId,
        serial: Serial,
        now: Timestamp,
        reason: Reason,
    ) -> Operation {
        let made = responders
            .and_then(|responders| responders.of(issuer))
            .and_then(|responder| self.answer_for(responder, serial, Some((now, reason))).ok());
        made.unwrap_or_else(|| Operation::delete(usual_place(issuer, serial)))
    }

    /// The responders, for a revocation; `None` when OCSP is not answered or they cannot be had, which
    /// must not keep anybody from revoking.
    pub(crate) fn responders_for_revocation(&self) -> Option<Arc<Responders>> {
        if !self.publication.load().ocsp {
            return None;
        }
        self.responders().ok()
    }

    fn answer_for(
        &self,
        responder: &Responder,
        serial: Serial,
        revoked: Option<(Timestamp, Reason)>,
    ) -> Result<Operation, AuthorityError> {
        let id = responder.issuer.name_of(Naming::USUAL, serial)?;
        let good = self.good(responder, self.now());
        let der = response::build(vec![Said { id, revoked }], good, None, responder.signer())?;
        let (key, value) = (place(&responder.issuer, serial), stored(good, &der));
        Ok(Operation::Put { key, value, expires: Some(good.next_update) })
    }

    /// Makes answers in advance for the certificates in force, soonest to expire first, where there is none
    /// or half of its life is over. Says how many were made. Cheap when nothing is due.
    pub fn presign(&self) -> Result<usize, AuthorityError> {
        let publication = self.publication.load_full();
        if !publication.ocsp {
            return Ok(0);
        }
        let responders = self.responders()?;
        let (mut made, mut seen) = (0, 0);
        let mut after = None;
        while seen < publication.presigned {
            // Nobody revokes meanwhile, so what is read stays true until it is stored.
            let _changing = self.changing.lock();
            let now = self.now();
            let most = PAGE.min(publication.presigned - seen);
            let page = self.inventory.in_force(now, after.as_deref(), most)?;
            let mut operations = Vec::new();
            for found in &page {
                let (issuer, serial) = (found.issuer, found.serial);
                let Some(responder) = responders.of(issuer) else { continue };
                if due(self.store().get(&place(&responder.issuer, serial))?.as_ref(), now) {
                    let revoked = found.revoked.or(responder.issuer.revoked);
                    operations.push(self.answer_for(responder, serial, revoked)?);
                }
            }
            made += operations.len();
            if !operations.is_empty() {
                let transaction = Transaction { conditions: Vec::new(), operations };
                self.commit("OCSP answers", Change { transaction, events: Vec::new() })?;
            }
            seen += page.len();
            match page.into_iter().last() {
                Some(last) => after = Some(last.key),
                None => break,
            }
        }
        Ok(made)
    }
}

fn due(stored: Option<&Versioned>, now: Timestamp) -> bool {
    let good = stored.and_then(|stored| read(&stored.value).map(|(good, _)| good));
    good.is_none_or(|good| !is_good(good, now))
}

/// The responder whose issuer a question names.
fn meant<'a>(responders: &'a Responders, asked: &Asked) -> Option<&'a Responder> {
    let hash = asked.hash?;
    responders.all.iter().find(|responder| responder.issuer.is_meant(hash, &asked.id))
}
