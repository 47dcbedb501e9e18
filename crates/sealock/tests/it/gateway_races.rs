//! Names that change what they mean while a request is decided on: what was decided on is what is done.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sealock_testkit::docker::{Image, call, docker, try_docker};
use serde_json::Value;

use crate::gateway::{Client, skip};
use crate::gateway_owner::{Made, Shop, unique};
use crate::raw::Connection;

/// How often it is tried; each try takes a few milliseconds.
const TRIES: usize = 400;

/// Does `swap` over and over while `tries` runs.
fn meanwhile(swap: impl Fn() + Sync, tries: impl FnOnce()) -> usize {
    let (over, swaps) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                swap();
                swaps.fetch_add(1, Ordering::SeqCst);
            }
        });
        let _over = Over(&over);
        tries();
    });
    swaps.into_inner()
}

/// Ends the swaps, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// At the engine's own socket, as its administrator; that it may fail is part of the race.
fn rename(id: &str, name: &str) {
    let _ = call("POST", &format!("/v1.41/containers/{id}/rename?name={name}"), b"");
}

fn running(client: &Client, made: &mut Made<'_>, image: &Image) -> String {
    let name = unique("box");
    made.keep("container", &name);
    client.ok(&["run", "--detach", "--name", &name, image.name(), "sleep", "600"]).trim().to_owned()
}

#[test]
fn a_container_whose_name_changes_hands_stays_its_owners() {
    if skip() {
        return;
    }
    let shop = Shop::new();
    let image = Image::busybox();
    let (mut of_ann, mut of_bob) = (Made::by(&shop.ann), Made::by(&shop.bob));
    let anns = running(&shop.ann, &mut of_ann, &image);
    let bobs = running(&shop.bob, &mut of_bob, &image);
    of_ann.keep("container", &anns);
    of_bob.keep("container", &bobs);
    let (name, a, b) = (unique("shared"), unique("a"), unique("b"));
    // Bob's mark, in an archive.
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o600);
    archive.append_data(&mut header, "mark", &b"bob\n"[..]).unwrap();
    let mark = archive.into_inner().unwrap();

    let mut connection = Connection::of(&shop.bob);
    let (mut his, mut nobodys) = (0, 0);
    let swaps = meanwhile(
        || {
            rename(&anns, &a);
            rename(&bobs, &name);
            rename(&bobs, &b);
            rename(&anns, &name);
        },
        || {
            for _ in 0..TRIES {
                let path = format!("/v1.41/containers/{name}/json");
                let (status, body) = connection.ask("GET", &path, "application/json", b"");
                match status {
                    200 => {
                        let shown: Value = serde_json::from_slice(&body).unwrap();
                        assert_eq!(shown["Id"], bobs.as_str(), "Ann's container is shown");
                        his += 1;
                    }
                    404 => nobodys += 1,
                    other => unreachable!("{other}"),
                }
                let path = format!("/v1.41/containers/{name}/archive?path=/tmp");
                let (status, _) = connection.ask("PUT", &path, "application/x-tar", &mark);
                assert!([200, 404].contains(&status), "{status}");
            }
        },
    );
    assert!(his > 10 && nobodys > 10 && swaps > 10, "no race: {his}, {nobodys}, {swaps}");
    assert_eq!(docker(&["exec", &bobs, "cat", "/tmp/mark"]), "bob");
    let on_anns = try_docker(&["exec", &anns, "ls", "/tmp/mark"]);
    assert!(!on_anns.status.success(), "Bob's mark is in Ann's container");
    assert_eq!(shop.daemon.stop(), Some(0));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one tag that moves, and two ways to wait for it")]
fn a_tag_that_moves_runs_no_image_of_others() {
    if skip() {
        return;
    }
    let shop = Shop::new();
    let everybodys = Image::busybox();
    let tag = format!("{}:moving", unique("image"));
    let mut made = Made::by(&shop.ann);
    let anns_tag = format!("{}:anns", unique("image"));
    let first = running(&shop.ann, &mut made, &everybodys);
    made.keep("image", &anns_tag);
    let anns = shop.ann.ok(&["commit", &first, &anns_tag]).trim().to_owned();
    made.keep("image", &tag);
    let _ = docker(&["tag", everybodys.name(), &tag]);
    let refused = shop.bob.refused(&["create", &anns_tag]);
    assert!(refused.contains("not yours"), "{refused}");

    let (repository, version) = tag.split_once(':').unwrap();
    let point = |image: &str| {
        let target = format!("/v1.41/images/{image}/tag?repo={repository}&tag={version}");
        let _ = call("POST", &target, b"");
    };
    let body = format!(r#"{{"Image":"{tag}","Cmd":["true"]}}"#);
    let mut connection = Connection::of(&shop.bob);
    let (mut created, mut turned_away, mut stolen) = (0, 0, 0);
    let swaps = meanwhile(
        || {
            point(&anns);
            point(everybodys.id());
        },
        || {
            for _ in 0..TRIES {
                let path = "/v1.41/containers/create";
                let (status, body) =
                    connection.ask("POST", path, "application/json", body.as_bytes());
                let answer: Value = serde_json::from_slice(&body).unwrap();
                match answer["Id"].as_str() {
                    Some(id) => {
                        created += 1;
                        let (_, shown) = call("GET", &format!("/v1.41/containers/{id}/json"), b"");
                        stolen += usize::from(shown.contains(&anns));
                        let _ = call("DELETE", &format!("/v1.41/containers/{id}"), b"");
                    }
                    None => {
                        assert!([404, 409].contains(&status), "{status}: {answer}");
                        turned_away += 1;
                    }
                }
            }
        },
    );
    assert!(created > 10 && turned_away > 10 && swaps > 10, "{created}, {turned_away}, {swaps}");
    assert_eq!(stolen, 0, "of {created} containers so many have Ann's image");
    // Nor does one that nobody waits for.
    let label = unique("left");
    let body = format!(r#"{{"Image":"{tag}","Cmd":["true"],"Labels":{{"left":"{label}"}}}}"#);
    let filter = format!("label=left={label}");
    let left = || docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
    // How many get so far before their client is gone depends on how busy the machine is.
    let mut all = String::new();
    for _ in 0..6 {
        meanwhile(
            || {
                point(&anns);
                point(everybodys.id());
            },
            || {
                for number in 0..TRIES / 2 {
                    let mut connection = Connection::of(&shop.bob);
                    let path = "/v1.41/containers/create";
                    connection.send("POST", path, "application/json", body.as_bytes());
                    thread::sleep(Duration::from_micros(number as u64 % 20 * 1000));
                }
            },
        );
        thread::sleep(Duration::from_secs(3));
        all = left();
        if all.lines().count() > 10 {
            break;
        }
    }
    let left = all;
    let images: Vec<String> = left
        .lines()
        .map(|id| {
            let (_, shown) = call("GET", &format!("/v1.41/containers/{id}/json"), b"");
            let _ = call("DELETE", &format!("/v1.41/containers/{id}"), b"");
            serde_json::from_str::<Value>(&shown).unwrap()["Image"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(images.len() > 10, "nothing was left: {}", images.len());
    assert!(!images.contains(&anns), "a container that nobody waited for has Ann's image");
    assert_eq!(shop.daemon.stop(), Some(0));
}

#[test]
fn a_volume_that_changes_hands_is_mounted_for_nobody_else() {
    if skip() {
        return;
    }
    let shop = Shop::new();
    let image = Image::busybox();
    let name = unique("volume");
    let mut made = Made::by(&shop.bob);
    made.keep("volume", &name);
    let owners = &shop.identities;
    let body = format!(
        r#"{{"Image":"{}","Cmd":["true"],"HostConfig":{{"Binds":["{name}:/v"]}}}}"#,
        image.name()
    );
    let mut connection = Connection::of(&shop.bob);
    let (mut created, mut turned_away, mut stolen) = (0, 0, 0);
    let swaps = meanwhile(
        || {
            for owner in owners {
                let _ = call("DELETE", &format!("/v1.41/volumes/{name}"), b"");
                let volume =
                    format!(r#"{{"Name":"{name}","Labels":{{"sealock.owner":"{owner}"}}}}"#);
                let _ = call("POST", "/v1.41/volumes/create", volume.as_bytes());
            }
        },
        || {
            for _ in 0..TRIES {
                let path = "/v1.41/containers/create";
                let (_, answer) = connection.ask("POST", path, "application/json", body.as_bytes());
                let answer: Value = serde_json::from_slice(&answer).unwrap();
                let Some(id) = answer["Id"].as_str() else {
                    turned_away += 1;
                    continue;
                };
                created += 1;
                // While the container is there, nobody can remove the volume.
                let (_, volume) = call("GET", &format!("/v1.41/volumes/{name}"), b"");
                stolen += usize::from(!volume.contains(&owners[1]));
                let _ = call("DELETE", &format!("/v1.41/containers/{id}"), b"");
            }
        },
    );
    assert!(created > 10 && turned_away > 10 && swaps > 10, "{created}, {turned_away}, {swaps}");
    assert_eq!(stolen, 0, "of {created} containers so many have Ann's volume");
    assert_eq!(shop.daemon.stop(), Some(0));
}

/// A container that was never started keeps the name of its network alone, at the socket.
#[test]
fn a_container_does_not_follow_the_name_of_its_network() {
    if skip() {
        return;
    }
    let shop = Shop::new();
    let image = Image::busybox();
    let (network, other) = (unique("net"), unique("other"));
    let containers = ["by-create", "by-connect", "at-the-socket"].map(unique);
    let (mut of_ann, mut of_bob) = (Made::by(&shop.ann), Made::by(&shop.bob));
    of_ann.keep("network", &network);
    of_ann.keep("network", &other);
    for container in &containers {
        of_bob.keep("container", container);
    }
    let [by_create, by_connect, at_socket] = &containers;
    shop.bob.ok(&["network", "create", &network]);
    let create = |name: &str, network: &str| -> Vec<String> {
        let words = ["create", "--name", name, "--network", network, image.name(), "sleep", "600"];
        words.map(str::to_owned).into()
    };
    let words = create(by_create, &network);
    shop.bob.ok(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let words = create(by_connect, "none");
    shop.bob.ok(&words.iter().map(String::as_str).collect::<Vec<_>>());
    shop.bob.ok(&["network", "disconnect", "none", by_connect]);
    shop.bob.ok(&["network", "connect", &network, by_connect]);
    let words = create(at_socket, &network);
    let _ = docker(&words.iter().map(String::as_str).collect::<Vec<_>>());

    shop.bob.ok(&["network", "rm", &network]);
    shop.ann.ok(&["network", "create", &network]);
    for container in [by_create, by_connect] {
        let said = shop.bob.refused(&["start", container]);
        assert!(said.contains("not found"), "{said}");
    }
    let inside = || docker(&["network", "inspect", "-f", "{{len .Containers}}", &network]);
    assert_eq!(inside(), "0");
    let _ = docker(&["start", at_socket]);
    assert_eq!(inside(), "1", "this is how engines are");
    let _ = docker(&["rm", "--force", at_socket]);
    assert_eq!(shop.daemon.stop(), Some(0));
}
