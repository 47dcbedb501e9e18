use sealock_authority::{KeyType, Usages};
use sealock_store::Protection;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> Timestamp {
    Timestamp::from_secs(1_800_000_000)
}

/// A certificate with so many days of its life gone, and so many left.
fn certificate(serial: &str, gone: u32, left: u32) -> CertSummary {
    CertSummary {
        serial: serial.parse().unwrap(),
        name: format!("name-{serial}"),
        identity: None,
        names: Vec::new(),
        common_name: None,
        usages: Usages::BOTH,
        profile: "both".into(),
        key: PublicKeyKind::P256,
        issuer: "00112233aabbccdd".parse().unwrap(),
        issued: now().minus(DAY * gone),
        not_before: now().minus(DAY * gone),
        not_after: now().plus(DAY * left),
        by: "uid:0".into(),
        state: CertState::Valid,
        replaces: None,
        replaced_by: None,
        revoked_at: None,
        reason: None,
        issuer_revoked: false,
    }
}

fn issuer(kind: IssuerKind, left: u32, active: bool) -> IssuerInfo {
    IssuerInfo {
        id: "00112233aabbccdd".parse().unwrap(),
        kind,
        number: 1,
        serial: "1".parse().unwrap(),
        key_type: KeyType::P256,
        not_before: now().minus(DAY),
        not_after: now().plus(DAY * left),
        fingerprint: String::new(),
        active,
        key_here: true,
        key_where: sealock_authority::KeyWhere::Store,
        retired: None,
        last_leaf: None,
        revoked: None,
        pem: String::new(),
    }
}

fn authority(issuers: Vec<IssuerInfo>, rotation_due: Timestamp) -> CaInfo {
    CaInfo {
        trust_domain: "corp.example".parse().unwrap(),
        created: now(),
        key_protection: Protection::File,
        crl_url: None,
        name_constraints: Default::default(),
        issuers,
        rotation_due,
        audit_signer_pem: String::new(),
    }
}

fn healthy() -> CaInfo {
    let root = issuer(IssuerKind::Root, 3000, true);
    authority(vec![root, issuer(IssuerKind::Intermediate, 300, true)], now().plus(DAY))
}

fn rows(certificates: &[CertSummary]) -> Vec<Row> {
    certificates.iter().map(|one| Row::Ours(Box::new(one.clone()))).collect()
}

fn kinds(
    certificates: &[CertSummary],
    info: &CaInfo,
    looked_after: &[&str],
) -> Vec<(String, String)> {
    let looked_after = looked_after
        .iter()
        .map(|serial| serial.parse::<sealock_authority::Serial>().unwrap().to_string())
        .collect();
    let from = Gathered {
        certificates: &rows(certificates),
        info,
        looked_after: &looked_after,
        alarms: &[],
        requests: &[],
        now: now(),
    };
    gather(&from).into_iter().map(|it| (it.kind, it.subject)).collect()
}

#[test]
fn late_is_what_nobody_has_renewed_in_time() {
    let state = |state, one: CertSummary| CertSummary { state, ..one };
    let certificates = [
        certificate("a1", 70, 20),
        // Renewal is due, but there is time.
        certificate("a2", 70, 30),
        // A quarter of its life, and yet months.
        certificate("a3", 700, 40),
        certificate("a4", 70, 20),
        state(CertState::Replaced, certificate("a5", 70, 20)),
        state(CertState::Revoked, certificate("a6", 70, 20)),
    ];
    let found = kinds(&certificates, &healthy(), &["a4"]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "expires");
    assert!(found[0].1.starts_with("name-a1 ("), "{found:?}");
}

#[test]
fn keys_are_named_that_are_short_or_odd() {
    let with = |serial, key| CertSummary { key, ..certificate(serial, 1, 300) };
    let revoked = CertSummary { state: CertState::Revoked, ..with("b5", PublicKeyKind::Rsa(2048)) };
    let certificates = [
        with("b1", PublicKeyKind::Rsa(2048)),
        with("b2", PublicKeyKind::Rsa(3072)),
        with("b3", PublicKeyKind::Rsa(3500)),
        with("b4", PublicKeyKind::Rsa(8192)),
        revoked,
        with("b6", PublicKeyKind::P384),
        with("b7", PublicKeyKind::Ed25519),
    ];
    let found = kinds(&certificates, &healthy(), &[]);
    let names: Vec<&str> =
        found.iter().map(|(_, subject)| subject.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["name-b1", "name-b3", "name-b4"]);
    assert!(found.iter().all(|(kind, _)| kind == "key"));
}

#[test]
fn the_end_of_root_and_intermediate_is_told_while_there_is_time() {
    let root = |left| issuer(IssuerKind::Root, left, true);
    let intermediate = || issuer(IssuerKind::Intermediate, 20, true);
    let retired = issuer(IssuerKind::Root, 5, false);
    let found = |issuers, due| kinds(&[], &authority(issuers, due), &[]);
    let later = now().plus(DAY);
    assert_eq!(found(vec![root(400), intermediate(), retired], later), []);
    let ending = found(vec![root(300), intermediate()], now());
    let wanted = [
        ("root-ends", "corp.example root 1"),
        ("intermediate-ends", "corp.example intermediate 1"),
    ];
    assert_eq!(ending, wanted.map(|(kind, subject)| (kind.to_owned(), subject.to_owned())));
    // The hint is another where the root's key is away.
    let away = IssuerInfo { key_here: false, ..root(3000) };
    let info = authority(vec![away, intermediate()], now());
    let none = BTreeSet::new();
    let from = Gathered {
        certificates: &[],
        info: &info,
        looked_after: &none,
        alarms: &[],
        requests: &[],
        now: now(),
    };
    let hints: Vec<String> = gather(&from).into_iter().filter_map(|it| it.hint).collect();
    assert!(matches!(hints.as_slice(), [one] if one.contains("--root-key")), "{hints:?}");
}

#[test]
fn alarms_come_first() {
    let alarm = Alarm {
        alarm: "not-served".into(),
        subject: "shop/web".into(),
        reason: "another certificate is served".into(),
        hint: None,
        since: now(),
    };
    let (none, info) = (BTreeSet::new(), healthy());
    let certificates = rows(&[certificate("c1", 70, 1)]);
    let request = Todo {
        kind: "signature".into(),
        name: "web".into(),
        text: "waits for a signature".into(),
        hint: "sealock cert import web FILE…".into(),
        since: now(),
    };
    let from = Gathered {
        certificates: &certificates,
        info: &info,
        looked_after: &none,
        alarms: &[alarm],
        requests: &[request],
        now: now(),
    };
    let found = gather(&from);
    let kinds: Vec<&str> = found.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds, ["not-served", "signature", "expires"]);
    assert_eq!(
        (found[1].subject.as_str(), found[1].reason.as_str()),
        ("web", "waits for a signature")
    );
    assert!(found[1].hint.as_ref().unwrap().contains("cert import web"));
}
