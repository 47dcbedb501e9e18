use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Archive, Builder, EntryType, Header};

use super::*;

/// An archive, built entry by entry.
struct Tar(Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// With the path as it is, which the library would not write.
    fn entry(mut self, kind: EntryType, path: &str, target: &str, content: &str) -> Self {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        let link = &mut header.as_gnu_mut().unwrap().linkname;
        link[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o640);
        header.set_uid(7);
        header.set_mtime(9);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content.as_bytes()).unwrap();
        self
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, path, "", content)
    }

    fn folder(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path, "", "")
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, target, "")
    }

    fn done(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn at(path: &str) -> DockerfilePath {
    DockerfilePath::parse(path).unwrap()
}

/// Path, kind and content of each entry.
fn listed(archive: &[u8]) -> Vec<(String, EntryType, String)> {
    let mut archive = Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let kind = entry.header().entry_type();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let link = entry.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned());
        (path, kind, link.unwrap_or(content))
    });
    entries.collect()
}

fn rewritten(archive: &[u8], path: &str) -> Result<Vec<u8>, ContextError> {
    let mut out = Vec::new();
    rewrite(archive, &mut out, &at(path), |given| {
        assert_eq!(given, b"FROM a\n");
        Some(b"FROM sha256:b\n".to_vec())
    })?;
    Ok(out)
}

#[test]
fn everything_is_copied_and_the_dockerfile_is_another() {
    let long = format!("{}/file", "long".repeat(30));
    let mut tar = Tar::new().folder("./").file("./a b", "content").folder("sub/");
    tar = tar.file("./sub//Dockerfile", "FROM a\n").link("sub/link", "../a b");
    tar = tar.entry(EntryType::Link, "hard", "a b", "").file(".dockerignore", "*\n");
    let mut header = Header::new_gnu();
    header.set_size(3);
    tar.0
        .append_pax_extensions([
            ("SCHILY.xattr.security.capability", &b"\x01\x00\xff"[..]),
            ("comment", b"x"),
        ])
        .unwrap();
    tar.0.append_data(&mut header, &long, &b"abc"[..]).unwrap();
    let out = rewritten(&tar.done(), "sub/./Dockerfile").unwrap();
    let expected = [
        ("./", EntryType::Directory, ""),
        ("a b", EntryType::Regular, "content"),
        ("sub", EntryType::Directory, ""),
        ("sub/Dockerfile", EntryType::Regular, "FROM sha256:b\n"),
        ("sub/link", EntryType::Symlink, "../a b"),
        ("hard", EntryType::Link, "a b"),
        (".dockerignore", EntryType::Regular, "*\n"),
        (&long, EntryType::Regular, "abc"),
    ];
    let expected = expected.map(|(path, kind, text)| (path.to_owned(), kind, text.to_owned()));
    assert_eq!(listed(&out), expected);
    let mut archive = Archive::new(out.as_slice());
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let first = entries.nth(1).unwrap();
    let header = first.header();
    let kept = (header.mode().unwrap(), header.uid().unwrap(), header.mtime().unwrap());
    assert_eq!(kept, (0o640, 7, 9));
    let mut last = entries.last().unwrap();
    let extensions = last.pax_extensions().unwrap().unwrap().map(Result::unwrap);
    let extensions: Vec<_> =
        extensions.map(|one| (one.key().unwrap().to_owned(), one.value_bytes().to_vec())).collect();
    let capability = ("SCHILY.xattr.security.capability".to_owned(), b"\x01\x00\xff".to_vec());
    assert_eq!(extensions, [capability]);
}

#[test]
fn gzip_is_unpacked_and_others_are_refused() {
    let plain = Tar::new().file("Dockerfile", "FROM a\n").done();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&plain).unwrap();
    let out = rewritten(&packed.finish().unwrap(), "").unwrap();
    assert_eq!(out, rewritten(&plain, "Dockerfile").unwrap());
    for start in [&b"BZh91AY"[..], b"\xfd7zXZ\0\0", b"\x28\xb5\x2f\xfd\0"] {
        assert!(matches!(rewritten(start, ""), Err(ContextError::Compression)));
        let mut copied = Vec::new();
        copy_or_rewrite(start, &mut copied, &at(""), |_| None).unwrap();
        assert_eq!(copied, start);
    }
}

#[test]
fn nothing_leads_the_engine_to_another_dockerfile() {
    let ok = || Tar::new().folder("sub").file("sub/Dockerfile", "FROM a\n");
    let cases: Vec<(&str, Tar)> = vec![
        ("TwoDockerfiles", ok().file("sub/Dockerfile", "FROM secret\n")),
        ("TwoDockerfiles", ok().file("/sub/Dockerfile", "FROM secret\n")),
        ("TwoDockerfiles", ok().file("./sub/././Dockerfile", "FROM secret\n")),
        ("NotAFile", ok().link("sub/Dockerfile", "../other")),
        ("NotAFile", ok().entry(EntryType::Link, "sub/Dockerfile", "other", "")),
        ("NotAFile", ok().folder("sub/Dockerfile")),
        ("NotAFile", ok().entry(EntryType::Fifo, "sub/Dockerfile", "", "")),
        ("NotAFolder", ok().link("sub", "other")),
        ("NotAFolder", ok().file("sub", "")),
        ("ThroughLink", ok().link("way", ".").file("way/sub/Dockerfile", "FROM secret\n")),
        ("ThroughLink", ok().link("way", "sub").file("way/Dockerfile", "FROM secret\n")),
        ("ThroughLink", ok().link("way", "/").folder("way/sub")),
        ("ThroughLink", {
            let tar = ok().link("way", ".").entry(EntryType::Link, "hard", "way", "");
            tar.file("hard/sub/Dockerfile", "FROM secret\n")
        }),
        ("Entry", ok().file("x/../sub/Dockerfile", "FROM secret\n")),
        ("Entry", ok().file("../sub/Dockerfile", "FROM secret\n")),
        ("Entry", ok().entry(EntryType::Char, "null", "", "")),
        ("Entry", ok().entry(EntryType::Fifo, "pipe", "", "")),
        ("Entry", ok().link("empty", "")),
        ("NoDockerfile", Tar::new().file("Dockerfile", "FROM a\n")),
        ("NoDockerfile", Tar::new().file("sub/dockerfile", "FROM a\n")),
    ];
    for (expected, tar) in cases {
        let error = rewritten(&tar.done(), "sub/Dockerfile").unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{expected}: {error:?}");
    }
}

/// The engine looks at the first bytes for those of a compression, and at the last for the end.
#[test]
fn nobody_chooses_the_first_bytes_and_what_is_refused_has_no_end() {
    let gzip = "\u{1f}\u{8b}\u{8}\u{4}";
    let first = Tar::new().file(gzip, "x").file("Dockerfile", "FROM a\n").done();
    assert!(rewritten(&first, "").unwrap().starts_with(b"./\0"));
    let tails = [
        Tar::new().file("Dockerfile", "FROM a\n").file("../x", ""),
        Tar::new().file("dockerfile", "FROM a\n").file("../x", ""),
        Tar::new().file("dockerfile", "FROM a\n"),
    ];
    for tar in tails {
        let mut out = Vec::new();
        let done =
            rewrite(tar.done().as_slice(), &mut out, &at(""), |_| Some(b"FROM b\n".to_vec()));
        assert!(done.is_err() && out.len() >= 512);
        let end = out.chunks(512).filter(|block| block.iter().all(|byte| *byte == 0)).count();
        assert_eq!(end, 0, "no empty block");
    }
}

#[test]
fn what_headers_say_of_entries_has_bounds() {
    let long = |kind, length: usize| {
        let tar = Tar::new().entry(kind, "././@LongLink", "", &"x".repeat(length));
        tar.file("a", "").file("Dockerfile", "FROM a\n").done()
    };
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        assert!(rewritten(&long(kind, 300 << 10), "").is_err(), "{kind:?}");
    }
    let named = rewritten(&long(EntryType::GNULongName, 200), "").unwrap();
    assert_eq!(listed(&named)[1].0, "x".repeat(200));
    let twice = Tar::new().entry(EntryType::GNULongName, "l", "", "sub/Dockerfile");
    let twice = twice.entry(EntryType::GNULongName, "l", "", "other").file("a", "FROM a\n");
    assert!(matches!(rewritten(&twice.done(), "other"), Err(ContextError::Entry)));
    let sized = Tar::new().entry(EntryType::XHeader, "p", "", "9 size=1\n").file("a", "");
    assert!(matches!(rewritten(&sized.done(), ""), Err(ContextError::Entry)));
    let sparse = Tar::new().entry(EntryType::GNUSparse, "a", "", "");
    assert!(matches!(rewritten(&sparse.done(), ""), Err(ContextError::Entry)));
    let folder = Tar::new().file("old/", "").file("old/Dockerfile", "FROM a\n").done();
    assert_eq!(listed(&rewritten(&folder, "old/Dockerfile").unwrap())[1].1, EntryType::Directory);
}

#[test]
fn what_breaks_off_has_no_end() {
    let whole = Tar::new().file("Dockerfile", "FROM a\n").file("x", "content").done();
    // Docker's client leaves the end out: the rest of the last block, and two empty ones.
    for length in [512 + 7, 1024, 1536 + 7, 2048, 2560] {
        let mut out = Vec::new();
        let done = rewrite(&whole[..length], &mut out, &at(""), |_| Some(b"FROM b\n".to_vec()));
        assert!(done.is_ok(), "{length}: {done:?}");
        assert_eq!(listed(&out).len(), if length < 1536 { 2 } else { 3 }, "{length}");
    }
    for length in [10, 512, 512 + 6, 1030, 1536, 1536 + 6] {
        let mut out = Vec::new();
        let done = rewrite(&whole[..length], &mut out, &at(""), |_| Some(b"FROM b\n".to_vec()));
        assert!(matches!(done, Err(ContextError::Read(_))), "{length}: {done:?}");
    }
    let none = rewritten(b"no archive", "");
    assert!(matches!(none, Err(ContextError::Read(_))), "{none:?}");
    let refused = rewrite(whole.as_slice(), io::sink(), &at(""), |_| None);
    assert!(matches!(refused, Err(ContextError::Stopped)), "{refused:?}");
    let large = Tar::new().file("Dockerfile", &"x".repeat(MOST_BYTES + 1)).done();
    assert!(matches!(rewritten(&large, ""), Err(ContextError::LongDockerfile { .. })));
    assert_eq!(at("").as_str(), "Dockerfile");
    assert_eq!(at("/a//./b").as_str(), "a/b");
    for path in ["../x", "a/../../b", "a\0", "a\n"] {
        assert!(DockerfilePath::parse(path).is_err(), "{path:?}");
    }
}

#[test]
fn the_fuzzing_entry_holds_for_a_corpus() {
    fuzz(b"");
    fuzz(b"\x1f\x8b");
    fuzz(&Tar::new().file("sub/Dockerfile", "FROM a\n").done());
    fuzz(&Tar::new().folder("sub").file("sub/Dockerfile", "").link("a", "b").done());
    fuzz(&Tar::new().file("sub/Dockerfile", "").link("sub", "b").done());
}
