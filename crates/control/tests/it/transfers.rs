//! Transfers and offers, as far as they are decided and recorded here.

use sealock_control::command::{OfferEvent, TransferBegin, TransferFinish};
use sealock_control::{Command, Door, ErrorCode, Reply};
use sealock_core::audit::Fact;
use sealock_core::policy::ContainerFacts;

use crate::scratch::{Scratch, admin, call, records};

fn begin() -> TransferBegin {
    TransferBegin {
        container: ContainerFacts { id: "cd".repeat(32), name: "web".into(), ..Default::default() },
        path: "/etc/app.conf".into(),
        carrier: "auto".into(),
        after: Some("signal:HUP".into()),
    }
}

fn finish(transfer: &str) -> Command {
    Command::TransferFinish(TransferFinish {
        transfer: transfer.to_owned(),
        sha256: "a".repeat(64),
        bytes: 12,
        files: 1,
        carrier: Some("exec".into()),
    })
}

#[tokio::test]
async fn a_transfer_ends_once_and_survives_a_restart() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let Reply::Opened(opened) = call(&service, Command::TransferBegin(begin())).await.unwrap()
    else {
        panic!("not opened")
    };
    drop(service);
    let service = scratch.service();
    call(&service, finish(&opened.transfer)).await.unwrap();
    let error = call(&service, finish(&opened.transfer)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
    let facts: Vec<Fact> = records(&service).into_iter().map(|record| record.event.fact).collect();
    let done = facts.iter().filter(|fact| matches!(fact, Fact::TransferDone { .. })).count();
    assert_eq!(done, 1);
    assert!(matches!(
        facts.last().unwrap(),
        Fact::TransferDone { container, carrier, bytes: 12, .. }
            if container == "web (cdcdcdcdcdcd)" && carrier == "exec"
    ));
}

#[tokio::test]
async fn what_a_remote_caller_says_of_a_container_is_not_taken() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let mut remote = admin(&service);
    remote.door = Door::Api;
    let error = service.handle(&remote, Command::TransferBegin(begin())).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
    let relative = TransferBegin { path: "etc".into(), ..begin() };
    let error = call(&service, Command::TransferBegin(relative)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Usage);
}

#[tokio::test]
async fn an_offer_tells_of_every_reader_until_it_ends() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let Reply::Opened(opened) =
        call(&service, Command::OfferBegin { bytes: 5, ttl: 60 }).await.unwrap()
    else {
        panic!("not opened")
    };
    let event = |event| Command::OfferEvent { transfer: opened.transfer.clone(), event };
    let taken = OfferEvent::Taken { peer: "10.0.0.2:99".into(), sha256: "b".repeat(64) };
    let refused = OfferEvent::Refused { peer: "10.0.0.3:1\x1b".into(), reason: "taken".into() };
    call(&service, event(taken)).await.unwrap();
    call(&service, event(refused)).await.unwrap();
    call(&service, event(OfferEvent::Ended { reason: "its time ran out".into() })).await.unwrap();
    let late = OfferEvent::Refused { peer: "x".into(), reason: "late".into() };
    assert_eq!(call(&service, event(late)).await.unwrap_err().code, ErrorCode::NotFound);
    let all = records(&service);
    let refusal = all.iter().find_map(|record| match &record.event.fact {
        Fact::OfferRefused { peer, .. } => Some(peer.clone()),
        _ => None,
    });
    assert_eq!(refusal.as_deref(), Some("10.0.0.3:1\\u{1b}"));
    assert_eq!(
        call(&service, finish(&opened.transfer)).await.unwrap_err().code,
        ErrorCode::NotFound
    );
}
