//! What Gatekeepers report: a denial that is none costs the others nothing, and what a mode lets pass is recorded as that.

use std::sync::Arc;

use sealock_control::command::CallDenied;
use sealock_control::metrics::Moment;
use sealock_control::{Command, Reply, Service};
use sealock_core::audit::{Event, Fact};

use crate::scratch::{Scratch, call, records};

fn denied(number: usize, path: &str) -> CallDenied {
    CallDenied {
        number: format!("{number:032x}"),
        caller: "spiffe://test.sealock/service/shop".to_owned(),
        method: "GET".to_owned(),
        path: path.to_owned(),
        host: Some("orders".to_owned()),
        protocol: "http".to_owned(),
        enforced: true,
        cut: false,
    }
}

async fn report(service: &Arc<Service>, denials: Vec<CallDenied>) {
    let command = Command::CallsDenied { service: "orders".into(), denials };
    assert_eq!(call(service, command).await.unwrap(), Reply::Done);
}

/// The records of calls.
fn calls(service: &Service) -> Vec<Event> {
    let events = records(service).into_iter().map(|record| record.event);
    let is_call = |event: &Event| {
        event.decision.as_ref().is_some_and(|decision| decision.action == "Http::Call")
    };
    events.filter(is_call).collect()
}

fn skipped(service: &Service) -> String {
    let text = service.metrics().render(&Moment::default());
    let name = "sealock_call_denials_skipped_total ";
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned()
}

#[tokio::test]
async fn a_denial_that_is_none_is_skipped_and_the_others_are_recorded() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let longest = format!("/{}", "a".repeat(CallDenied::LONGEST_PATH - 1));
    let marked = format!("{}…", &longest[..longest.len() - 3]);
    let with = |change: fn(&mut CallDenied)| {
        let mut denied = denied(99, "/never");
        change(&mut denied);
        denied
    };
    let bad = [
        with(|it| it.path = "/".repeat(CallDenied::LONGEST_PATH + 1)),
        with(|it| it.path = "/a\n".into()),
        with(|it| it.number = "1".into()),
        with(|it| it.caller = "shop".into()),
        with(|it| it.caller = "spiffe://elsewhere/service/shop".into()),
        with(|it| it.protocol = "gopher".into()),
        with(|it| it.cut = true),
        with(|it| (it.cut, it.path) = (true, "/short…".into())),
        with(|it| it.path = "/marked…".into()),
    ];
    let count = bad.len();
    let mut all = vec![denied(1, "/a")];
    all.extend(bad);
    all.extend([denied(2, &longest), CallDenied { cut: true, ..denied(3, &marked) }]);
    report(&service, all).await;
    let events = calls(&service);
    let numbers: Vec<&str> = events.iter().map(|event| event.request.as_str()).collect();
    assert_eq!(numbers, [1, 2, 3].map(|number| format!("{number:032x}")));
    assert!(events.iter().all(|event| matches!(event.fact, Fact::Denied { .. })));
    assert_eq!(skipped(&service), count.to_string());
}

#[tokio::test]
async fn what_a_mode_lets_pass_is_recorded_once_as_that_and_takes_no_room_from_denials() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let passed = |number: usize| CallDenied {
        enforced: false,
        ..denied(number, &format!("/orders/{number}"))
    };
    for first in (0..600).step_by(200) {
        report(&service, (first..first + 200).map(passed).collect()).await;
    }
    // The same again, as another Gatekeeper has let it pass.
    report(&service, (0..200).map(passed).collect()).await;
    report(&service, vec![denied(1000, "/admin")]).await;
    let events = calls(&service);
    assert_eq!(events.len(), 601, "each distinct call, once");
    let (last, before) = events.split_last().unwrap();
    assert!(matches!(last.fact, Fact::Denied { .. }));
    for (number, event) in before.iter().enumerate() {
        let Fact::CallPassed { path, cut: false, unrecorded: 0, .. } = &event.fact else {
            panic!("{event:?}")
        };
        assert_eq!(*path, format!("/orders/{number}"));
        let note = event.decision.as_ref().unwrap();
        assert!(!note.allowed && note.question.is_some());
    }
    // By another policy it is another call; what is permitted by it is none.
    let rule = r#"permit (principal, action == Sealock::Action::"Http::Call", resource)
when { context.path == "/orders/1" };"#;
    std::fs::write(scratch.rule_file("calls.cedar"), rule).unwrap();
    call(&service, Command::PolicyReload).await.unwrap();
    report(&service, (0..3).map(passed).collect()).await;
    assert_eq!(calls(&service).len(), 603);
}

#[tokio::test]
async fn a_caller_does_not_fill_the_log_with_paths_that_pass() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let passed = |number: usize| CallDenied {
        enforced: false,
        ..denied(number, &format!("/made-up/{number}"))
    };
    for first in (0..5000).step_by(250) {
        report(&service, (first..first + 250).map(passed).collect()).await;
    }
    let count = calls(&service).len();
    assert!((1000..2000).contains(&count), "{count}");
    let mut another = passed(1);
    another.caller = "spiffe://test.sealock/service/till".to_owned();
    report(&service, vec![another]).await;
    assert_eq!(calls(&service).len(), count + 1, "others have room of their own");
}

#[tokio::test]
async fn an_older_gatekeeper_reports_what_it_has_refused() {
    let old = r#"{"number":"00","caller":"c","method":"GET","path":"/","protocol":"http"}"#;
    let read: CallDenied = serde_json::from_str(old).unwrap();
    assert!(read.enforced && !read.cut);
}
