//! Names that are told the engine by their ids, once they were found: what was decided on, whatever a name stands for
//! by the time the engine looks.

use sealock_core::policy::Action;

use super::Asked;
use super::json::Value;

/// What of a body is named by its id once it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pinned {
    /// Of a container that is to be made.
    Image,
    /// That is connected with a network, or disconnected.
    Container,
}

/// Fields of `HostConfig` that share something of the container in `container:NAME`. The engine writes the id there
/// itself.
const JOINED: [&str; 3] = ["NetworkMode", "PidMode", "IpcMode"];

impl Asked {
    /// Names the image, or the container of a network's connection, by its id.
    pub(crate) fn pin(&mut self, field: Pinned, id: &str) {
        let key = match field {
            Pinned::Image => "Image",
            Pinned::Container => "Container",
        };
        if let Some(body) = &mut self.body {
            body.set(key, text(id));
        }
    }

    /// Says which network an endpoint is for. Without this the engine keeps the name alone, and looks for it at the
    /// first start, when another's network may be called so. The endpoint keeps its name; of a connection there is
    /// one only, whatever `name` is.
    pub(crate) fn pin_network(&mut self, name: &str, id: &str) {
        let Some(body) = &mut self.body else { return };
        let endpoint = match self.action {
            Action::DockerNetworkConnect => body.object("EndpointConfig"),
            Action::DockerContainerCreate => {
                let host = body.get("HostConfig");
                let is_mode = host.is_some_and(|host| host.text("NetworkMode") == name);
                let networking = body.object("NetworkingConfig");
                let endpoints =
                    networking.and_then(|networking| networking.object("EndpointsConfig"));
                // With endpoints of other networks, engines do not look at the mode.
                let is_used = |endpoints: &&mut Value| {
                    let there = endpoints.as_members();
                    there.iter().any(|(key, _)| key == name) || (is_mode && there.is_empty())
                };
                endpoints.filter(is_used).and_then(|endpoints| endpoints.object(name))
            }
            _ => None,
        };
        if let Some(endpoint) = endpoint {
            endpoint.set("NetworkID", text(id));
        }
    }

    /// Names by its id a container whose namespaces or volumes the new one shares.
    pub(crate) fn pin_joined(&mut self, name: &str, id: &str) {
        let Some(host) = self.body.as_mut().and_then(|body| body.get_mut("HostConfig")) else {
            return;
        };
        let said = format!("container:{name}");
        for field in JOINED {
            if host.text(field) == said {
                host.set(field, Value::Text(format!("container:{id}")));
            }
        }
        if let Some(Value::List(sources)) = host.get_mut("VolumesFrom") {
            for source in sources {
                let Some(from) = source.as_text() else { continue };
                let (from, mode) = from.split_once(':').map_or((from, None), |(a, b)| (a, Some(b)));
                if from == name {
                    *source = Value::Text(
                        mode.map_or_else(|| id.to_owned(), |mode| format!("{id}:{mode}")),
                    );
                }
            }
        }
    }
}

fn text(id: &str) -> Value {
    Value::Text(id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{Limits, read};

    fn asked(action: Action, body: &str) -> Asked {
        read(action, None, &[], body.as_bytes(), Limits::default()).unwrap()
    }

    fn body(asked: &Asked) -> serde_json::Value {
        serde_json::from_slice(&asked.body()).unwrap()
    }

    #[test]
    fn a_network_is_told_by_its_id_and_keeps_its_name() {
        let endpoints = |text: &str, name: &str| {
            let mut asked = asked(Action::DockerContainerCreate, text);
            asked.pin_network(name, "id");
            body(&asked)["NetworkingConfig"]["EndpointsConfig"].to_string()
        };
        let mode = r#"{"Image":"i","HostConfig":{"NetworkMode":"back"}}"#;
        assert_eq!(endpoints(mode, "back"), r#"{"back":{"NetworkID":"id"}}"#);
        assert_eq!(endpoints(mode, "front"), "{}", "it is not in that network");
        let both = r#"{"Image":"i","HostConfig":{"NetworkMode":"back"},
            "NetworkingConfig":{"EndpointsConfig":{"back":null,"front":{"Aliases":["a"],"NetworkID":"x"}}}}"#;
        let back = r#"{"back":{"NetworkID":"id"},"front":{"Aliases":["a"]}}"#;
        assert_eq!(endpoints(both, "back"), back);
        let front = r#"{"back":{},"front":{"Aliases":["a"],"NetworkID":"id"}}"#;
        assert_eq!(endpoints(both, "front"), front);
        // The engine looks at the endpoints alone.
        let other = r#"{"Image":"i","HostConfig":{"NetworkMode":"back"},"NetworkingConfig":{"EndpointsConfig":{"front":{}}}}"#;
        assert_eq!(endpoints(other, "back"), r#"{"front":{}}"#);
    }

    #[test]
    fn a_connection_is_with_the_network_that_was_found() {
        for text in [r#"{"Container":"c"}"#, r#"{"Container":"c","EndpointConfig":null}"#] {
            let mut asked = asked(Action::DockerNetworkConnect, text);
            asked.pin_network("back", "id");
            assert_eq!(body(&asked)["EndpointConfig"]["NetworkID"], "id");
        }
    }

    #[test]
    fn containers_that_something_is_shared_with_are_named_by_id() {
        let text = r#"{"Image":"i","HostConfig":{"NetworkMode":"container:one","PidMode":"container:one",
            "IpcMode":"container:two","VolumesFrom":["one:ro","one","two"],"Links":["one:db"]}}"#;
        let mut asked = asked(Action::DockerContainerCreate, text);
        asked.pin_joined("one", "id");
        let host = &body(&asked)["HostConfig"];
        assert_eq!(host["NetworkMode"], "container:id");
        assert_eq!(host["PidMode"], "container:id");
        assert_eq!(host["IpcMode"], "container:two");
        assert_eq!(host["VolumesFrom"], serde_json::json!(["id:ro", "id", "two"]));
        assert_eq!(host["Links"], serde_json::json!(["one:db"]));
    }
}
