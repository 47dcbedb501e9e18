//! Clients that are not docker's own, at the engine's socket and through the gateway.

use std::path::Path;

use sealock_testkit::clients::skip_without;
use sealock_testkit::docker::Image;

use crate::gateway::{Client, home, skip};
use crate::gateway_docker::{Outcomes, Side};
use crate::gateway_escape::runner;
use crate::support::{Home, text};

/// docker-compose 1.29 brings a docker-py of 2021, which speaks TLS in its own way.
const COMPOSE: &[&str] = &[
    "docker-compose build --no-cache >log && grep -c 'Successfully' log",
    "docker-compose up -d",
    "docker-compose ps",
    "docker-compose exec -T client wget -q -O - http://web:8080/index.html",
    "docker-compose exec -T web sh -c 'exit 5'",
    // Its own exec does not tell the end of the input; by docker's client it does.
    "echo typed | COMPOSE_INTERACTIVE_NO_CLI=0 docker-compose exec -T client cat",
    "docker-compose exec -T client sh -c 'echo out; sleep 1; echo err >&2'",
    "docker-compose logs --no-color web",
    // It attaches after the start, so that what is said at once may be lost, at the socket too.
    "docker-compose run --rm -T client sh -c 'sleep 2; wget -q -O - http://web:8080/; id -u; sleep 1; exit 6' || echo code $?",
    "docker-compose top client | wc -l",
    "docker-compose pause web && docker-compose ps web && docker-compose unpause web",
    "docker-compose restart -t 0 client",
    "docker-compose up -d --scale client=2 && docker-compose ps -q client | wc -l",
    "docker-compose up -d --force-recreate -t 0 web; for i in $(seq 60); do docker-compose ps web | grep -q healthy. && break; sleep 0.5; done; docker-compose ps web",
    "docker-compose kill web",
    "docker-compose stop -t 0",
    "docker-compose rm -f client",
    "docker-compose down -v -t 0 --rmi local",
    "docker ps -aq --filter name=$N; docker network ls -q --filter name=$N; docker volume ls -q --filter name=$N",
];

/// Takes the project through its life at the socket and through the gateway.
fn a_project_lives_alike(home: &Home, client: &Client) {
    let image = Image::busybox();
    let mut outcomes = Outcomes::new();
    for _ in 0..Outcomes::ROUNDS {
        a_life(home, client, &image, &mut outcomes);
        if outcomes.different().is_empty() {
            break;
        }
    }
    outcomes.are_alike(|step| COMPOSE[step].to_owned());
}

fn a_life(home: &Home, client: &Client, image: &Image, outcomes: &mut Outcomes) {
    let sides = [Side::socket(home), Side::gateway(home, client)].map(|side| {
        side.fill(image.name());
        side.write("docker-compose.yml", include_str!("clients/compose.yml"));
        let project = side.name.clone();
        side.with("COMPOSE_PROJECT_NAME", &project)
            // Builds by itself, and not by docker's client.
            .with("COMPOSE_DOCKER_CLI_BUILD", "0")
            .with("COMPOSE_INTERACTIVE_NO_CLI", "1")
    });
    for (step, script) in COMPOSE.iter().enumerate() {
        let said = sides.each_ref().map(|side| {
            let script =
                format!("cd $D && {{ {script}; }} 2>errors || {{ s=$?; cat errors; exit $s; }}");
            side.outcome(&script, image.name(), None)
        });
        assert!(!said[1].contains("Traceback"), "{script}: {}", said[1]);
        outcomes.add(step, said);
    }
    let left = sides[1].outcome(COMPOSE.last().unwrap(), image.name(), None);
    assert_eq!(left, "code Some(0)\n--- stderr\n");
}

#[test]
fn compose_brings_a_project_up_and_down() {
    if skip() || skip_without(&["docker-compose"]) {
        return;
    }
    let home = home();
    let daemon = home.up();
    a_project_lives_alike(&home, &Client::admin(&home));
    assert_eq!(daemon.stop(), Some(0));
}

/// With the preset for runners: everything that it does is its own.
#[test]
fn compose_does_the_same_for_a_runner() {
    if skip() || skip_without(&["docker-compose"]) {
        return;
    }
    let home = home();
    let (daemon, runner) = runner(&home);
    // Old compose links a container that it runs once with those of its project.
    let links = r#"permit (
        principal in Sealock::Group::"docker-ci",
        action == Sealock::Action::"Docker::ContainerCreate",
        resource
    )
    when { ["links"].containsAll(context.risks) && context.unknownFields.isEmpty() };"#;
    std::fs::write(home.state().join("policy/links.cedar"), links).unwrap();
    home.ok(&["policy", "reload"]);
    a_project_lives_alike(&home, &runner);
    assert_eq!(daemon.stop(), Some(0));
}

/// The steps that the script takes; each prints a line at least.
const STEPS: usize = 60;

#[test]
fn docker_py_does_everything_that_it_can() {
    if skip() || skip_without(&["python-with-docker"]) {
        return;
    }
    let home = home();
    let daemon = home.up();
    docker_py_does_alike(&home, &Client::admin(&home), "admin");
    assert_eq!(daemon.stop(), Some(0));
}

/// All but what the preset does not permit: images that are saved and loaded, fixed subnets, options of volumes.
#[test]
fn docker_py_does_the_same_for_a_runner() {
    if skip() || skip_without(&["python-with-docker"]) {
        return;
    }
    let home = home();
    let (daemon, runner) = runner(&home);
    docker_py_does_alike(&home, &runner, "runner");
    assert_eq!(daemon.stop(), Some(0));
}

fn docker_py_does_alike(home: &Home, client: &Client, role: &str) {
    let image = Image::busybox();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients/docker_py.py");
    let mut outcomes = Outcomes::new();
    let mut steps = Vec::new();
    for _ in 0..Outcomes::ROUNDS {
        let [socket, gateway] = [Side::socket(home), Side::gateway(home, client)].map(|side| {
            let script = format!("exec python-with-docker {} $IMAGE $N {role}", script.display());
            let output = side.script(&script, image.name(), "none");
            let said = text(&output.stdout);
            assert!(output.status.success(), "{said}{}", text(&output.stderr));
            said.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        assert_eq!(socket.len(), gateway.len(), "{socket:#?}\n{gateway:#?}");
        let least = if role == "admin" { STEPS } else { STEPS - 15 };
        assert!(gateway.len() > least, "{gateway:#?}");
        steps.clone_from(&gateway);
        for (step, said) in socket.into_iter().zip(gateway).enumerate() {
            outcomes.add(step, said.into());
        }
        if outcomes.different().is_empty() {
            break;
        }
    }
    outcomes.are_alike(|step| steps[step].clone());
}
