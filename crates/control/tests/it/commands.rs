//! Every command is decided: a list that fails when one has no deny test.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealock_control::command::{
    AcmeBind, CaImport, CaRequest, CertImport, CertRequest, ClientKeys, Init, Issue, IssuerChange,
    KeyHome, KeyProtection, LdapServer, List, LoginConfirm, LoginDeny, LoginInvite, Names,
    NewValue, OfferEvent, OnExisting, Publish, RevocationReason, RotateWhat, SecretAnswer,
    SecretBlob, SecretOutcome, SecretText, SecretWanted, Sign, TokenWanted, TokensRevoked,
    TransferBegin, TransferFinish, TrustAdd,
};
use sealock_control::{Caller, Command, Door, ErrorCode, Reply, Service};
use sealock_core::audit::{Fact, Record};
use sealock_core::policy::ContainerFacts;
use sealock_core::{IdentityKind, SecretBytes};

use crate::scratch::{Scratch, admin, call, issued, nobody, records};

/// How a stranger is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// Policy is asked and the denial is recorded.
    Policy,
    /// Policy is asked for each thing that is named, and the answer says it of each.
    Each,
    /// It is about the caller only.
    Nobody,
    /// Only who began it may go on with it; to others it does not exist.
    Owner,
    /// Policy is asked and the denial is recorded, but the answer does not tell it from there being nothing.
    Silent,
    /// It is for containers by the workload socket, administrators or not, and the refusal is recorded.
    Container,
}

/// Adding a command makes this fail to compile; giving it no sample below makes the test fail.
#[expect(clippy::too_many_lines, reason = "an arm for each command, and nothing else")]
fn guard(command: &Command) -> (usize, Guard) {
    match command {
        Command::Init(_) => (0, Guard::Policy),
        Command::CaShow => (1, Guard::Policy),
        Command::CaBundle => (2, Guard::Policy),
        Command::CaRotate { .. } => (3, Guard::Policy),
        Command::CaCrl => (4, Guard::Policy),
        Command::CaExportRootKey { .. } => (5, Guard::Policy),
        Command::CaRemoveRootKey { .. } => (6, Guard::Policy),
        Command::CertIssue(_) => (7, Guard::Policy),
        Command::CertSign(_) => (8, Guard::Policy),
        Command::CertList(_) => (9, Guard::Policy),
        Command::CertShow { .. } => (10, Guard::Policy),
        Command::CertRenew { .. } => (11, Guard::Policy),
        Command::CertRevoke { .. } => (12, Guard::Policy),
        Command::TransferBegin(_) => (13, Guard::Policy),
        Command::TransferFinish(_) => (14, Guard::Owner),
        Command::TransferFailed { .. } => (15, Guard::Owner),
        Command::OfferBegin { .. } => (16, Guard::Policy),
        Command::OfferEvent { .. } => (17, Guard::Owner),
        Command::Status => (18, Guard::Policy),
        Command::AuditTail { .. } => (19, Guard::Policy),
        Command::AuditVerify => (20, Guard::Policy),
        Command::AuditExport { .. } => (21, Guard::Policy),
        Command::PolicyCheck { .. } => (22, Guard::Policy),
        Command::PolicySchema => (23, Guard::Policy),
        Command::PolicyExplain { .. } => (24, Guard::Policy),
        Command::PolicyReload => (25, Guard::Policy),
        Command::ConfigCheck => (26, Guard::Policy),
        Command::GroupAdd { .. } => (27, Guard::Policy),
        Command::PolicyShow => (30, Guard::Policy),
        Command::PolicyUse { .. } => (31, Guard::Policy),
        Command::GroupRemove { .. } => (28, Guard::Policy),
        Command::GroupList { .. } => (29, Guard::Policy),
        Command::Whoami => (32, Guard::Nobody),
        Command::SecretSet { .. } => (33, Guard::Policy),
        Command::SecretRead { .. } => (34, Guard::Each),
        Command::SecretReadBelow { .. } => (35, Guard::Policy),
        Command::SecretVersions { .. } => (36, Guard::Policy),
        Command::SecretList { .. } => (37, Guard::Policy),
        Command::SecretHistory { .. } => (38, Guard::Policy),
        Command::SecretDelete { .. } => (39, Guard::Policy),
        Command::SecretUndelete { .. } => (40, Guard::Policy),
        Command::SecretPurge { .. } => (41, Guard::Policy),
        Command::VaultRotateKey => (42, Guard::Policy),
        Command::VaultExport { .. } => (43, Guard::Policy),
        Command::VaultImport { .. } => (44, Guard::Policy),
        Command::TokenIssue(_) => (45, Guard::Policy),
        Command::TokenIntrospect { .. } => (46, Guard::Silent),
        Command::TokenRevoke(_) => (47, Guard::Policy),
        Command::TokenKeys => (48, Guard::Policy),
        Command::TokenRotateKey => (49, Guard::Policy),
        Command::ClientAdd { .. } => (50, Guard::Policy),
        Command::ClientList => (51, Guard::Policy),
        Command::ClientRotate { .. } => (52, Guard::Policy),
        Command::ClientRemove { .. } => (53, Guard::Policy),
        Command::CallsDenied { .. } => (54, Guard::Policy),
        Command::ClientKeys(_) => (55, Guard::Policy),
        Command::LoginList => (56, Guard::Policy),
        Command::LoginConfirm(_) => (57, Guard::Policy),
        Command::LoginDeny(_) => (58, Guard::Policy),
        Command::LoginInvite(_) => (59, Guard::Policy),
        Command::ServiceList => (60, Guard::Policy),
        Command::AcmeBind(_) => (61, Guard::Policy),
        Command::AcmeBindings => (62, Guard::Policy),
        Command::AcmeAccounts => (83, Guard::Policy),
        Command::AcmeUnbind { .. } => (63, Guard::Policy),
        Command::AcmeAccountRevoke { .. } => (64, Guard::Policy),
        Command::CertPublish(_) => (73, Guard::Policy),
        Command::CertRequest(_) => (65, Guard::Policy),
        Command::CertRequests { .. } => (66, Guard::Policy),
        Command::CertRequestDrop { .. } => (67, Guard::Policy),
        Command::CertImport(_) => (68, Guard::Policy),
        Command::CertFiles { .. } => (69, Guard::Policy),
        Command::TrustAdd(_) => (70, Guard::Policy),
        Command::TrustList => (71, Guard::Policy),
        Command::TrustRemove { .. } => (72, Guard::Policy),
        Command::CertReport { .. } => (74, Guard::Policy),
        Command::CaRequest(_) => (75, Guard::Policy),
        Command::CaImport(_) => (76, Guard::Policy),
        Command::CaIssuers => (77, Guard::Policy),
        Command::CaIssuerChange { .. } => (78, Guard::Policy),
        Command::AcmeAttest => (79, Guard::Container),
        Command::Upstreams { .. } => (80, Guard::Policy),
        Command::CaMigrateKey { .. } => (81, Guard::Policy),
        Command::CaRetryPin => (82, Guard::Policy),
        Command::CaRevoke { .. } => (84, Guard::Policy),
        Command::CaProtect { .. } => (85, Guard::Policy),
    }
}

const COMMANDS: usize = 86;

/// One of each, in an order in which the administrator may do them all.
async fn samples(service: &Arc<Service>) -> Vec<Command> {
    let issued = issued(service, "web").await;
    let Reply::RootKey(exported) =
        call(service, Command::CaExportRootKey { passphrase: None }).await.unwrap()
    else {
        panic!("no root key")
    };
    let opened = |reply| match reply {
        Reply::Opened(opened) => opened.transfer,
        other => panic!("{other:?}"),
    };
    let begin = Command::TransferBegin(TransferBegin {
        container: ContainerFacts { id: "ab".repeat(32), name: "web".into(), ..Default::default() },
        path: "/etc/web".into(),
        carrier: "direct".into(),
        after: None,
    });
    let offer = Command::OfferBegin { bytes: 10, ttl: 60 };
    let first = opened(call(service, begin.clone()).await.unwrap());
    let second = opened(call(service, begin.clone()).await.unwrap());
    let third = opened(call(service, offer.clone()).await.unwrap());
    let refused = service.handle(&nobody(), Command::Status).await.unwrap_err();
    let finish = TransferFinish {
        transfer: first,
        sha256: "0".repeat(64),
        bytes: 1,
        files: 1,
        carrier: None,
    };
    let mut all = of_vault();
    all.extend(of_broker(service).await);
    all.extend(acme_samples());
    all.extend(of_others());
    all.extend([
        Command::Init(Init::default()),
        Command::CaShow,
        Command::CaBundle,
        Command::CaCrl,
        Command::CertIssue(Issue { name: "db".into(), ..Issue::default() }),
        Command::CertSign(Sign { csr: csr(), ..Sign::default() }),
        Command::CertList(List::default()),
        Command::CertReport { limit: None },
        Command::CertShow { certificate: "web".into() },
        Command::CertRenew { certificate: "web".into(), ttl: Some(3600) },
        publish(),
        Command::CertRevoke { serial: issued.serial, reason: Default::default() },
        begin,
        Command::TransferFinish(finish),
        Command::TransferFailed { transfer: second, error: "gone".into() },
        offer,
        Command::OfferEvent {
            transfer: third,
            event: OfferEvent::Taken { peer: "10.0.0.1".into(), sha256: "0".repeat(64) },
        },
        Command::Status,
        Command::ServiceList,
        Command::AuditTail { after: None, limit: 10 },
        Command::AuditVerify,
        Command::AuditExport { from: 1, limit: 10 },
        Command::PolicyCheck { files: BTreeMap::new() },
        Command::PolicySchema,
        Command::PolicyExplain { request: refused.request.unwrap() },
        Command::PolicyReload,
        Command::PolicyShow,
        Command::PolicyUse {
            preset: "read-only".into(),
            grantee: "human/alice".parse().unwrap(),
            force: false,
        },
        Command::ConfigCheck,
        group_add("alice", "operators"),
        Command::GroupList { group: None },
        group_remove("alice", "operators"),
    ]);
    let Reply::Ca(ca) = call(service, Command::CaShow).await.unwrap() else { panic!("no CA") };
    all.extend(of_keys(exported, ca.intermediates[0].id.clone()));
    all
}

fn of_keys(exported: SecretText, ca: String) -> [Command; 7] {
    let what = RotateWhat::Intermediate;
    [
        Command::CaRetryPin,
        unprotected(),
        Command::CaMigrateKey {
            what: Some(what),
            issuer: None,
            to: KeyHome::Store,
            extractable: false,
        },
        Command::CaRotate { what, root_key: None, passphrase: None },
        Command::CaRevoke {
            ca,
            reason: RevocationReason::KeyCompromise,
            root_key: None,
            passphrase: None,
        },
        Command::CaExportRootKey { passphrase: None },
        Command::CaRemoveRootKey { exported, passphrase: None },
    ]
}

fn unprotected() -> Command {
    let key_protection = KeyProtection::File;
    Command::CaProtect { key_protection, passphrase: None, new_passphrase: None }
}

fn of_vault() -> Vec<Command> {
    vec![
        Command::Whoami,
        Command::SecretSet {
            name: "prod/db".into(),
            value: NewValue::Given(SecretBytes::new(b"hunter2".to_vec()).into()),
            ttl: Some(3600),
        },
        Command::SecretRead {
            secrets: vec![SecretWanted { name: "prod/db".into(), version: Some(1) }],
        },
        Command::SecretReadBelow { path: "prod".into() },
        Command::SecretVersions { secrets: vec!["prod/db".into()] },
        Command::SecretList { path: Some("prod".into()), after: None, limit: 10 },
        Command::SecretHistory { name: "prod/db".into() },
        Command::SecretDelete { name: "prod/db".into(), version: None },
        Command::SecretUndelete { name: "prod/db".into(), version: None },
        Command::VaultRotateKey,
        Command::VaultExport { recipients: vec![RECIPIENT.into()], path: None },
        Command::VaultImport { backup: backup(), on_existing: OnExisting::Skip },
        Command::SecretPurge { name: "prod/db".into(), version: None },
    ]
}

async fn of_broker(service: &Arc<Service>) -> Vec<Command> {
    let wanted = TokenWanted { audience: "orders".into(), ..TokenWanted::default() };
    let Reply::Token(token) = call(service, Command::TokenIssue(wanted.clone())).await.unwrap()
    else {
        panic!("no token")
    };
    vec![
        Command::TokenIssue(wanted),
        Command::TokenIntrospect { token: token.token },
        Command::TokenRevoke(TokensRevoked::Id(token.id)),
        Command::TokenKeys,
        Command::TokenRotateKey,
        Command::ClientAdd { name: "shop".into(), identity: None },
        Command::ClientList,
        Command::ClientRotate { name: "shop".into(), overlap: Some(60) },
        Command::LoginInvite(LoginInvite { user: "alice".into(), ..LoginInvite::default() }),
        Command::LoginList,
        Command::LoginConfirm(LoginConfirm { code: "BCDF-GHJK".into(), ..LoginConfirm::default() }),
        Command::LoginDeny(LoginDeny::User("alice".into())),
        Command::ClientKeys(ClientKeys { name: "shop".into(), ..ClientKeys::default() }),
        Command::ClientRemove { name: "shop".into() },
        Command::CallsDenied { service: "orders".into(), denials: Vec::new() },
    ]
}

/// Where nobody listens: see `publish` for what is done where somebody does.
fn publish() -> Command {
    let server = LdapServer { url: "ldap://127.0.0.1:1".into(), ..LdapServer::default() };
    Command::CertPublish(Publish {
        certificate: "web".into(),
        imported: false,
        directory: None,
        dn: Some("cn=web,dc=corp,dc=example".into()),
        server: Some(server),
    })
}

fn acme_samples() -> Vec<Command> {
    let name = "web".to_owned();
    let bind = AcmeBind { name: name.clone(), identity: None, life: None, reusable: false };
    vec![
        Command::AcmeBind(bind),
        Command::AcmeBindings,
        Command::AcmeUnbind { name },
        Command::AcmeAccounts,
        Command::AcmeAccountRevoke { account: "A".repeat(22) },
        Command::AcmeAttest,
    ]
}

/// A certificate with its key, of an authority of the company's own.
fn of_others() -> Vec<Command> {
    let mut root = rcgen::CertificateParams::new(Vec::new()).unwrap();
    root.distinguished_name.push(rcgen::DnType::CommonName, "Corp Root");
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = rcgen::CertifiedIssuer::self_signed(root, rcgen::KeyPair::generate().unwrap());
    let root = root.unwrap();
    let mut leaf = rcgen::CertificateParams::new(vec!["www.corp.example".to_owned()]).unwrap();
    leaf.is_ca = rcgen::IsCa::ExplicitNoCa;
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, &root).unwrap();
    let base64 = |der: &[u8]| data_encoding::BASE64.encode(der);
    let name = || "corp-web".to_owned();
    vec![
        Command::TrustAdd(TrustAdd {
            certificate: base64(root.der()),
            name: Some("corp".into()),
            intermediate: false,
        }),
        Command::TrustList,
        Command::Upstreams { name: None, ask: false },
        Command::CertRequest(CertRequest {
            name: name(),
            names: Names { dns: vec!["www.corp.example".into()], ..Names::default() },
            ..CertRequest::default()
        }),
        Command::CertRequests { name: None },
        Command::CertImport(CertImport {
            name: Some(name()),
            certificates: vec![base64(leaf.der())],
            key: Some(SecretBytes::new(key.serialize_der()).into()),
            accept_names: false,
            accept_shorter: false,
        }),
        Command::CertFiles { name: name() },
        Command::CertRequestDrop { name: name(), forget: true, force: false },
        Command::TrustRemove { root: "corp".into(), force: false },
        Command::CaRequest(CaRequest {
            name: "corp".into(),
            subject: Some("CN=Docker Issuing CA".into()),
            ..CaRequest::default()
        }),
        Command::CaImport(CaImport { name: "corp".into(), certificates: vec![base64(root.der())] }),
        Command::CaIssuers,
        Command::CaIssuerChange { name: "corp".into(), change: IssuerChange::Disable },
    ]
}

/// Somebody to whom a backup can be sealed.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// A backup without secrets.
fn backup() -> SecretBlob {
    let empty = include_bytes!("../../../../fuzz/corpus/secrets_backup/empty");
    SecretBytes::new(empty.to_vec()).into()
}

fn group_add(name: &str, group: &str) -> Command {
    Command::GroupAdd { kind: IdentityKind::Human, name: name.into(), group: group.into() }
}

fn group_remove(name: &str, group: &str) -> Command {
    Command::GroupRemove { kind: IdentityKind::Human, name: name.into(), group: group.into() }
}

fn csr() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["signed.example".to_owned()]).unwrap();
    params.serialize_request(&key).unwrap().pem().unwrap()
}

#[tokio::test]
async fn every_command_is_denied_to_strangers_and_done_for_the_administrator() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let samples = samples(&service).await;
    let mut seen: Vec<usize> = samples.iter().map(|command| guard(command).0).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..COMMANDS).collect::<Vec<_>>(), "every command has a sample");

    for command in &samples {
        let before = records(&service).len();
        let answer = service.handle(&nobody(), command.clone()).await;
        let new = records(&service).split_off(before);
        let name = command.name();
        let error = match (guard(command).1, answer) {
            (Guard::Nobody, Ok(Reply::Whoami(found))) => {
                assert!(found.identity.ends_with(nobody().principal.identity.name()));
                assert!(new.is_empty(), "{name}: {new:?}");
                continue;
            }
            (Guard::Silent, Ok(Reply::TokenState(state))) => {
                assert!(!state.active && state.claims.is_none(), "{name}: {state:?}");
                assert_eq!(new.len(), 1, "{name}: {new:?}");
                assert!(matches!(new[0].event.fact, Fact::Denied { .. }), "{name}: {new:?}");
                continue;
            }
            (Guard::Each, Ok(Reply::Secrets(answers))) => match &answers[0].outcome {
                SecretOutcome::Refused(error) => error.clone(),
                other => panic!("{name}: {other:?}"),
            },
            (_, answer) => answer.unwrap_err(),
        };
        match guard(command).1 {
            Guard::Nobody | Guard::Silent => panic!("{name}: {error:?}"),
            Guard::Policy | Guard::Each => {
                assert_eq!(error.code, ErrorCode::Denied, "{name}: {error:?}");
                assert_eq!(new.len(), 1, "{name} does nothing but record the denial: {new:?}");
                let event = &new[0].event;
                assert!(matches!(event.fact, Fact::Denied { .. }), "{name}: {event:?}");
                let decision = event.decision.as_ref().unwrap();
                assert!(!decision.allowed && decision.question.is_some(), "{name}");
                assert_eq!(Some(&event.request), error.request.as_ref(), "{name}");
            }
            Guard::Container => {
                assert_eq!(error.code, ErrorCode::Denied, "{name}: {error:?}");
                assert!(matches!(new[0].event.fact, Fact::Denied { .. }), "{name}: {new:?}");
                assert_eq!(new.len(), 1, "{name}: {new:?}");
            }
            Guard::Owner => {
                assert_eq!(error.code, ErrorCode::NotFound, "{name}: {error:?}");
                assert!(new.is_empty(), "{name}: {new:?}");
            }
        }
    }
    for command in samples {
        let name = command.name();
        let nobody_waits =
            matches!(command, Command::LoginConfirm(_) | Command::AcmeAccountRevoke { .. });
        let is_containers = guard(&command).1 == Guard::Container;
        let done = call(&service, command).await;
        match done {
            Err(error) if is_containers => assert_eq!(error.code, ErrorCode::Denied),
            // Only at the API can somebody begin to wait, or make an account: see `logins` and `acme`.
            Err(error) if nobody_waits => assert_eq!(error.code, ErrorCode::NotFound),
            // Nobody has signed it: see `issuers`.
            Err(error) if name == "ca-import" => assert_eq!(error.code, ErrorCode::Failed),
            // There is no HSM: see the tests with one.
            Err(error) if name == "ca-retry-pin" => assert_eq!(error.code, ErrorCode::Usage),
            Err(error) if name == "cert-publish" => assert_eq!(error.code, ErrorCode::Unavailable),
            done => assert!(done.is_ok(), "{name}: {done:?}"),
        }
    }
    match call(&service, Command::AuditVerify).await.unwrap() {
        Reply::AuditVerified(report) => assert!(report.intact, "{report:?}"),
        other => panic!("{other:?}"),
    }
}

/// Whatever the rules are: these are from before there was such an operation.
#[tokio::test]
async fn keys_of_the_ca_are_seen_to_by_the_hosts_own_doors_only() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let old = "permit (principal in Sealock::Group::\"admin\", action, resource);\n";
    std::fs::write(scratch.rule_file("default.cedar"), old).unwrap();
    call(&service, Command::PolicyReload).await.unwrap();
    let what = RotateWhat::Root;
    let move_key = Command::CaMigrateKey {
        what: Some(what),
        issuer: None,
        to: KeyHome::Store,
        extractable: false,
    };
    for door in [Door::Api, Door::Gateway, Door::Workload, Door::Label, Door::Acme] {
        for command in [move_key.clone(), Command::CaRetryPin, unprotected()] {
            let caller = Caller { door, ..admin(&service) };
            let before = records(&service).len();
            let error = service.handle(&caller, command.clone()).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::Denied, "{door:?}: {error:?}");
            assert!(error.hint.unwrap().contains("on the host"));
            let new = records(&service).split_off(before);
            assert!(matches!(new[0].event.fact, Fact::Denied { .. }), "{door:?}: {new:?}");
            assert_eq!(new.len(), 1, "{door:?}: {new:?}");
        }
    }
    for door in [Door::Socket, Door::Process] {
        let caller = Caller { door, ..admin(&service) };
        service.handle(&caller, move_key.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn init_again_changes_nothing() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let before = records(&service);
    let key = std::fs::read(scratch.path().join("identities/admin/tls.key")).unwrap();
    let Reply::Init(report) = call(&service, Command::Init(Init::default())).await.unwrap() else {
        panic!("no report")
    };
    assert!(!report.created);
    assert_eq!(records(&service), before);
    assert_eq!(std::fs::read(scratch.path().join("identities/admin/tls.key")).unwrap(), key);
    let other = Init { trust_domain: Some("other.example".into()), ..Init::default() };
    let error = call(&service, Command::Init(other)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(error.hint.is_some());
}

#[tokio::test]
async fn an_issued_certificate_carries_names_identity_and_decision() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let files = issued(&service, "web.corp.example").await;
    let names: Vec<String> = files.names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["spiffe://test.sealock/service/web.corp.example", "web.corp.example"]);
    assert!(files.tls_key.is_some() && files.tls_crt.matches("BEGIN CERTIFICATE").count() == 2);
    let all = records(&service);
    let event = &all.iter().find(|record| record.event.request == files.request).unwrap().event;
    let decision = event.decision.as_ref().unwrap();
    assert_eq!((decision.action.as_str(), decision.allowed), ("Cert::Issue", true));
    assert_eq!(decision.rules, ["default.cedar#admin"]);
    let secret = files.tls_key.unwrap();
    assert!(!format!("{all:?}").contains("PRIVATE KEY"));
    assert!(!format!("{secret:?}").contains("PRIVATE"));
}

#[tokio::test]
async fn bad_requests_are_usage_errors_and_do_nothing() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let before = records(&service).len();
    let named = |names: Names| Issue { name: "web".into(), names, ..Issue::default() };
    let dns = |name: &str| Names { dns: vec![name.to_owned()], ..Names::default() };
    for (command, code) in [
        (Command::CertIssue(named(dns("a b"))), ErrorCode::Usage),
        (Command::CertIssue(Issue { name: "a b".into(), ..Issue::default() }), ErrorCode::Usage),
        (Command::CertIssue(Issue { ttl: Some(0), ..named(dns("a")) }), ErrorCode::Usage),
        (Command::CertIssue(Issue { ttl: Some(u64::MAX), ..named(dns("a")) }), ErrorCode::Usage),
        (Command::CertSign(Sign { csr: "junk".into(), ..Sign::default() }), ErrorCode::Usage),
        (Command::CertShow { certificate: "nothing".into() }, ErrorCode::NotFound),
        (Command::CertRevoke { serial: "zz".into(), reason: Default::default() }, ErrorCode::Usage),
        (Command::PolicyExplain { request: "\x1b".into() }, ErrorCode::NotFound),
        (group_add("a/b", "operators"), ErrorCode::Usage),
        (group_add("..", "operators"), ErrorCode::Usage),
        (group_add("alice", ""), ErrorCode::Usage),
        (group_add("alice", "a\x1bb"), ErrorCode::Usage),
        (group_remove("alice", "a\x1bb"), ErrorCode::Usage),
        (group_remove("alice", "operators"), ErrorCode::NotFound),
    ] {
        let name = command.name();
        let error = call(&service, command).await.unwrap_err();
        assert_eq!(error.code, code, "{name}: {error:?}");
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
        assert!(error.request.is_some());
    }
    assert_eq!(records(&service).len(), before);
}

#[tokio::test]
async fn the_root_key_goes_only_when_it_was_read_back() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let junk = SecretText::new(SecretBytes::new(b"junk".to_vec())).unwrap();
    let remove = |exported| Command::CaRemoveRootKey { exported, passphrase: None };
    assert!(call(&service, remove(junk)).await.is_err());
    let rotate =
        || Command::CaRotate { what: RotateWhat::Intermediate, root_key: None, passphrase: None };
    call(&service, rotate()).await.unwrap();
    let export = Command::CaExportRootKey { passphrase: None };
    let Reply::RootKey(key) = call(&service, export).await.unwrap() else { panic!("no key") };
    call(&service, remove(key.clone())).await.unwrap();
    let error = call(&service, rotate()).await.unwrap_err();
    assert!(error.hint.unwrap().contains("--root-key"));
    issued(&service, "still-works").await;
    let with_key =
        Command::CaRotate { what: RotateWhat::Intermediate, root_key: Some(key), passphrase: None };
    call(&service, with_key).await.unwrap();
}

#[tokio::test]
async fn the_audit_log_pages_and_a_change_is_found() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    for number in 0..5 {
        issued(&service, &format!("n{number}")).await;
    }
    let mut from = 1;
    let mut lines = Vec::new();
    loop {
        let Reply::Audit(page) =
            call(&service, Command::AuditExport { from, limit: 3 }).await.unwrap()
        else {
            panic!("no page")
        };
        lines.extend(page.lines);
        let Some(next) = page.next else { break };
        from = next;
    }
    let mut chain = sealock_core::audit::Chain::default();
    for line in &lines {
        chain.check(line.as_bytes()).unwrap();
    }
    assert_eq!(chain.seq(), service.journal().last_seq());
    let Reply::Audit(tail) =
        call(&service, Command::AuditTail { after: None, limit: 2 }).await.unwrap()
    else {
        panic!("no tail")
    };
    assert_eq!(tail.lines, lines[lines.len() - 2..]);
}

#[tokio::test]
async fn a_certificate_cannot_be_named_like_a_serial_number() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let victim = issued(&service, "victim").await;
    let names = Names { dns: vec!["decoy.example".into()], ..Names::default() };
    let decoy = Issue { name: victim.serial.clone(), names, ..Issue::default() };
    let error = call(&service, Command::CertIssue(decoy)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Usage);
    let revoke = Command::CertRevoke { serial: victim.serial.clone(), reason: Default::default() };
    let Reply::Certificate(revoked) = call(&service, revoke).await.unwrap() else {
        panic!("nothing revoked")
    };
    assert_eq!((revoked.serial, revoked.name.as_str()), (victim.serial, "victim"));
}

#[tokio::test]
async fn keys_under_a_passphrase_open_only_with_it() {
    use sealock_control::state::Purpose;
    use sealock_control::{Opening, PassphraseFor, ServiceError};

    let scratch = Scratch::new();
    let with = |given: Option<&'static str>| {
        let passphrases: sealock_control::Passphrases = Arc::new(move |_: PassphraseFor| {
            let missing = || ServiceError::new(ErrorCode::Usage, "a passphrase is needed");
            given.map(|text| SecretBytes::new(text.into())).ok_or_else(missing)
        });
        let opening = Opening { passphrases, ..scratch.opening() };
        let lock = opening.state.open(Purpose::Command, std::time::Duration::from_secs(9)).unwrap();
        Service::open(opening, lock).unwrap()
    };
    let init = Init { key_protection: KeyProtection::Passphrase, ..Init::default() };
    let service = with(Some("correct horse"));
    call(&service, Command::Init(init)).await.unwrap();
    drop(service);

    let service = with(Some("wrong"));
    let error = call(&service, Command::CaShow).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::State, "{error:?}");
    assert!(error.hint.is_some(), "{error:?}");
    drop(service);

    let service = with(None);
    assert_eq!(call(&service, Command::CaShow).await.unwrap_err().code, ErrorCode::Usage);
    let Reply::Status(status) = call(&service, Command::Status).await.unwrap() else {
        panic!("no status")
    };
    assert_eq!(status.ca, None, "what can be told without the keys is told");
    drop(service);

    let service = with(Some("correct horse"));
    issued(&service, "web").await;
}

/// The running keys stay; what is needed from the next start on is the new passphrase, and nothing tells it to others.
#[tokio::test]
async fn keys_come_under_another_passphrase_and_what_is_sealed_stays() {
    use sealock_control::state::Purpose;
    use sealock_control::{Opening, PassphraseFor, ServiceError};

    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let set = Command::SecretSet {
        name: "db".into(),
        value: NewValue::Given(SecretBytes::new(b"hunter2".to_vec()).into()),
        ttl: None,
    };
    call(&service, set).await.unwrap();
    let text = |text: &str| SecretText::new(SecretBytes::new(text.into())).unwrap();
    let protect = |passphrase: Option<&str>, new: Option<&str>| Command::CaProtect {
        key_protection: match new {
            Some(_) => KeyProtection::Passphrase,
            None => KeyProtection::File,
        },
        passphrase: passphrase.map(text),
        new_passphrase: new.map(text),
    };
    let protection = |reply| match reply {
        Reply::Ca(report) => report.protection,
        other => panic!("{other:?}"),
    };
    let done = call(&service, protect(None, Some("battery staple"))).await.unwrap();
    assert_eq!(protection(done), "passphrase");
    issued(&service, "web").await;
    let before = records(&service).len();
    for old in [None, Some("battery horse")] {
        for new in [None, Some("another one")] {
            let error = call(&service, protect(old, new)).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::State, "{error:?}");
        }
    }
    assert_eq!(records(&service).len(), before, "nothing was done");
    call(&service, protect(Some("battery staple"), Some("correct horse"))).await.unwrap();
    let told = format!("{:?}", records(&service));
    assert!(!told.contains("staple") && !told.contains("horse"), "{told}");
    let protected = |it: &&Record| matches!(it.event.fact, Fact::KeyProtected { .. });
    assert_eq!(records(&service).iter().filter(protected).count(), 2);
    drop(service);

    let with = |given: &'static str| {
        let passphrases: sealock_control::Passphrases =
            Arc::new(move |_: PassphraseFor| Ok::<_, ServiceError>(SecretBytes::new(given.into())));
        let opening = Opening { passphrases, ..scratch.opening() };
        let lock = opening.state.open(Purpose::Command, std::time::Duration::from_secs(9)).unwrap();
        Service::open(opening, lock).unwrap()
    };
    let service = with("battery staple");
    assert_eq!(call(&service, Command::CaShow).await.unwrap_err().code, ErrorCode::State);
    drop(service);
    // Nobody is asked for the passphrase besides.
    let service = with("nobody needs this");
    let done = call(&service, protect(Some("correct horse"), None)).await.unwrap();
    assert_eq!(protection(done), "file");
    drop(service);
    let service = scratch.service();
    issued(&service, "api").await;
    let read =
        Command::SecretRead { secrets: vec![SecretWanted { name: "db".into(), version: None }] };
    let Reply::Secrets(read) = call(&service, read).await.unwrap() else { panic!("no secrets") };
    let given = |it: &SecretAnswer| matches!(it.outcome, SecretOutcome::Read { .. });
    assert!(read.iter().all(given), "the vault's key lies below the same one");
}
