use std::io::{Cursor, Write};
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::member::{LinkTarget, MemberPath};
use crate::plan::{Announced, Shape};

/// Keeps what was written, and lends small pieces so that files pass in several.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    lent: Vec<u8>,
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Fill for Kept {
    fn spare(&mut self) -> std::io::Result<&mut [u8]> {
        self.lent.resize(7, 0);
        Ok(&mut self.lent)
    }
    fn advance(&mut self, count: usize) -> std::io::Result<()> {
        self.bytes.extend(&self.lent[..count]);
        Ok(())
    }
}

/// Remembers what it was given.
#[derive(Default, Debug, PartialEq, Eq)]
struct Taken(Vec<(String, String, Vec<u8>)>);

impl Sink for Taken {
    type Error = std::io::Error;
    fn folder(&mut self, path: &MemberPath, mode: u32) -> Result<(), Self::Error> {
        self.0.push((path.to_string(), format!("d{mode:o}"), Vec::new()));
        Ok(())
    }
    fn file(
        &mut self,
        path: &MemberPath,
        mode: u32,
        _size: u64,
        content: &mut dyn std::io::Read,
    ) -> Result<(), Self::Error> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        self.0.push((path.to_string(), format!("f{mode:o}"), bytes));
        Ok(())
    }
    fn link(&mut self, path: &MemberPath, target: &LinkTarget) -> Result<(), Self::Error> {
        self.0.push((path.to_string(), "l".into(), target.as_bytes().to_vec()));
        Ok(())
    }
}

fn file(path: &str, mode: u32, content: &[u8]) -> Member {
    Member {
        path: MemberPath::parse(path.as_bytes()).unwrap(),
        kind: Kind::File {
            mode,
            size: content.len() as u64,
            content: Content::from_bytes(content.to_vec()),
        },
    }
}

fn link(path: &str, target: &str) -> Member {
    let path = MemberPath::parse(path.as_bytes()).unwrap();
    let target = LinkTarget::parse(&path, target.as_bytes()).unwrap();
    Member { path, kind: Kind::Link { target } }
}

fn written(tree: &Tree) -> (Vec<u8>, Summary) {
    let mut kept = Kept::default();
    let summary = write(tree, &mut kept, &mut |_| {}).unwrap();
    (kept.bytes, summary)
}

const PLENTY: Announced = Announced { bytes: 1 << 40, members: 1 << 20 };

fn taken(bytes: &[u8]) -> Result<Taken, ReadError<std::io::Error>> {
    let mut sink = Taken::default();
    read(&mut Cursor::new(bytes), Shape::Folder, PLENTY, &mut sink)?;
    Ok(sink)
}

fn sample() -> Tree {
    let long = format!("deep/{}/{}", "n".repeat(200), "m".repeat(250));
    let members = vec![
        file("b", 0o4640, b"bee"),
        file("a/empty", 0o600, b""),
        file("a.txt", 0o644, &[7; 1024]),
        file(&long, 0o444, &[9; 513]),
        link("a/l", "../b"),
        link("a/long", &format!("../deep/{}", "n".repeat(200))),
    ];
    Tree::new(Shape::Folder, members).unwrap()
}

#[test]
fn a_tree_comes_back_as_it_went_in() {
    let tree = sample();
    let (bytes, sent) = written(&tree);
    let sink = taken(&bytes).unwrap();
    assert_eq!(sent.bytes, tree.announced().bytes);
    assert_eq!(sink.0.len() as u64, tree.announced().members);
    assert_eq!(sent.files, 4);
    let names: Vec<_> = sink.0.iter().map(|(path, kind, _)| format!("{kind} {path}")).collect();
    let deep = "n".repeat(200);
    assert_eq!(names[0], "d755 a");
    assert_eq!(names[1], "f600 a/empty");
    assert_eq!(names[2], "l a/l");
    assert_eq!(names[4], "f644 a.txt");
    assert_eq!(names[5], "f640 b", "no bits beyond 0o777");
    assert_eq!(names[7], format!("d755 deep/{deep}").chars().take(125).collect::<String>() + "…");
    assert_eq!(sink.0[5].2, b"bee");
}

#[test]
fn other_programs_read_what_is_written() {
    let (bytes, _) = written(&sample());
    let mut list = Command::new("tar")
        .arg("-t")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar is on every machine that builds this");
    list.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = list.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 9);
}

#[test]
fn a_cut_anywhere_is_noticed() {
    let (bytes, _) = written(&sample());
    for length in (0..bytes.len()).step_by(11) {
        assert!(taken(&bytes[..length]).is_err(), "cut at {length}");
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    assert!(matches!(taken(&longer), Err(ReadError::Malformed(_))));
}

#[test]
fn a_changed_header_is_noticed() {
    let (bytes, _) = written(&Tree::new(Shape::Folder, vec![file("b", 0o644, b"x")]).unwrap());
    for position in 0..BLOCK {
        let mut changed = bytes.clone();
        changed[position] ^= 1;
        assert!(taken(&changed).is_err(), "bit in byte {position}");
    }
}

/// An archive by the tar crate's own builder, of one entry of a kind.
fn foreign(kind: tar::EntryType, path: &str, target: &str) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append(&header, std::io::empty()).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn what_is_not_carried_is_refused() {
    use tar::EntryType as T;
    for kind in [
        T::Link,
        T::Char,
        T::Block,
        T::Fifo,
        T::Continuous,
        T::GNULongName,
        T::GNUSparse,
        T::XGlobalHeader,
    ] {
        let refused = taken(&foreign(kind, "x", "y")).unwrap_err();
        assert!(matches!(refused, ReadError::Kind { .. }), "{kind:?}: {refused}");
    }
    assert!(taken(&foreign(T::Regular, "x", "")).is_ok());
    for bad in ["/x", "../x", "a/../x", "x/", "..data", ""] {
        let refused = taken(&foreign(T::Regular, bad, "")).unwrap_err();
        assert!(matches!(refused, ReadError::Name(_)), "{bad}: {refused}");
    }
    for bad in ["/etc/passwd", "..", "../../x", "a/../../b"] {
        let refused = taken(&foreign(T::Symlink, "x", bad)).unwrap_err();
        assert!(matches!(refused, ReadError::Name(_)), "{bad}: {refused}");
    }
    assert!(matches!(taken(&foreign(T::Regular, "a/x", "")), Err(ReadError::Order(_))));
}

/// Two archives one after the other, without the first one's end.
fn joined(first: &[u8], second: &[u8]) -> Vec<u8> {
    [&first[..first.len() - 2 * BLOCK], second].concat()
}

#[test]
fn order_is_kept_and_no_name_comes_twice() {
    use tar::EntryType as T;
    let of = |kind, path| foreign(kind, path, "t");
    for (first, second) in [
        (of(T::Regular, "x"), of(T::Regular, "x")),
        (of(T::Regular, "b"), of(T::Regular, "a")),
        (of(T::Symlink, "l"), of(T::Regular, "l/x")),
        (of(T::Directory, "d"), of(T::Regular, "e/x")),
    ] {
        assert!(matches!(taken(&joined(&first, &second)), Err(ReadError::Order(_))));
    }
    assert!(taken(&joined(&of(T::Directory, "d/"), &of(T::Regular, "d/x"))).is_ok());
}

#[test]
fn no_more_than_announced_is_taken() {
    let tree = sample();
    let (bytes, _) = written(&tree);
    let exactly = tree.announced();
    let with =
        |announced| read(&mut Cursor::new(&bytes), Shape::Folder, announced, &mut Taken::default());
    assert!(with(exactly).is_ok());
    let fewer_bytes = Announced { bytes: exactly.bytes - 1, ..exactly };
    assert!(matches!(with(fewer_bytes), Err(ReadError::MoreThanAnnounced(_))));
    let fewer_members = Announced { members: exactly.members - 1, ..exactly };
    assert!(matches!(with(fewer_members), Err(ReadError::MoreThanAnnounced(_))));
}

#[test]
fn one_file_is_one_file() {
    assert!(Tree::new(Shape::File, vec![file("a", 0o600, b"x")]).is_ok());
    assert!(Tree::new(Shape::File, vec![file("a/b", 0o600, b"x")]).is_err());
    assert!(Tree::new(Shape::File, vec![]).is_err());
    let (two, _) = written(
        &Tree::new(Shape::Folder, vec![file("a", 0o600, b"x"), file("b", 0o600, b"y")]).unwrap(),
    );
    let mut sink = Taken::default();
    let refused = read(&mut Cursor::new(two), Shape::File, PLENTY, &mut sink).unwrap_err();
    assert!(matches!(refused, ReadError::NotOneFile));
}

#[test]
fn trees_that_cannot_be_are_refused() {
    let twice = Tree::new(Shape::Folder, vec![file("a", 0o600, b""), file("a", 0o600, b"")]);
    assert!(matches!(twice, Err(TreeError::Twice(_))));
    let below = Tree::new(Shape::Folder, vec![link("a", "b"), file("a/x", 0o600, b"")]);
    assert!(matches!(below, Err(TreeError::ParentNotFolder(_))));
}

#[test]
fn a_source_that_changes_its_length_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    std::fs::write(&path, "12345").unwrap();
    for announced in [4, 6] {
        let kind =
            Kind::File { mode: 0o600, size: announced, content: Content::File(path.clone()) };
        let member = Member { path: MemberPath::parse(b"x").unwrap(), kind };
        let tree = Tree::new(Shape::File, vec![member]).unwrap();
        let error = write(&tree, &mut Kept::default(), &mut |_| {}).unwrap_err();
        assert!(matches!(error, WriteError::SourceChanged { .. }), "{announced}");
    }
    let to_link = folder.path().join("l");
    std::os::unix::fs::symlink(&path, &to_link).unwrap();
    assert!(Content::File(to_link).open().is_err(), "links are not followed");
    assert!(Content::File(folder.path().to_owned()).open().is_err(), "nor folders read");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_fail_otherwise_than_by_an_error(bytes: Vec<u8>) {
        let _ = taken(&bytes);
    }

    #[test]
    fn a_changed_archive_is_refused_or_stays_inside(
        position in 0_usize..20 * BLOCK, value: u8,
    ) {
        let (mut bytes, _) = written(&sample());
        let position = position % bytes.len();
        bytes[position] = value;
        // Whatever it says now, the names it gives to the sink are `MemberPath`s.
        let _ = taken(&bytes);
    }

    #[test]
    fn any_tree_of_files_survives(
        files in proptest::collection::btree_map("[a-c]{1,3}(/[a-d.]{1,20}x){0,4}", proptest::collection::vec(any::<u8>(), 0..1500), 1..8)
    ) {
        let members = files.iter().map(|(path, content)| file(path, 0o640, content)).collect();
        if let Ok(tree) = Tree::new(Shape::Folder, members) {
            let (bytes, _) = written(&tree);
            let sink = taken(&bytes).unwrap();
            let back: std::collections::BTreeMap<_, _> = sink
                .0
                .into_iter()
                .filter(|(_, kind, _)| kind.starts_with('f'))
                .map(|(path, _, content)| (path, content))
                .collect();
            prop_assert_eq!(back, files);
        }
    }
}

/// What the sender computes must be what a landing computes of the same bytes.
#[test]
fn sender_and_landing_agree_on_the_digest() {
    use crate::landing::{Landing, Root};
    use crate::plan::{Destination, Plan};

    let folder = tempfile::tempdir().unwrap();
    let single = Tree::new(Shape::File, vec![file("x", 0o640, b"hello\n")]).unwrap();
    for tree in [sample(), single] {
        let (bytes, sent) = written(&tree);
        let root = Root::from_fd(std::fs::File::open(folder.path()).unwrap().into()).unwrap();
        let name = format!("/{:?}", tree.shape());
        let plan = Plan {
            destination: Destination::parse(&name, tree.shape()).unwrap(),
            owner: None,
            mode: None,
            announced: tree.announced(),
            memory_only: false,
        };
        let mut landing = Landing::begin(&root, &plan).unwrap();
        read(&mut Cursor::new(bytes), tree.shape(), tree.announced(), &mut landing).unwrap();
        assert_eq!(landing.sha256(), sent.sha256);
        let landed = landing.finish().unwrap();
        assert_eq!((landed.bytes, landed.files), (sent.bytes, sent.files));
        if tree.shape() == Shape::File {
            let hex = data_encoding::HEXLOWER.encode(&landed.sha256);
            assert_eq!(hex, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
        }
    }
}
