//! Requests and imports: refusals, kills and the clock.

use std::fs;
use std::time::Duration;

use sealock_core::audit::Fact;

use super::{DAY, World, belong};
use crate::command::{CertRequest, Command, Names, Reply};
use crate::error::ErrorCode;

#[test]
fn the_same_request_is_the_same_csr_and_another_one_takes_replace() {
    let mut world = World::new();
    let first = world.request(World::wanted()).unwrap();
    let waiting = first.waiting.as_ref().unwrap();
    assert_eq!(first.state, "waiting for signature");
    assert_eq!(fs::read_to_string(world.csr_file()).unwrap(), waiting.csr);
    let text = fs::read_to_string(world.path("s/requests/web.txt")).unwrap();
    assert!(text.contains(&waiting.key_sha256) && text.contains("dns:www.corp.example"), "{text}");
    let facts = world.facts().len();
    assert_eq!(world.request(World::wanted()).unwrap(), first);
    assert_eq!(world.facts().len(), facts, "nothing has happened");

    let other = || CertRequest {
        names: Names { dns: vec!["shop.corp.example".into()], ..Names::default() },
        ..World::wanted()
    };
    let error = world.request(other()).unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(error.hint.unwrap().contains("--replace"));
    assert_eq!(world.standing(), first);

    // Killed after the commit, before the files were written: the next start writes the same.
    fs::remove_dir_all(world.path("s/requests")).unwrap();
    world.reopen();
    world.service().keep_imported().unwrap();
    assert_eq!(fs::read_to_string(world.csr_file()).unwrap(), waiting.csr);
    assert_eq!(world.standing(), first);

    let replaced = world.request(CertRequest { replace: true, ..other() }).unwrap();
    let new = replaced.waiting.unwrap();
    assert_ne!(new.key_sha256, waiting.key_sha256);
    assert_eq!(fs::read_to_string(world.csr_file()).unwrap(), new.csr);
    world
        .call(Command::CertRequestDrop { name: "web".into(), forget: false, force: false })
        .unwrap();
    assert!(!world.csr_file().exists());
    let error = world.call(Command::CertRequests { name: Some("web".into()) }).unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
    let keys = sealock_store::KeyRange::prefix(b"imported/");
    let left = world.service().journal().store().range(&keys, 10).unwrap();
    assert!(left.is_empty(), "a dropped request leaves no key: {left:?}");
}

#[test]
fn what_comes_back_is_taken_as_a_whole_and_a_refusal_changes_nothing() {
    let mut world = World::new();
    let request = world.request(World::wanted()).unwrap();
    let leaf = world.sign(&request.waiting.unwrap().csr, 90);
    let issuing = world.issuing.2.clone();
    let waits = world.files().unwrap_err();
    assert!(waits.message.contains("waits for the signature"), "{waits:?}");

    let (before, facts) = (world.standing(), world.facts().len());
    let unknown = world.import(&[leaf.clone(), issuing.clone(), world.root.2.clone()]).unwrap_err();
    assert!(unknown.causes[0].contains("Corp Root"), "{unknown:?}");
    assert!(unknown.hint.unwrap().contains("sealock trust add"));
    world.trust_root();
    let missing = world.import(std::slice::from_ref(&leaf)).unwrap_err();
    assert!(missing.causes[0].contains("Corp Issuing"), "{missing:?}");
    assert_eq!(world.standing(), before);
    assert_eq!(world.facts().len(), facts + 1, "only the root was added");
    let todo = world.status().todo;
    assert_eq!(todo.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>(), ["signature", "chain"]);
    let report = world.report();
    let kinds: Vec<&str> = report.to_do.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds, ["signature", "chain"], "the report says it, too");

    let Reply::CertificatesImported(reports) =
        world.import(&[issuing.clone(), leaf.clone()]).unwrap()
    else {
        panic!("nothing was imported")
    };
    assert_eq!(reports[0].chain.len(), 3);
    assert_eq!(reports[0].request.state, "in use");
    assert!(!world.csr_file().exists() && world.status().todo.is_empty());
    let files = world.files().unwrap();
    assert!(belong(&files));
    // Ours, then those of others.
    assert_eq!(files.ca_crt.matches("BEGIN CERTIFICATE").count(), 2);

    world.reopen();
    assert_eq!(world.files().unwrap().tls_crt, files.tls_crt);
    let facts = world.facts().len();
    let Reply::CertificatesImported(again) = world.import(&[leaf, issuing]).unwrap() else {
        panic!("nothing was imported")
    };
    assert!(!again[0].new);
    let same = world.request(World::wanted()).unwrap();
    assert_eq!((same.state.as_str(), same.waiting), ("in use", None), "asked for and here");
    assert_eq!(world.facts().len(), facts, "the same again is no event");
    let told = |wanted: fn(&Fact) -> bool| world.facts().iter().filter(|fact| wanted(fact)).count();
    assert_eq!(told(|fact| matches!(fact, Fact::CertImported { .. })), 1);
    assert_eq!(told(|fact| matches!(fact, Fact::CertTaken { .. })), 2, "each time the key leaves");
}

#[test]
fn at_two_thirds_the_next_csr_is_made_and_the_old_certificate_stays() {
    let mut world = World::new();
    world.trust_root();
    let request = world.request(World::wanted()).unwrap();
    let leaf = world.sign(&request.waiting.unwrap().csr, 90);
    world.import(&[leaf, world.issuing.2.clone()]).unwrap();
    let first = world.files().unwrap();

    world.clock.advance(Duration::from_secs(59 * DAY));
    world.service().keep_imported().unwrap();
    assert_eq!(world.standing().state, "in use");
    world.clock.advance(Duration::from_secs(DAY));
    world.service().keep_imported().unwrap();
    let standing = world.standing();
    assert_eq!(standing.state, "waiting for signature (renewal)");
    let csr = standing.waiting.as_ref().unwrap().csr.clone();
    assert_eq!(fs::read_to_string(world.csr_file()).unwrap(), csr);
    // Again, and after a kill: the same one.
    world.service().keep_imported().unwrap();
    world.reopen();
    world.service().keep_imported().unwrap();
    assert_eq!(world.standing(), standing);
    assert_eq!(world.files().unwrap().tls_crt, first.tls_crt);
    let status = world.status();
    assert_eq!(status.todo[0].kind, "renewal");
    assert!(status.todo[0].text.contains("30d") && status.todo[0].text.contains("web.csr"));
    assert!(status.alarms.is_empty());

    world.clock.advance(Duration::from_secs(16 * DAY));
    for _ in 0..2 {
        world.service().keep_imported().unwrap();
        world.reopen();
    }
    assert_eq!(world.status().alarms[0].alarm, "imported-expiring");
    let raised = |fact: &Fact| matches!(fact, Fact::AlarmRaised { alarm, .. } if alarm == "imported-expiring");
    assert_eq!(world.facts().iter().filter(|fact| raised(fact)).count(), 1, "told once");

    let next = world.sign(&csr, 90);
    world.import(&[next, world.issuing.2.clone()]).unwrap();
    let second = world.files().unwrap();
    assert!(belong(&second) && second.serial != first.serial);
    assert!(world.status().alarms.is_empty() && world.status().todo.is_empty());
    assert!(world.facts().iter().any(|fact| matches!(fact, Fact::AlarmCleared { .. })));
    let keys = sealock_store::KeyRange::prefix(b"imported/key/");
    assert_eq!(world.service().journal().store().range(&keys, 10).unwrap().len(), 1);
}
