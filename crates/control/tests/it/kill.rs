//! SIGKILL at any moment: no serial is lost or doubled, and the next start heals.

use std::collections::BTreeSet;
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use sealock_control::command::List;
use sealock_control::config::{Config, Environment, Flags};
use sealock_control::daemon::up;
use sealock_control::state::StateFolder;
use sealock_control::{Client, Command, Opening, Reply};

use crate::scratch::{Scratch, issue};

const VARIABLE: &str = "SEALOCK_KILL_TEST_STATE";

fn opening(folder: &str) -> Opening {
    let flags: Flags = vec![
        ("api.listen", "127.0.0.1:0".to_owned()),
        ("gateway.listen", "127.0.0.1:0".to_owned()),
        ("docker.url", "unix:///nonexistent/engine.sock".to_owned()),
        ("trust_domain", "test.sealock".to_owned()),
    ];
    let environment = Environment::default();
    let config = Config::from_parts(None, &environment, &flags).unwrap();
    let state = StateFolder::locate(Some(folder.as_ref()), &environment).unwrap();
    Opening::new(state, config, environment)
}

/// Not a test of its own: the process that the test below kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helper_daemon() {
    if let Ok(folder) = std::env::var(VARIABLE) {
        up(opening(&folder)).await.unwrap().run().await.unwrap();
    }
}

fn start(folder: &str) -> Child {
    Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::helper_daemon", "--nocapture"])
        .env(VARIABLE, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_daemon_loses_nothing_that_it_answered() {
    let scratch = Scratch::new();
    let folder = scratch.path().display().to_string();
    let client = Client::new(opening(&folder));
    let mut answered = BTreeSet::new();
    for round in 0..6_u64 {
        let mut child = start(&folder);
        let began = Instant::now();
        // The first round is killed while it makes everything.
        if round > 0 {
            while !client.daemon_runs().await {
                assert!(began.elapsed() < Duration::from_secs(60), "the daemon does not come up");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let work = async {
            let mut serials = Vec::new();
            for number in 0..10_000 {
                if round == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
                // Only answers over the socket count: in-process is not what is killed.
                match client.call(issue(&format!("r{round}-{number}"))).await {
                    Ok(Reply::Files(files)) => serials.push(files.serial),
                    _ => break,
                }
            }
            serials
        };
        let kill = async {
            tokio::time::sleep(Duration::from_millis(30 + 37 * round)).await;
            child.kill().unwrap();
            child.wait().unwrap();
        };
        // In-process issues after the kill go on until they are stopped here.
        let stopped = tokio::time::timeout(Duration::from_millis(900), work);
        let (serials, ()) = tokio::join!(stopped, kill);
        answered.extend(serials.unwrap_or_default());
    }
    assert!(!answered.is_empty(), "something was answered before a kill");
    let service = scratch.initialised().await;
    let listed = match crate::scratch::call(
        &service,
        Command::CertList(List { all: true, limit: Some(100_000), ..List::default() }),
    )
    .await
    .unwrap()
    {
        Reply::Certificates(list) => list.certificates,
        other => panic!("{other:?}"),
    };
    let serials: BTreeSet<String> = listed.iter().map(|one| one.serial.clone()).collect();
    assert_eq!(serials.len(), listed.len(), "no serial twice");
    assert!(answered.is_subset(&serials), "every answered certificate is in the inventory");
    let issued: Vec<String> = crate::scratch::records(&service)
        .into_iter()
        .filter_map(|record| match record.event.fact {
            sealock_core::audit::Fact::CertIssued { serial, .. } => Some(serial),
            _ => None,
        })
        .collect();
    assert_eq!(issued.len(), listed.len(), "one event for each certificate");
    match crate::scratch::call(&service, Command::AuditVerify).await.unwrap() {
        Reply::AuditVerified(report) => assert!(report.intact, "{report:?}"),
        other => panic!("{other:?}"),
    }
}
