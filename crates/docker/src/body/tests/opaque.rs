//! Operations on whose body policy does not decide.

use sealock_core::policy::Action;

use super::super::{BodyKind, kind};
use super::{asked, read, refused};

#[test]
fn every_operation_of_the_engine_has_a_kind_of_body() {
    // Asked along with requests, and no requests of their own.
    let asked_along = [
        Action::DockerMount,
        Action::DockerImageRun,
        Action::DockerSeeOthers,
        Action::DockerSeeEnvironment,
        Action::DockerSeeLabels,
    ];
    for action in Action::ALL {
        let engine = action.as_str().starts_with("Docker::") && !asked_along.contains(action);
        assert_eq!(kind(*action).is_some(), engine, "{action}");
        let read = read(*action, "");
        match kind(*action) {
            None => assert_eq!(read.unwrap_err().code(), "body-not-read"),
            Some(BodyKind::Stream) if *action != Action::DockerImageBuild => {
                assert_eq!(read.unwrap_err().code(), "body-not-read");
            }
            Some(BodyKind::Empty) => assert_eq!(read.unwrap().body(), b""),
            Some(_) => assert!(read.is_ok() || read.unwrap_err().code() == "body-missing"),
        }
    }
}

#[test]
fn the_rest_is_read_strictly_and_passed_on() {
    let body = r#"{ "AdvertiseAddr": "192.0.2.1", "Spec": { "Labels": null } }"#;
    let swarm = asked(Action::DockerSwarmInit, body);
    assert_eq!(swarm.body(), br#"{"AdvertiseAddr":"192.0.2.1","Spec":{"Labels":null}}"#);
    assert_eq!(asked(Action::DockerPluginSet, r#"["A=b"]"#).body(), br#"["A=b"]"#);
    let twice = r#"{"RemoteAddrs":["a"],"remoteaddrs":["b"]}"#;
    assert_eq!(refused(Action::DockerSwarmJoin, twice).code(), "body-fields-collide");
    let body = r#"{"Container":"c","Force":true}"#;
    let disconnect = asked(Action::DockerNetworkDisconnect, body);
    assert_eq!(disconnect.context.get("force"), Some(&true.into()));
    assert!(disconnect.containers.contains("c"));
    assert!(!disconnect.context.contains_key("risks"), "the schema has no such circumstance");
}
