//! Docker's client as the program.

use sealock_testkit::clients::skip_without_engine;
use sealock_testkit::docker::Image;

use super::World;
use crate::summon::stage::outcome;

#[test]
fn docker_run_with_a_name_gets_the_value_and_a_warning() {
    if skip_without_engine() {
        return;
    }
    let world = World::with(&[("prod/db", "hunter2\nand more")]);
    let image = Image::busybox();
    let yaml = "A: !var prod/db\nB: literal\n";
    let docker = |options: &[&str]| {
        let script = ["sh", "-c", "echo \"$A|$B\""];
        let start = ["--yaml", yaml, "--", "docker", "run", "--rm"];
        outcome(world.run(&[&start[..], options, &[image.name()], &script].concat()))
    };
    let said = docker(&["-e", "A", "--env=B"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "hunter2\nand more|literal\n"),
        "{said:?}"
    );
    assert!(
        said.err.starts_with("warning: `docker inspect` will show A to whoever may ask the engine"),
        "{said:?}"
    );
    // Not about what is no secret.
    let said = docker(&["-e", "B"]);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("|literal\n", ""));
}
