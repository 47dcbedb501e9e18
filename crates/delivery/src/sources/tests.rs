use std::fs;
use std::os::unix::fs::symlink;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn gather(&self, names: &[&str]) -> Result<Load, SourceError> {
        Load::gather(names.iter().map(|name| Source::Path(self.path(name))).collect())
    }
}

fn names(load: &Load) -> Vec<String> {
    load.tree().members().iter().map(|member| member.path.to_string()).collect()
}

#[test]
fn a_folder_stands_for_what_is_in_it_and_several_sources_keep_their_names() {
    let folder =
        Folder::new(&[("tree/b/c", "123"), ("tree/a", "45"), ("tree/b.x", ""), ("f", "6")]);
    symlink("b/c", folder.path("tree/link")).unwrap();
    let load = folder.gather(&["tree"]).unwrap();
    assert_eq!(names(&load), ["a", "b", "b/c", "b.x", "link"]);
    assert_eq!(load.announced(), Announced { bytes: 5, members: 5 });
    assert_eq!((load.files(), load.one_file()), (3, None));
    let load = folder.gather(&["tree", "f"]).unwrap();
    assert_eq!(
        names(&load),
        ["f", "tree", "tree/a", "tree/b", "tree/b/c", "tree/b.x", "tree/link"]
    );
    assert_eq!(load.one_file(), None);
}

#[test]
fn one_file_is_known_by_its_name_also_through_a_link() {
    let folder = Folder::new(&[("real", "content")]);
    symlink("real", folder.path("link")).unwrap();
    for name in ["real", "link"] {
        let load = folder.gather(&[name]).unwrap();
        assert_eq!(load.one_file(), Some(name));
        let [Member { kind: Kind::File { content, size: 7, .. }, .. }] = load.tree().members()
        else {
            panic!("{load:?}");
        };
        let mut text = String::new();
        content.open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
    }
}

#[test]
fn what_has_no_content_and_links_that_lead_out_are_refused() {
    let folder = Folder::new(&[("tree/a", "")]);
    let listener = std::os::unix::net::UnixListener::bind(folder.path("tree/socket")).unwrap();
    let refused = folder.gather(&["tree"]).unwrap_err();
    assert!(matches!(refused, SourceError::Kind { kind: "a socket", .. }), "{refused:?}");
    drop(listener);
    fs::remove_file(folder.path("tree/socket")).unwrap();
    for target in ["/etc/passwd", "../../x", "..", "a/../../x"] {
        symlink(target, folder.path("tree/link")).unwrap();
        let refused = folder.gather(&["tree"]).unwrap_err();
        assert!(matches!(refused, SourceError::Name { .. }), "{target}: {refused:?}");
        fs::remove_file(folder.path("tree/link")).unwrap();
    }
    let refused = Load::gather(vec![Source::Path("/dev/null".into())]).unwrap_err();
    assert!(matches!(refused, SourceError::Kind { kind: "a device", .. }), "{refused:?}");
    let refused = folder.gather(&["missing"]).unwrap_err();
    assert!(matches!(refused, SourceError::Unreadable { .. }), "{refused:?}");
}

#[test]
fn sources_that_do_not_go_together_are_refused() {
    let folder = Folder::new(&[("one/f", ""), ("two/f", "")]);
    let refused = folder.gather(&["one/f", "two/f"]).unwrap_err();
    assert!(matches!(refused, SourceError::Tree(TreeError::Twice(_))), "{refused:?}");
    assert!(matches!(folder.gather(&[]), Err(SourceError::Nothing)));
    let both = vec![Source::Path(folder.path("one")), Source::Stream(Box::new(&b""[..]))];
    assert!(matches!(Load::gather(both), Err(SourceError::StreamNotAlone)));
    let one = || Source::OneFile { mode: 0o400, content: SecretBytes::new(b"x".to_vec()) };
    assert!(matches!(Load::gather(vec![one(), one()]), Err(SourceError::NotAlone)));
    assert_eq!(Load::gather(vec![one()]).unwrap().one_file(), Some(""));
    let refused =
        Load::gather(vec![Source::Path("/".into()), Source::Path("/etc/hostname".into())]);
    assert!(matches!(refused, Err(SourceError::Nameless(_))));
}

#[test]
fn a_file_that_was_replaced_since_is_not_read() {
    let folder = Folder::new(&[("f", "looked at"), ("other", "secret...")]);
    let load = folder.gather(&["f"]).unwrap();
    let [Member { kind: Kind::File { content, .. }, .. }] = load.tree().members() else {
        panic!("{load:?}");
    };
    fs::rename(folder.path("other"), folder.path("f")).unwrap();
    assert!(content.open().is_err());
    fs::remove_file(folder.path("f")).unwrap();
    symlink("/etc/passwd", folder.path("f")).unwrap();
    assert!(content.open().is_err());
}

#[test]
fn a_stream_is_one_file_without_a_name_and_has_a_limit() {
    let load = Load::gather(vec![Source::Stream(Box::new(&b"abc"[..]))]).unwrap();
    assert_eq!((load.one_file(), load.announced().bytes), (Some(""), 3));
    let endless = Gathered::default().stream(Box::new(std::io::repeat(0)), 1000);
    assert!(matches!(endless, Err(SourceError::StreamTooLarge { limit: 1000 })));
    Gathered::default().stream(Box::new(std::io::repeat(0).take(1000)), 1000).unwrap();
}
