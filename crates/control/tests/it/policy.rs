//! Denied, explained, allowed; and a bad policy that never replaces a good one.

use std::fs;

use sealock_control::command::PolicyExplained;
use sealock_control::{Command, ErrorCode, Reply};
use sealock_core::audit::Fact;

use crate::scratch::{Scratch, call, issue, person, records};

async fn explained(
    service: &std::sync::Arc<sealock_control::Service>,
    request: String,
) -> PolicyExplained {
    match call(service, Command::PolicyExplain { request }).await.unwrap() {
        Reply::Explained(explained) => *explained,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_suggested_rule_lets_the_next_request_through() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let jo = person("jo");
    let mut tries = 0;
    let files = loop {
        tries += 1;
        assert!(tries < 5, "each suggestion allows one more name");
        match service.handle(&jo, issue("shop.corp.example")).await {
            Ok(Reply::Files(files)) => break files,
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_eq!(error.code, ErrorCode::Denied);
                let request = error.request.clone().unwrap();
                assert!(error.hint.unwrap().contains(&format!("policy explain {request}")));
                let explained = explained(&service, request).await;
                assert_eq!((explained.allowed_then, explained.now.allowed), (false, false));
                assert_eq!(explained.who, "spiffe://test.sealock/human/jo");
                let rule = explained.now.suggestion.unwrap();
                fs::write(scratch.rule_file(&format!("jo-{tries}.cedar")), rule).unwrap();
                let Reply::PolicyLoaded(status) =
                    call(&service, Command::PolicyReload).await.unwrap()
                else {
                    panic!("not loaded")
                };
                assert_eq!(status.epoch, 1 + tries);
            }
        }
    };
    assert_eq!(tries, 3, "identity and name were asked for, and then it was allowed");
    let granted = explained(&service, files.request.clone()).await;
    assert!(granted.allowed_then && granted.now.allowed);
    assert_eq!(granted.rules_then.len(), 2);
    let other = service.handle(&jo, issue("payroll.corp.example")).await.unwrap_err();
    assert_eq!(other.code, ErrorCode::Denied);
}

#[tokio::test]
async fn a_bad_policy_changes_nothing_not_even_over_a_restart() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let good = service.policy().status();
    fs::write(scratch.rule_file("bad.cedar"), "permit (principal, action resource);").unwrap();
    assert!(service.policy().has_changed());
    for _ in 0..2 {
        let error = call(&service, Command::PolicyReload).await.unwrap_err();
        assert!(error.message.starts_with("bad.cedar:1:27: "), "{error}");
        let now = service.policy().status();
        assert_eq!((now.epoch, &now.sha256), (good.epoch, &good.sha256));
        assert!(now.rejected.is_some());
    }
    let rejected = |record: &&sealock_core::audit::Record| {
        matches!(record.event.fact, Fact::PolicyRejected { .. })
    };
    assert_eq!(records(&service).iter().filter(rejected).count(), 1, "recorded once");
    drop(service);

    let service = scratch.service();
    let again = service.policy().status();
    assert_eq!((again.epoch, &again.sha256), (good.epoch, &good.sha256));
    call(&service, issue("web")).await.unwrap();
    fs::remove_file(scratch.rule_file("bad.cedar")).unwrap();
    let Reply::PolicyLoaded(status) = call(&service, Command::PolicyReload).await.unwrap() else {
        panic!("not loaded")
    };
    assert_eq!(
        (status.epoch, status.rejected),
        (good.epoch, None),
        "the same content, the same number"
    );
}

#[tokio::test]
async fn an_epoch_belongs_to_one_content() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let file = scratch.rule_file("more.cedar");
    let mut epochs = Vec::new();
    for text in ["// a", "// b", "// a"] {
        fs::write(&file, text).unwrap();
        call(&service, Command::PolicyReload).await.unwrap();
        epochs.push(service.policy().status().epoch);
    }
    assert_eq!(epochs, [2, 3, 4]);
    let sha256 = service.policy().status().sha256;
    drop(service);
    let service = scratch.service();
    assert_eq!(service.policy().status().epoch, 4, "a restart changes nothing");
    assert_eq!(service.policy().status().sha256, sha256);
}
