//! Containers that use the gateway with a certificate of their own, delivered by label.

use std::fs;

use sealock_testkit::docker::{Container, Image, Network, docker};

use crate::gateway::permit;
use crate::gateway_socket::{image, name};
use crate::support::{Daemon, Home, text};

/// A network of its own, at whose host's address the gateway listens.
fn up(home: &Home) -> (Daemon, Network, String) {
    let network = Network::create(&[]);
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let host = docker(&["network", "inspect", "--format", format, network.name()]);
    let log = fs::File::create(home.path("daemon.log")).unwrap();
    let mut command = home.command();
    command.env("SEALOCK_GATEWAY_NAMES", "gateway.test,192.0.2.1");
    command.args(["up", "--api", "off", "--gateway", &format!("{host}:0")]);
    let daemon = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let daemon = Daemon::of(daemon);
    let address = sealock_testkit::wait::until("the gateway", crate::support::PATIENCE, || {
        let status = home.run(&["--json", "status"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        Some(status["gateway"].as_str()?.to_owned())
    });
    (daemon, network, address)
}

/// A container that asks for a certificate in docker's own layout, as the guide says.
fn start(home: &Home, image: &Image, network: &Network, address: &str) -> Container {
    let (host, port) = address.rsplit_once(':').unwrap();
    let hosts = format!("gateway.test:{host}");
    let server = format!("DOCKER_HOST=tcp://gateway.test:{port}");
    image.start(&[
        &home.scope_label(),
        "--network",
        network.name(),
        "--add-host",
        &hosts,
        "--tmpfs",
        "/run",
        "--label",
        "sealock.cert.docker.layout=docker",
        "--label",
        "sealock.cert.docker.usage=client",
        "--env",
        &server,
        "--env",
        "DOCKER_TLS_VERIFY=1",
        "--env",
        "DOCKER_CERT_PATH=/run/sealock/certs/docker",
    ])
}

#[test]
fn with_a_delivered_certificate_one_manages_and_another_is_refused() {
    let Some(image) = image() else { return };
    let home = crate::gateway::home();
    let (daemon, network, address) = up(&home);
    let manager = start(&home, &image, &network, &address);
    let stranger = start(&home, &image, &network, &address);
    permit(
        &home,
        &format!(
            "permit (principal == Sealock::Service::\"{}\", action in Sealock::Action::\"Docker\", resource);",
            name(&manager)
        ),
    );
    let delivered = |container: &Container| {
        let found = home.await_certificate(&name(container), "docker", "delivered", |found| {
            found["state"] == "delivered"
        });
        found["serial"].as_str().unwrap().to_owned()
    };
    let (serial, _) = (delivered(&manager), delivered(&stranger));
    let listing = manager.output(&["ls", "-L", "/run/sealock/certs/docker"]);
    assert_eq!(listing, "ca.pem\ncert.pem\nkey.pem\n");
    let modes = manager.output(&["stat", "-Lc", "%a", "/run/sealock/certs/docker/key.pem"]);
    assert_eq!(modes, "400\n");

    let seen = manager.output(&["docker", "ps", "--quiet", "--no-trunc"]);
    assert!(seen.contains(stranger.id()), "{seen}");
    let _ = manager.output(&["docker", "restart", "--time", "0", stranger.id()]);
    // The tmpfs of the restarted container is empty; it is given its files again.
    home.await_certificate(&name(&stranger), "docker", "delivered again", |found| {
        found["state"] == "delivered"
            && stranger.exec(&["test", "-e", "/run/sealock/certs/docker/key.pem"]).status.success()
    });
    let refused = stranger.exec(&["docker", "ps"]);
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("is denied"), "{said}");
    assert!(said.contains(&format!("Sealock::Service::\"{}\"", name(&stranger))), "{said}");

    // By address too, which is in the gateway's certificate because it listens there.
    let server = format!("tcp://{address}");
    let _ = manager.output(&["docker", "--host", &server, "version"]);
    // What is revoked is refused, wherever it is; the container itself has another at once.
    let _ = manager.output(&["cp", "-rL", "/run/sealock/certs/docker", "/run/stolen"]);
    home.ok(&["cert", "revoke", &serial, "--reason", "key-compromise"]);
    let stolen = ["env", "DOCKER_CERT_PATH=/run/stolen", "docker", "ps"];
    let said = text(&manager.exec(&stolen).stderr);
    assert!(said.contains("revoked"), "{said}");
    home.await_certificate(&name(&manager), "docker", "another", |found| {
        found["state"] == "delivered" && found["serial"] != serial.as_str()
    });
    let _ = manager.output(&["docker", "ps"]);
    assert_eq!(daemon.stop(), Some(0));
}
