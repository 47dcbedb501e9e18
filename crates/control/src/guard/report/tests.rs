//! Nobody's denials keep others' out of a report, and each report is one that a broker takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealock_core::policy::{Action, PolicySet, Principal, Question, Resource};

use super::once::{AGAIN_AFTER, KNOWN};
use super::queue::{BYTES, SHARE, WAITING};
use super::unreported::BETWEEN;
use super::*;

fn question(caller: &str, path: &str) -> Question {
    let identity = |name: &str| format!("spiffe://t.sealock/service/{name}").parse().unwrap();
    let service = Resource::Service { identity: identity("orders"), groups: Vec::new() };
    Question::new(Principal::new(identity(caller)), Action::HttpCall, service)
        .with("method", "GET")
        .with("path", path)
        .with("protocol", "http")
}

fn denied(caller: &str, path: &str, enforced: bool) -> Denied {
    let question = question(caller, path);
    let decision = Arc::new(PolicySet::load(&[], 1).unwrap().decide(&question));
    Denied { reason: "0".repeat(32), request: String::new(), question, decision, enforced }
}

/// All that waits, report by report.
async fn reports(reports: &Reports) -> Vec<Vec<CallDenied>> {
    let mut all = Vec::new();
    while let Ok(batch) = tokio::time::timeout(Duration::ZERO, reports.denials.batch()).await {
        all.push(batch);
    }
    all
}

#[tokio::test]
async fn a_callers_flood_keeps_nobody_elses_denials_from_being_told() {
    let (reporter, waiting) = channel(false);
    for number in 0..2 * WAITING {
        reporter.denied(&denied("flood", &format!("/{number}"), true));
    }
    reporter.denied(&denied("shop", "/a", true));
    let all: Vec<CallDenied> = reports(&waiting).await.into_iter().flatten().collect();
    let of = |name: &str| all.iter().filter(|denied| denied.caller.ends_with(name)).count();
    assert_eq!((of("/flood"), of("/shop")), (SHARE, 1));
    assert_eq!(waiting.unreported.count(), (2 * WAITING - SHARE) as u64);
    // What was told makes room.
    reporter.denied(&denied("flood", "/again", true));
    assert_eq!(reports(&waiting).await.concat().len(), 1);
}

#[tokio::test]
async fn a_crowd_has_a_bound_too() {
    let (reporter, waiting) = channel(false);
    for number in 0..2 * WAITING {
        reporter.denied(&denied(&format!("caller-{number}"), "/a", true));
    }
    assert_eq!(reports(&waiting).await.concat().len(), WAITING);
    assert_eq!(waiting.unreported.count(), WAITING as u64);
}

#[tokio::test]
async fn a_report_has_as_many_bytes_as_a_broker_takes_and_loses_nothing() {
    let (reporter, waiting) = channel(false);
    let callers = WAITING / SHARE;
    for number in 0..WAITING {
        let (caller, path) =
            (format!("caller-{}", number % callers), format!("/{number}{}", "a".repeat(8100)));
        reporter.denied(&denied(&caller, &path, true));
    }
    let all = reports(&waiting).await;
    for batch in &all {
        let denials = batch.clone();
        let command = Command::CallsDenied { service: "orders".into(), denials };
        let bytes = serde_json::to_vec(&command).unwrap().len();
        assert!(bytes < BYTES + 1024, "{bytes}");
    }
    assert_eq!((all.concat().len(), waiting.unreported.count()), (WAITING, 0));
    for number in 0..SHARE {
        for caller in 0..callers {
            reporter.denied(&denied(&format!("caller-{caller}"), &format!("/{number}"), true));
        }
    }
    let counts: Vec<usize> = reports(&waiting).await.iter().map(Vec::len).collect();
    assert_eq!(counts, [256, 256, 256, 256], "short ones by their number");
}

#[tokio::test]
async fn a_long_path_is_cut_and_marked() {
    let (reporter, waiting) = channel(false);
    let longest = format!("/{}", "a".repeat(CallDenied::LONGEST_PATH - 1));
    for path in [longest.clone(), format!("{longest}b"), format!("/{}", "ä".repeat(20_000))] {
        reporter.denied(&denied("shop", &path, true));
    }
    let all = reports(&waiting).await.concat();
    assert_eq!((all[0].path.as_str(), all[0].cut), (longest.as_str(), false));
    for denied in &all[1..] {
        assert!(denied.cut && denied.path.ends_with('…'), "{denied:?}");
        let length = denied.path.len();
        let most = CallDenied::LONGEST_PATH;
        assert!(length <= most && length > most - 6, "{length}");
    }
}

#[tokio::test]
async fn what_a_mode_lets_pass_is_told_once_for_each_policy_and_again_if_there_was_no_room() {
    let (reporter, waiting) = channel(false);
    for path in ["/a", "/b", "/a", "/a"] {
        reporter.denied(&denied("shop", path, false));
    }
    let mut newer = denied("shop", "/a", false);
    newer.decision = Arc::new(PolicySet::load(&[], 2).unwrap().decide(&newer.question));
    reporter.denied(&newer);
    let told = reports(&waiting).await.concat();
    let paths: Vec<&str> = told.iter().map(|denied| denied.path.as_str()).collect();
    assert_eq!(paths, ["/a", "/b", "/a"]);
    assert!(told.iter().all(|denied| !denied.enforced));
    // Who was refused is told each time: each has a number of its own.
    for _ in 0..3 {
        reporter.denied(&denied("shop", "/a", true));
    }
    assert_eq!(reports(&waiting).await.concat().len(), 3);
    for number in 0..2 * SHARE {
        reporter.denied(&denied("shop", &format!("/{number}"), false));
    }
    assert_eq!(reports(&waiting).await.concat().len(), SHARE);
    for number in 0..2 * SHARE {
        reporter.denied(&denied("shop", &format!("/{number}"), false));
    }
    let again = reports(&waiting).await.concat();
    assert_eq!((again.len(), again[0].path.clone()), (SHARE, format!("/{SHARE}")));
}

#[test]
fn it_is_told_again_after_a_while_and_what_is_known_has_a_bound() {
    let (mut once, start) = (Once::default(), Instant::now());
    let call = question("shop", "/a");
    let news = once.is_news(&call, 1, start).unwrap();
    once.keep(news, start);
    assert!(once.is_news(&call, 1, start + AGAIN_AFTER - Duration::from_secs(1)).is_none());
    assert!(once.is_news(&call, 1, start + AGAIN_AFTER).is_some());
    for number in 0..2 * KNOWN {
        let news = once.is_news(&question("shop", &format!("/{number}")), 1, start).unwrap();
        once.keep(news, start);
    }
    assert!(once.len() <= KNOWN);
}

#[test]
fn that_there_are_too_many_is_said_once_a_minute() {
    let (unreported, start) = (Unreported::default(), Instant::now());
    let said = |seconds| unreported.is_to_be_said(start + Duration::from_secs(seconds));
    assert!(said(0) && !said(1) && !said(59));
    assert!(said(BETWEEN.as_secs()) && !said(BETWEEN.as_secs() + 1));
}
