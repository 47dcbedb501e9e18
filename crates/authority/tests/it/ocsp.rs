//! Whether a certificate is revoked, as `openssl ocsp` asks and reads it.

use std::sync::Arc;
use std::time::Duration;

use sealock_authority::{
    Authority, CreateOptions, Issued, KeyType, OcspAnswer, OcspError, OcspRequest, Publication,
    Published, Reason, Rotate,
};
use sealock_core::Clock;

use crate::common::{Place, Scratch, actor, available, options, order, succeed};

const URL: &str = "http://pki.corp.example:8480/";

pub(crate) fn publication() -> Publication {
    Publication { url: Some(URL.into()), ocsp: true, ..Publication::default() }
}

fn scratch(key_type: KeyType) -> Scratch {
    let options = CreateOptions { key_type, publication: publication(), ..options() };
    Place::new().create(&options)
}

/// The files that openssl needs to ask about a certificate.
pub(crate) struct Question {
    issuer: String,
    leaf: String,
    roots: String,
    request: String,
    answer: String,
}

impl Question {
    pub(crate) fn about(scratch: &Scratch, issued: &Issued) -> Self {
        let issuer = scratch.file("issuer.pem", &*issued.intermediates[0].pem);
        let leaf = scratch.file("leaf.pem", issued.tls_crt());
        let roots = scratch.file("roots.pem", issued.ca_crt());
        let (request, answer) = (scratch.file("request.der", ""), scratch.file("answer.der", ""));
        Self { issuer, leaf, roots, request, answer }
    }

    pub(crate) fn request(&self, more: &[&str]) -> OcspRequest {
        let asked = ["-issuer", &self.issuer, "-cert", &self.leaf, "-reqout", &self.request];
        succeed("openssl", &[&["ocsp"], more, &asked].concat());
        OcspRequest::read(&std::fs::read(&self.request).unwrap()).unwrap()
    }

    /// What openssl makes of an answer: it must be signed by whom the roots vouch for.
    pub(crate) fn read(&self, answer: &OcspAnswer) -> String {
        self.read_by("-sha1", answer)
    }

    /// The same for an answer to a question with another hash.
    fn read_by(&self, hash: &str, answer: &OcspAnswer) -> String {
        std::fs::write(&self.answer, &answer.der).unwrap();
        succeed(
            "openssl",
            &[
                "ocsp",
                "-respin",
                &self.answer,
                "-issuer",
                &self.issuer,
                hash,
                "-cert",
                &self.leaf,
                "-CAfile",
                &self.roots,
                "-no-CApath",
                "-no-CAstore",
                "-verify_other",
                &self.issuer,
                "-no_nonce",
            ],
        )
    }
}

#[test]
fn openssl_sees_good_then_revoked() {
    if !available("openssl") {
        return;
    }
    for key_type in KeyType::ALL {
        let scratch = scratch(key_type);
        let issued = scratch.issue(&order(&["web.corp.example"])).unwrap();
        let question = Question::about(&scratch, &issued);
        for hash in ["-sha1", "-sha256", "-sha384", "-sha512"] {
            let request = question.request(&["-no_nonce", hash]);
            assert_eq!(scratch.authority.ocsp_ready(&request), None);
            let answer = scratch.authority.ocsp(&request).unwrap();
            let said = question.read_by(hash, &answer);
            assert!(said.contains("leaf.pem: good"), "{key_type} {hash}: {said}");
            assert_eq!(scratch.authority.ocsp_ready(&request), Some(answer), "made once");
        }
        scratch.authority.revoke(issued.serial, Reason::KeyCompromise, &actor()).unwrap();
        for hash in ["-sha1", "-sha256"] {
            let request = question.request(&["-no_nonce", hash]);
            assert_eq!(scratch.authority.ocsp_ready(&request), None, "an answer before it stays");
            let said = question.read_by(hash, &scratch.authority.ocsp(&request).unwrap());
            assert!(said.contains("leaf.pem: revoked"), "{said}");
            assert!(said.contains("Reason: keyCompromise"), "{said}");
        }
    }
}

#[test]
fn certificates_say_where_to_ask() {
    if !available("openssl") {
        return;
    }
    let scratch = scratch(KeyType::P256);
    let issued = scratch.issue(&order(&["web.corp.example"])).unwrap();
    let leaf = scratch.file("leaf.pem", issued.tls_crt());
    let text = succeed("openssl", &["x509", "-noout", "-text", "-in", &leaf]);
    for line in [
        format!("OCSP - URI:{URL}ocsp"),
        format!("CA Issuers - URI:{URL}ca/{}.crt", issued.issuer),
        format!("URI:{URL}crl/{}.crl", issued.issuer),
    ] {
        assert!(text.contains(&line), "{line}: {text}");
    }
    // Of the intermediate the root's list says it, and nobody answers OCSP.
    let intermediate = scratch.file("intermediate.pem", &*issued.intermediates[0].pem);
    let text = succeed("openssl", &["x509", "-noout", "-text", "-in", &intermediate]);
    assert!(text.contains(&format!("URI:{URL}crl/")) && !text.contains("OCSP"), "{text}");
}

#[test]
fn the_responder_is_a_delegate_of_weeks() {
    if !available("openssl") {
        return;
    }
    let scratch = scratch(KeyType::P256);
    let issued = scratch.issue(&order(&["web.corp.example"])).unwrap();
    let question = Question::about(&scratch, &issued);
    let request = question.request(&["-no_nonce"]);
    question.read(&scratch.authority.ocsp(&request).unwrap());
    let text =
        succeed("openssl", &["ocsp", "-respin", &question.answer, "-noverify", "-resp_text"]);
    for line in ["OCSP Signing", "OCSP No Check", "Sealock OCSP Responder", "CA:FALSE"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let first = text.lines().find(|line| line.contains("Not After")).unwrap().to_owned();
    // Replaced before it ends, and its key with it.
    scratch.place.clock.advance(Duration::from_secs(21 * 86_400));
    scratch.authority.maintain(&actor()).unwrap();
    let issued = scratch.issue(&order(&["web.corp.example"])).unwrap();
    let question = Question::about(&scratch, &issued);
    let answer = scratch.authority.ocsp(&question.request(&["-no_nonce"])).unwrap();
    std::fs::write(&question.answer, &answer.der).unwrap();
    let text =
        succeed("openssl", &["ocsp", "-respin", &question.answer, "-noverify", "-resp_text"]);
    assert!(!text.contains(first.trim()), "the responder was not replaced: {text}");
    let keys = scratch.journal.store().range(&sealock_store::KeyRange::prefix(b"ca/key/"), 100);
    assert_eq!(keys.unwrap().len(), 4, "root, intermediate, audit signer, responder");
}

#[test]
fn nonces_are_answered_where_they_are_wanted() {
    if !available("openssl") {
        return;
    }
    let scratch = scratch(KeyType::P256);
    let issued = scratch.issue(&order(&["web.corp.example"])).unwrap();
    let question = Question::about(&scratch, &issued);
    let request = question.request(&["-nonce"]);
    let without = scratch.authority.ocsp(&request).unwrap();
    assert!(without.good.is_some() && scratch.authority.ocsp_ready(&request).is_some());
    let publication = Publication { nonce: true, ..publication() };
    scratch.authority.publish(publication).unwrap();
    assert_eq!(scratch.authority.ocsp_ready(&request), None);
    let answer = scratch.authority.ocsp(&request).unwrap();
    assert_eq!(answer.good, None, "nobody may keep it");
    std::fs::write(&question.answer, &answer.der).unwrap();
    let arguments = [
        "ocsp",
        "-respin",
        &question.answer,
        "-reqin",
        &question.request,
        "-CAfile",
        &question.roots,
        "-no-CApath",
        "-no-CAstore",
        "-verify_other",
        &question.issuer,
    ];
    let said = succeed("openssl", &arguments);
    assert!(said.contains("Response verify OK") && !said.contains("WARNING"), "{said}");
}

#[test]
fn several_at_once_are_one_answer() {
    if !available("openssl") {
        return;
    }
    let scratch = scratch(KeyType::P256);
    let (one, other) = (
        scratch.issue(&order(&["a.example"])).unwrap(),
        scratch.issue(&order(&["b.example"])).unwrap(),
    );
    scratch.authority.revoke(other.serial, Reason::Superseded, &actor()).unwrap();
    let question = Question::about(&scratch, &one);
    let second = scratch.file("other.pem", other.tls_crt());
    let issuer = question.issuer.clone();
    let request = question.request(&["-no_nonce", "-issuer", &issuer, "-cert", &second]);
    let answer = scratch.authority.ocsp(&request).unwrap();
    std::fs::write(&question.answer, &answer.der).unwrap();
    let text =
        succeed("openssl", &["ocsp", "-respin", &question.answer, "-noverify", "-resp_text"]);
    assert_eq!(text.matches("Cert Status: good").count(), 1, "{text}");
    assert_eq!(text.matches("Cert Status: revoked").count(), 1, "{text}");
}

#[test]
fn what_is_not_ours_is_not_answered() {
    if !available("openssl") {
        return;
    }
    let (scratch, other) = (self::scratch(KeyType::P256), self::scratch(KeyType::P256));
    scratch.issue(&order(&["web.corp.example"])).unwrap();
    let foreign = other.issue(&order(&["web.corp.example"])).unwrap();
    let question = Question::about(&other, &foreign);
    let request = question.request(&["-no_nonce"]);
    assert_eq!(scratch.authority.ocsp(&request).unwrap(), OcspAnswer::unauthorized());
    // The same serial number, said to be of our issuer.
    let issued = scratch.issue(&order(&["other.example"])).unwrap();
    let question = Question::about(&scratch, &issued);
    let serial = format!("0x{}", foreign.serial);
    let asked = [
        "ocsp",
        "-no_nonce",
        "-issuer",
        &question.issuer,
        "-serial",
        &serial,
        "-reqout",
        &question.request,
    ];
    succeed("openssl", &asked);
    let request = OcspRequest::read(&std::fs::read(&question.request).unwrap()).unwrap();
    assert_eq!(scratch.authority.ocsp(&request).unwrap(), OcspAnswer::unauthorized());
    assert_eq!(published(&scratch).ocsp(&request).unwrap(), OcspAnswer::unauthorized());
}

fn published(scratch: &Scratch) -> Published {
    let clock: Arc<dyn Clock> = scratch.place.clock.clone();
    Published::of(Arc::clone(scratch.journal.store()), clock)
}

#[test]
fn a_locked_authority_answers_until_the_next_update() {
    if !available("openssl") {
        return;
    }
    let scratch = scratch(KeyType::P256);
    let issued = scratch.issue(&order(&["web.corp.example"])).unwrap();
    let question = Question::about(&scratch, &issued);
    let request = question.request(&["-no_nonce"]);
    let locked = published(&scratch);
    assert_eq!(locked.ocsp(&request).unwrap(), OcspAnswer::try_later());
    assert_eq!(scratch.authority.presign().unwrap(), 1);
    assert_eq!(scratch.authority.presign().unwrap(), 0, "made once");
    let said = question.read(&locked.ocsp(&request).unwrap());
    assert!(said.contains("leaf.pem: good"), "{said}");
    // A revocation is in store with its own commit, and a kill after it changes nothing.
    scratch.authority.revoke(issued.serial, Reason::Superseded, &actor()).unwrap();
    let scratch = scratch.reopen();
    let locked = published(&scratch);
    let said = question.read(&locked.ocsp(&request).unwrap());
    assert!(said.contains("leaf.pem: revoked"), "{said}");
    let list = locked.crl(issued.issuer).unwrap().unwrap();
    assert_eq!(list.entries, 1);
    let half = Duration::from_secs(43_200);
    scratch.place.clock.advance(half);
    assert!(locked.ocsp(&request).unwrap().good.is_some());
    scratch.authority.publish(publication()).unwrap();
    assert_eq!(scratch.authority.presign().unwrap(), 1, "half of its life is over");
    scratch.place.clock.advance(Duration::from_secs(86_401));
    assert_eq!(locked.ocsp(&request).unwrap(), OcspAnswer::try_later());
}

#[test]
fn answers_in_advance_have_a_limit() {
    let scratch = scratch(KeyType::P256);
    for number in 0..1200 {
        scratch.issue(&order(&[&format!("n{number}.example")])).unwrap();
    }
    let some = Publication { presigned: 600, ..publication() };
    scratch.authority.publish(some).unwrap();
    assert_eq!(scratch.authority.presign().unwrap(), 600, "as many as the settings say");
    scratch.authority.publish(publication()).unwrap();
    assert_eq!(scratch.authority.presign().unwrap(), 600, "the rest");
    scratch.authority.publish(Publication { ocsp: false, ..publication() }).unwrap();
    assert_eq!(scratch.authority.presign().unwrap(), 0);
}

#[test]
fn leaves_of_an_intermediate_that_retired_are_answered() {
    if !available("openssl") {
        return;
    }
    let scratch = scratch(KeyType::P256);
    let issued = scratch.issue(&order(&["web.corp.example"])).unwrap();
    scratch.authority.rotate(Rotate::Root, None, &actor()).unwrap();
    let newer = scratch.issue(&order(&["other.corp.example"])).unwrap();
    for issued in [&issued, &newer] {
        let question = Question::about(&scratch, issued);
        let answer = scratch.authority.ocsp(&question.request(&["-no_nonce"])).unwrap();
        assert!(question.read(&answer).contains("leaf.pem: good"));
    }
}

#[test]
fn many_ask_while_one_revokes() {
    if !available("openssl") {
        return;
    }
    let scratch = scratch(KeyType::P256);
    let issued = scratch.issue(&order(&["web.corp.example"])).unwrap();
    let question = Question::about(&scratch, &issued);
    let request = question.request(&["-no_nonce"]);
    let authority: &Authority = &scratch.authority;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    authority.ocsp(&request).unwrap();
                }
            });
        }
        authority.revoke(issued.serial, Reason::Unspecified, &actor()).unwrap();
        // From here on no answer says otherwise, whatever was being made.
        for _ in 0..2000 {
            let ready = authority.ocsp(&request).unwrap();
            let status = x509_status(&ready);
            assert_eq!(status, "revoked");
        }
    });
}

/// `good` or `revoked`, by the tag of `CertStatus` before the dates.
fn x509_status(answer: &OcspAnswer) -> &'static str {
    // `[0] IMPLICIT NULL` right after the serial number is `good`.
    let good = answer.der.windows(4).any(|four| four == [0x80, 0, 0x18, 0x0f]);
    if good { "good" } else { "revoked" }
}

/// The same question, but with words of the asker's in the algorithm's parameters, or without any.
fn rewritten(request: &std::path::Path, parameters: &[u8]) -> Result<OcspRequest, OcspError> {
    let der = std::fs::read(request).unwrap();
    let null = der.windows(2).position(|two| two == [5, 0]).unwrap();
    let mut changed = [&der[..null], parameters, &der[null + 2..]].concat();
    // All that is around it is shorter than 128 bytes, so each length is one byte.
    let grown = u8::try_from(parameters.len()).unwrap().wrapping_sub(2);
    for at in (1..null).filter(|at| changed[at - 1] == 0x30).collect::<Vec<_>>() {
        changed[at] = changed[at].wrapping_add(grown);
    }
    OcspRequest::read(&changed)
}

#[test]
fn nobody_puts_words_into_an_answer_for_others() {
    if !available("openssl") {
        return;
    }
    let scratch = scratch(KeyType::P256);
    let issued = scratch.issue(&order(&["web.corp.example"])).unwrap();
    let question = Question::about(&scratch, &issued);
    let usual = question.request(&["-no_nonce"]);
    let file = std::path::PathBuf::from(&question.request);
    let words = rewritten(&file, &[4, 3, 7, 7, 7]).unwrap();
    assert_eq!(scratch.authority.ocsp(&words).unwrap(), OcspAnswer::unauthorized());
    // Without parameters it is another question, with an answer of its own.
    let bare = rewritten(&file, &[]).unwrap();
    let other = scratch.authority.ocsp(&bare).unwrap();
    let answer = scratch.authority.ocsp(&usual).unwrap();
    assert_ne!(other.der, answer.der);
    assert!(question.read(&answer).contains("leaf.pem: good"));
    assert!(!answer.der.windows(3).any(|three| three == [7, 7, 7]));
}

#[test]
fn a_clock_that_was_years_ahead_is_got_over() {
    if !available("openssl") {
        return;
    }
    let scratch = scratch(KeyType::P256);
    let issued = scratch.issue(&order(&["web.corp.example"])).unwrap();
    let gone = scratch.issue(&order(&["gone.corp.example"])).unwrap();
    scratch.authority.revoke(gone.serial, Reason::KeyCompromise, &actor()).unwrap();
    let question = Question::about(&scratch, &issued);
    let request = question.request(&["-no_nonce"]);
    let now = scratch.place.clock.now();
    // Within the intermediate's life, or nothing could be signed; but beyond the certificates'.
    scratch.place.clock.advance(Duration::from_secs(100 * 86_400));
    scratch.authority.ocsp(&request).unwrap();
    scratch.authority.crl().unwrap();
    scratch.authority.crl().unwrap();
    scratch.place.clock.set(now);
    let answer = scratch.authority.ocsp(&request).unwrap();
    assert!(question.read(&answer).contains("leaf.pem: good"), "openssl looks at the dates");
    let list = scratch.authority.crl().unwrap();
    assert!(list.this_update <= now && list.next_update > now, "{list:?}");
    assert_eq!(list.entries, 1, "what is revoked is on the list again");
    let stored = published(&scratch).crl(list.issuer).unwrap().unwrap();
    assert_eq!(stored.this_update, list.this_update);
}
