use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sealock_authority::imported::MOST_CERTIFICATES;
use sealock_core::audit::Fact;

use super::*;
use crate::service::CorporateWorld;

struct Scene {
    world: CorporateWorld,
    path: PathBuf,
    folder: DropFolder,
    leaf: Vec<u8>,
}

fn pem(der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

impl Scene {
    fn new() -> Self {
        let world = CorporateWorld::new();
        world.trust_root();
        let request = world.request(CorporateWorld::wanted()).unwrap();
        let leaf = world.sign(&request.waiting.unwrap().csr, 90);
        let path = world.path("drop");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder: DropFolder::new(path.clone()), world, path, leaf }
    }

    /// A file that was written just now, by the service's clock.
    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path.join(name), bytes).unwrap();
        self.touch(name, 0);
    }

    fn touch(&self, name: &str, seconds_ago: u64) {
        let now = self.world.service().journal().clock().now();
        let now = u64::try_from(now.as_secs()).unwrap() - seconds_ago;
        let file = fs::File::options().append(true).open(self.path.join(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(now)).unwrap();
    }

    fn look(&mut self) {
        self.folder.look(self.world.service()).unwrap();
    }

    fn there(&self, name: &str) -> bool {
        self.path.join(name).symlink_metadata().is_ok()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap()
    }

    fn state(&self) -> String {
        self.world.standing().state
    }
}

#[test]
fn what_was_written_is_imported_once_it_does_not_change_any_more() {
    let mut scene = Scene::new();
    let whole = pem(&scene.leaf) + &pem(&scene.world.issuing.2);
    scene.write("web.pem", &whole.as_bytes()[..whole.len() / 2]);
    scene.look();
    // Half of it was there; now all of it is: two looks at the same bytes are needed.
    scene.write("web.pem", whole.as_bytes());
    scene.look();
    assert_eq!(scene.state(), "waiting for signature");
    scene.look();
    assert_eq!(scene.state(), "in use");
    assert!(!scene.there("web.pem") && scene.there("imported/web.pem"));
    assert!(scene.text("imported/web.pem.txt").contains("Corp Issuing"));
    // There again, as after a kill between import and move: it is served, and nothing is refused.
    scene.write("web.pem", whole.as_bytes());
    scene.look();
    scene.look();
    assert!(scene.text("imported/2-web.pem.txt").contains("imported already\nweb"));
    assert!(!scene.there("refused"));
    // Its chain alone may be for something else, until nothing has come for a while.
    scene.write("chain.pem", pem(&scene.world.issuing.2).as_bytes());
    scene.look();
    scene.look();
    assert!(scene.there("chain.pem"));
    scene.touch("chain.pem", 61);
    scene.look();
    scene.look();
    assert!(scene.there("imported/chain.pem") && !scene.there("refused"));
}

#[test]
fn one_that_ends_earlier_than_what_is_served_is_refused() {
    let mut scene = Scene::new();
    let csr = scene.world.standing().waiting.unwrap().csr;
    let short = scene.world.sign(&csr, 5);
    let chain = pem(&scene.world.issuing.2);
    // Both at once: the better one, whatever the files are called.
    scene.write("a-short.pem", (pem(&short) + &chain).as_bytes());
    scene.write("b-long.pem", (pem(&scene.leaf) + &chain).as_bytes());
    scene.look();
    scene.look();
    let served = scene.world.standing().held.unwrap();
    assert!(scene.text("imported/b-long.pem.txt").contains("web"));
    assert!(scene.text("refused/a-short.pem.txt").contains("--accept-shorter"));
    for place in ["short.pem", "again.pem"] {
        scene.write(place, (pem(&short) + &chain).as_bytes());
        scene.look();
        scene.look();
        let text = scene.text(&format!("refused/{place}.txt"));
        assert!(text.contains(&served.not_after.to_string()), "{text}");
        assert!(text.contains("--accept-shorter"), "{text}");
    }
    assert_eq!(scene.world.standing().held.unwrap(), served);
}

#[test]
fn a_leaf_waits_for_its_chain_a_while() {
    let mut scene = Scene::new();
    scene.write("leaf.der", &scene.leaf);
    scene.look();
    scene.look();
    assert!(scene.there("leaf.der"));
    assert_eq!(scene.world.status().todo[1].kind, "chain");
    scene.write("chain.pem", pem(&scene.world.issuing.2).as_bytes());
    let stray = rcgen::CertificateParams::new(vec!["stray.example".to_owned()]).unwrap();
    let stray = stray.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    scene.write("stray.pem", pem(stray.der()).as_bytes());
    scene.look();
    scene.look();
    assert_eq!(scene.state(), "in use");
    assert!(scene.there("stray.pem"), "what is not in the chain was not imported");
    assert!(scene.there("imported/leaf.der") && scene.there("imported/chain.pem"));

    let mut scene = Scene::new();
    scene.write("leaf.der", &scene.leaf);
    scene.touch("leaf.der", 61);
    scene.look();
    scene.look();
    assert!(scene.text("refused/leaf.der.txt").contains("Corp Issuing"));
    let failed =
        |fact: &Fact| matches!(fact, Fact::Failed { what, .. } if what.contains("leaf.der"));
    assert!(scene.world.facts().iter().any(failed));
}

#[test]
fn what_cannot_be_moved_is_told_once_and_keeps_nothing_else() {
    let mut scene = Scene::new();
    // Where a folder is wanted.
    fs::write(scene.path.join(REFUSED), b"").unwrap();
    scene.write("a-rubbish", b"hello");
    scene.write("web.pem", (pem(&scene.leaf) + &pem(&scene.world.issuing.2)).as_bytes());
    scene.look();
    let told = |scene: &Scene| {
        let about =
            |fact: &Fact| matches!(fact, Fact::Failed { what, .. } if what.contains("a-rubbish"));
        scene.world.facts().iter().filter(|fact| about(fact)).count()
    };
    for _ in 0..4 {
        let error = scene.folder.look(scene.world.service()).unwrap_err();
        assert!(error.message.contains("move a file"), "{error:?}");
        assert_eq!(told(&scene), 1);
    }
    assert_eq!(scene.state(), "in use");
    assert!(scene.there("imported/web.pem"));
    // Another file under that name is another matter; and it is away as soon as it can be.
    scene.write("a-rubbish", b"hello again");
    let _ = scene.folder.look(scene.world.service());
    assert!(scene.folder.look(scene.world.service()).is_err());
    assert_eq!(told(&scene), 2);
    fs::remove_file(scene.path.join(REFUSED)).unwrap();
    scene.look();
    assert!(scene.there("refused/a-rubbish"));
    assert_eq!(told(&scene), 2);
}

/// The text that is put beside a file could have the name of one that somebody has dropped before.
#[test]
fn what_is_said_of_a_file_overwrites_no_other() {
    let mut scene = Scene::new();
    scene.write("a.txt", b"the first");
    scene.look();
    scene.look();
    assert_eq!(scene.text("refused/a.txt"), "the first");
    scene.write("a", b"the second");
    scene.look();
    scene.look();
    assert_eq!(scene.text("refused/a.txt"), "the first");
    assert_eq!(scene.text("refused/2-a"), "the second");
    assert!(scene.there("refused/2-a.txt"));
}

#[test]
fn what_has_nothing_to_do_with_a_request_does_not_keep_it() {
    let mut scene = Scene::new();
    let strays: String = (0..MOST_CERTIFICATES + 1)
        .map(|number| {
            let stray = rcgen::CertificateParams::new(vec![format!("s{number}.example")]).unwrap();
            pem(stray.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der())
        })
        .collect();
    scene.write("a-strays.pem", strays.as_bytes());
    scene.write("b-junk.pem", pem(b"no certificate").as_bytes());
    let whole = strays + &pem(&scene.leaf);
    scene.write("web.pem", whole.as_bytes());
    scene.write("z-chain.pem", pem(&scene.world.issuing.2).as_bytes());
    scene.look();
    scene.look();
    assert_eq!(scene.state(), "in use");
    assert!(scene.there("a-strays.pem") && scene.there("refused/b-junk.pem"));
    assert!(scene.there("imported/web.pem") && scene.there("imported/z-chain.pem"));
}

#[test]
fn nothing_is_followed_and_only_files_of_certificates_are_read() {
    let mut scene = Scene::new();
    let outside = scene.world.path("outside.pem");
    fs::write(&outside, pem(&scene.leaf) + &pem(&scene.world.issuing.2)).unwrap();
    symlink(&outside, scene.path.join("link.pem")).unwrap();
    let kind = FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, scene.path.join("pipe"), kind, Mode::RWXU, 0).unwrap();
    fs::create_dir(scene.path.join("folder")).unwrap();
    scene.write("rubbish", b"hello");
    scene.write("large", &vec![b'x'; (1 << 20) + 1]);
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    scene.write("key.pem", (pem(&scene.leaf) + &key).as_bytes());
    scene.write(".hidden", b"hello");
    for _ in 0..2 {
        scene.look();
    }
    assert_eq!(scene.state(), "waiting for signature");
    for (name, why) in [
        ("link.pem", "no regular file"),
        ("pipe", "no regular file"),
        ("folder", "no regular file"),
        ("rubbish", "no file of certificates"),
        ("large", "larger than 1 MiB"),
        ("key.pem", "private key"),
    ] {
        assert!(scene.there(&format!("refused/{name}")), "{name}");
        let text = scene.text(&format!("refused/{name}.txt"));
        assert!(text.contains(why), "{name}: {text}");
    }
    assert!(scene.there(".hidden") && outside.exists());
}

#[test]
fn a_folder_that_others_can_write_to_is_not_used() {
    let mut scene = Scene::new();
    for mode in [0o777, 0o775, 0o757] {
        fs::set_permissions(&scene.path, fs::Permissions::from_mode(mode)).unwrap();
        let error = scene.folder.look(scene.world.service()).unwrap_err();
        assert!(error.message.contains("others may write"), "{error:?}");
    }
    let link = scene.world.path("link");
    symlink(&scene.path, &link).unwrap();
    for bad in [link.as_path(), Path::new("/nowhere/at/all")] {
        let error = DropFolder::new(bad.to_owned()).look(scene.world.service()).unwrap_err();
        assert!(!error.causes.is_empty(), "{error:?}");
    }
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(&scene.path, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(&scene.path, Some(12_345), None).unwrap();
        let error = scene.folder.look(scene.world.service()).unwrap_err();
        assert!(error.message.contains("belongs to user 12345"), "{error:?}");
    }
}
