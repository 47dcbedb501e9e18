//! What happened, as typed events in a hash chain.
//!
//! A [`Record`] is one line of JSON. It names the SHA-256 of the line before it, so any change, gap or
//! reordering is found by [`Chain::check`] (and by anybody with `sha256sum`). No event holds a secret
//! value or a token: the types have no place for one.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::clock::Timestamp;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Who did it: an identity, or `uid:0` for a local peer, or `sealock` for the daemon itself.
    pub who: String,
    /// The request it belongs to, the same in logs and answers.
    pub request: String,
    /// What was decided about it, where policy was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionNote>,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// The policy decision behind an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionNote {
    /// Whether it was allowed.
    pub allowed: bool,
    /// The action asked for, such as `Cert::Issue`.
    pub action: String,
    /// What it was to be done to.
    pub resource: String,
    /// The rules that determined it; empty for the default denial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The number of the policy that was loaded.
    pub epoch: u64,
    /// The question itself as JSON, kept for denials so that `policy explain` can ask it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<serde_json::Value>,
    /// Further questions that were denied in the same request, which went on all the same (audit, learn).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<serde_json::Value>,
}

impl DecisionNote {
    /// Both, as one about one request.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.allowed &= other.allowed;
        if !self.resource.split(", ").any(|resource| resource == other.resource) {
            self.resource = format!("{}, {}", self.resource, other.resource);
        }
        match (&self.question, other.question) {
            (None, question) => self.question = question,
            (Some(_), question) => self.further.extend(question),
        }
        self.further.extend(other.further);
        for rule in other.rules {
            if !self.rules.contains(&rule) {
                self.rules.push(rule);
            }
        }
        self
    }

    /// Every question that was denied.
    pub fn questions(&self) -> impl Iterator<Item = &serde_json::Value> {
        self.question.iter().chain(&self.further)
    }
}

/// On whose behalf something is done, and what policy said to it: what every event takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// An identity, or `uid:0` for a local peer, or `sealock` for the daemon itself.
    pub who: String,
    /// The request it belongs to.
    pub request: String,
    /// The decision, where policy was asked.
    pub decision: Option<DecisionNote>,
}

impl Actor {
    /// The daemon itself, on nobody's request.
    pub fn daemon(request: &str) -> Self {
        Self { who: "sealock".to_owned(), request: request.to_owned(), decision: None }
    }

    /// What happened, done by this actor.
    pub fn event(&self, at: Timestamp, fact: Fact) -> Event {
        Event {
            at,
            who: self.who.clone(),
            request: self.request.clone(),
            decision: self.decision.clone(),
            fact,
        }
    }
}

/// What happened, with its own fields. The serialised tag `event` is what `audit tail` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "the fields are named by what they hold; serials are hex, times RFC 3339"
)]
pub enum Fact {
    /// The authority was made.
    CaCreated { trust_domain: String, root: String, intermediate: String },
    /// A new root or intermediate.
    CaRotated { what: String, serial: String },
    /// The root key left the host.
    RootKeyExported { removed: bool },
    /// A key's protection was opened.
    CaUnlocked { protection: String },
    /// A certificate was issued.
    CertIssued {
        serial: String,
        name: String,
        names: Vec<String>,
        not_after: String,
        /// Only where it is another than our own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
    },
    /// A certificate took the place of another.
    CertRenewed {
        serial: String,
        replaces: String,
        name: String,
        not_after: String,
        /// Only where it is another than our own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
    },
    /// A CA was revoked, and with it all that it has signed; `successor` is what signs in its place, if that was made for it.
    CaRevoked {
        what: String,
        serial: String,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        successor: Option<String>,
    },
    /// A certificate was revoked.
    CertRevoked { serial: String, reason: String },
    /// The certificates of an entry of an LDAP directory were changed: these serials were put in and taken out. `directory`
    /// is its name in the settings; `created` says that the entry was made, too.
    CertPublished {
        name: String,
        url: String,
        dn: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        directory: Option<String>,
        added: Vec<String>,
        removed: Vec<String>,
        created: bool,
        /// The name is that of a certificate of another authority.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        imported: bool,
    },
    /// A new CRL was made.
    CrlMade { number: u64, entries: u64 },
    /// A key and a CSR were made for a certificate that another authority signs; `key` is the SHA-256 of the public key.
    CertRequested {
        name: String,
        subject: String,
        names: Vec<String>,
        key: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        renewal: bool,
        /// Where it is asked for by protocol.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upstream: Option<String>,
    },
    /// Such a request was dropped; `certificate`: what was served, too.
    CertRequestDropped { name: String, certificate: bool },
    /// A certificate of another authority was taken.
    CertImported {
        name: String,
        serial: String,
        issuer: String,
        names: Vec<String>,
        not_after: String,
    },
    /// Such a certificate was handed out with its key.
    CertTaken { name: String, serial: String },
    /// A root of another authority is handed out from now on.
    AnchorAdded { anchor: String, subject: String, sha256: String },
    /// It no longer is.
    AnchorRemoved { anchor: String, subject: String, sha256: String },
    /// Policy said no.
    Denied { reason: String },
    /// A request was refused or failed for another reason than policy.
    Failed { what: String, error: String },
    /// A transfer into a container began.
    TransferStarted { transfer: String, container: String, path: String, carrier: String },
    /// The receiver's receipt was verified.
    TransferDone {
        transfer: String,
        container: String,
        path: String,
        carrier: String,
        sha256: String,
        bytes: u64,
        files: u64,
    },
    /// A transfer did not reach its end; the old content stands.
    TransferFailed { transfer: String, container: String, path: String, error: String },
    /// A one-shot offer was made, bound to no container.
    OfferMade { transfer: String, bytes: u64, expires: String },
    /// An offer was taken.
    OfferTaken { transfer: String, peer: String, sha256: String },
    /// Somebody asked for an offer and did not get it.
    OfferRefused { transfer: String, peer: String, reason: String },
    /// A labelled certificate was delivered.
    CertDelivered { serial: String, name: String, container: String, path: String, reload: String },
    /// A service was seen to serve a serial.
    CertServed { serial: String, container: String, endpoint: String },
    /// A label could not be read or was refused by policy.
    LabelRefused { container: String, label: String, reason: String, hint: String },
    /// Something needs a person.
    AlarmRaised { alarm: String, subject: String, reason: String },
    /// It no longer does.
    AlarmCleared { alarm: String, subject: String },
    /// Something was done to the engine through the gateway.
    DockerRequest { operation: String, resource: String },
    /// Somebody asked the gateway for more than their limits allow, and was turned away; at most one record in
    /// a minute for each of them.
    LimitReached { limit: String, most: u32 },
    /// A secret's value was read.
    SecretRead { secret: String, version: u64 },
    /// A secret has a new value.
    SecretWritten { secret: String, version: u64, bytes: u64, expires: String },
    /// A version of a secret was deleted; it can be had back.
    SecretDeleted { secret: String, version: u64 },
    /// A deletion was taken back.
    SecretUndeleted { secret: String, version: u64 },
    /// Versions of a secret were destroyed; `version` 0 stands for all of them.
    SecretPurged { secret: String, version: u64 },
    /// The vault has a new key; this many values were put under it.
    VaultKeyRotated { key: u64, values: u64 },
    /// The vault was exported, sealed to these recipients.
    VaultExported { secrets: u64, values: u64, recipients: Vec<String> },
    /// Secrets of a backup were taken in.
    VaultImported { secrets: u64, values: u64 },
    /// A labelled secret was put into a container.
    SecretDelivered {
        secret: String,
        version: u64,
        container: String,
        path: String,
        reload: String,
    },
    /// A labelled trust bundle was put into a container; `bundle` is its digest.
    TrustDelivered { bundle: String, container: String, path: String, reload: String },
    /// A token was issued; `token` is its id, `bound` whether it is good only with a certificate.
    TokenIssued { token: String, audience: String, expires: String, client: String, bound: bool },
    /// Tokens are no longer good; `what` is what they are known by (`token`, `identity`, `client`, `key`, `before`),
    /// and `number` the place in the list of revocations.
    TokenRevoked { number: u64, what: String, subject: String, issued_until: String },
    /// A key that signs tokens was made, and signs from a time on.
    TokenKeyMade { key: String, algorithm: String, signs_from: String },
    /// No token of this key can be alive any more.
    TokenKeyRemoved { key: String },
    /// Somebody may ask for tokens with a secret.
    ClientAdded { client: String, identity: String },
    /// A client has a new secret; the old one ends.
    ClientRotated { client: String, old_until: String },
    /// A client's secrets are no longer good.
    ClientRemoved { client: String },
    /// A Gatekeeper or Forwarder that labels ask for was made beside a container.
    SidecarMade { sidecar: String, role: String, container: String, acts_as: String },
    /// It is gone, and acts for nobody.
    SidecarRemoved { sidecar: String, role: String, container: String, reason: String },
    /// A client signs who it is, with these keys and no others.
    ClientKeysChanged { client: String, keys: Vec<String> },
    /// Somebody who waited to be let in was told yes; `client` and `origin` say by which program and from where.
    LoginConfirmed { user: String, client: String, origin: String },
    /// Or no.
    LoginDenied { client: String, origin: String },
    /// Somebody was given a code for a certificate.
    LoginInvited { user: String, expires: String },
    /// A code was used; `by` is `device` or `invite`.
    LoginDone { user: String, by: String },
    /// Somebody's codes are worth nothing, and their certificates are not renewed.
    LoginRevoked { user: String },
    /// A Gatekeeper is an instance of a service from now on; Forwarders are told.
    GatekeeperJoined { service: String, address: String },
    /// It is no longer there.
    GatekeeperLeft { service: String, address: String },
    /// A Gatekeeper let a call pass that no rule permits, for the mode is `audit` or `learn`. The same call is recorded once
    /// for each policy. `cut`: of the path there is only the beginning. `unrecorded`: how many more of this caller's there
    /// was no room for since the last.
    CallPassed {
        method: String,
        path: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cut: bool,
        #[serde(default, skip_serializing_if = "is_zero")]
        unrecorded: u64,
    },
    /// An ACME account was made, deactivated, revoked or has another key; `identity` is as whom it orders, where it was
    /// vouched for.
    AcmeAccount {
        account: String,
        change: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<String>,
    },
    /// An ACME account has shown that it speaks for a name; `method` is the challenge.
    AcmeProved { account: String, name: String, method: String },
    /// A key that vouches for ACME accounts was made or removed.
    AcmeBinding { binding: String, identity: String, change: String },
    /// The daemon started.
    DaemonStarted { version: String },
    /// The daemon stopped in order.
    DaemonStopped {},
    /// A policy was loaded.
    PolicyLoaded { epoch: u64, rules: u64, sha256: String },
    /// A policy was not loaded; the one before it stands.
    PolicyRejected { error: String },
    /// A file was put into the policy folder, for somebody.
    PolicyWritten { file: String, preset: String, grantee: String },
    /// Somebody was put into a group; the member as `human/alice`.
    GroupChanged { group: String, member: String, change: String },
    /// The engine came or went.
    EngineChanged { state: String },
    /// The head of the chain, signed.
    Checkpoint {
        /// Not `seq` on the line: that is the record's own number.
        #[serde(rename = "signed_seq")]
        seq: u64,
        head: String,
        signature: String,
        signer: String,
    },
    /// A key and a CSR were made for an issuing CA of ours under a root of somebody else; `key` is its id.
    IssuerRequested { issuer: String, subject: String, key: String },
    /// Its certificate was taken: it issues from now on, or has another chain.
    IssuerImported {
        issuer: String,
        serial: String,
        subject: String,
        root: String,
        not_after: String,
    },
    /// It is chosen no more (`disabled`), again (`enabled`), or what waited was dropped (`cancelled`).
    IssuerChanged { issuer: String, change: String },
    /// Any later plane's event before it has a type of its own here: name and fields.
    Other { what: String, fields: BTreeMap<String, String> },
    /// The key of a CA went from one place to another: `store`, `hsm`.
    CaKeyMoved { what: String, serial: String, from: String, to: String },
    /// The wrapping key came under another protection: `file`, `passphrase`. Recorded just before it is put in place.
    KeyProtected { from: String, to: String },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The SHA-256 of a record's line.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// What the first record names as its predecessor.
    pub const START: Self = Self([0; 32]);

    /// The hash of a line (without its line end).
    pub fn of(line: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, line);
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }

    /// The hash as it is kept in binary.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Lower-case hex.
    pub fn to_hex(self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }

    /// From lower-case hex.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_hex())
    }
}

/// An event at its place in the chain; one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// 1 for the first, then without gaps.
    pub seq: u64,
    /// Hex SHA-256 of the line before; zeros for the first.
    pub previous: String,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// Where a chain does not hold.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum ChainError {
    /// The line is not a record.
    #[error("record {seq} cannot be read: {detail}")]
    Unreadable {
        /// Where it should stand.
        seq: u64,
        /// What the parser said.
        detail: String,
    },
    /// A record is missing or out of order.
    #[error("record {expected} is missing: record {found} stands in its place")]
    Gap {
        /// The number expected.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// The record before this one is not what it was.
    #[error("the record before {seq} was changed: its hash is not the one that {seq} names")]
    Changed {
        /// The record that names another predecessor.
        seq: u64,
    },
}

/// The end of a chain: appends to it and checks records against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    seq: u64,
    head: ChainHash,
}

impl Default for Chain {
    fn default() -> Self {
        Self { seq: 0, head: ChainHash::START }
    }
}

impl Chain {
    /// A chain whose last record is `seq` with this hash.
    pub fn resume(seq: u64, head: ChainHash) -> Self {
        Self { seq, head }
    }

    /// The number of the last record; 0 when there is none.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The hash of the last record.
    pub fn head(&self) -> ChainHash {
        self.head
    }

    /// The next record's line (no line end), and the chain moved on to it.
    pub fn append(&mut self, event: Event) -> Result<Vec<u8>, serde_json::Error> {
        let record = Record { seq: self.seq + 1, previous: self.head.to_hex(), event };
        let line = serde_json::to_vec(&record)?;
        self.seq += 1;
        self.head = ChainHash::of(&line);
        Ok(line)
    }

    /// Reads the next line, checks that it follows, and moves on to it.
    pub fn check(&mut self, line: &[u8]) -> Result<Record, ChainError> {
        let expected = self.seq + 1;
        let record: Record = serde_json::from_slice(line)
            .map_err(|error| ChainError::Unreadable { seq: expected, detail: error.to_string() })?;
        if record.seq != expected {
            return Err(ChainError::Gap { expected, found: record.seq });
        }
        if record.previous != self.head.to_hex() {
            return Err(ChainError::Changed { seq: record.seq });
        }
        self.seq = expected;
        self.head = ChainHash::of(line);
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: &str) -> Event {
        Event {
            at: Timestamp::from_secs(1),
            who: "uid:0".into(),
            request: "r1".into(),
            decision: None,
            fact: Fact::Denied { reason: reason.into() },
        }
    }

    fn lines() -> Vec<Vec<u8>> {
        let mut chain = Chain::default();
        ["a", "b", "c"].iter().map(|reason| chain.append(event(reason)).unwrap()).collect()
    }

    #[test]
    fn an_untouched_chain_holds() {
        let mut chain = Chain::default();
        for line in lines() {
            chain.check(&line).unwrap();
        }
        assert_eq!(chain.seq(), 3);
    }

    #[test]
    fn change_gap_and_order_are_found() {
        let mut changed = lines();
        changed[1] =
            String::from_utf8(changed[1].clone()).unwrap().replace("\"b\"", "\"x\"").into();
        let mut chain = Chain::default();
        chain.check(&changed[0]).unwrap();
        chain.check(&changed[1]).unwrap();
        assert_eq!(chain.check(&changed[2]), Err(ChainError::Changed { seq: 3 }));

        let mut chain = Chain::default();
        chain.check(&lines()[0]).unwrap();
        assert_eq!(chain.check(&lines()[2]), Err(ChainError::Gap { expected: 2, found: 3 }));
        assert!(matches!(chain.check(b"{"), Err(ChainError::Unreadable { seq: 2, .. })));
    }

    #[test]
    fn a_checkpoint_does_not_hide_its_records_number() {
        let fact = Fact::Checkpoint {
            seq: 7,
            head: ChainHash::START.to_hex(),
            signature: "c2ln".into(),
            signer: "pem".into(),
        };
        let written = Event { fact, ..event("") };
        let line = Chain::default().append(written.clone()).unwrap();
        let record = Chain::default().check(&line).unwrap();
        assert_eq!((record.seq, record.event), (1, written));
    }

    #[test]
    fn records_read_back_as_written() {
        let line = &lines()[0];
        let record: Record = serde_json::from_slice(line).unwrap();
        assert_eq!(record.event, event("a"));
        assert_eq!(&serde_json::to_vec(&record).unwrap(), line);
    }
}
