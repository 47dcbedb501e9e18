//! An archive as the receiver reads it: never more than announced, and nothing that leads out.
#![no_main]

use std::convert::Infallible;
use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use sealock_transfer::archive::{Sink, read};
use sealock_transfer::member::{LinkTarget, MemberPath};
use sealock_transfer::plan::{Announced, Shape};

#[derive(Default)]
struct Counting {
    bytes: u64,
    members: u64,
}

impl Counting {
    fn member(&mut self, path: &MemberPath, mode: u32) {
        self.members += 1;
        assert!(mode <= 0o7777);
        assert!(!path.as_bytes().starts_with(b"/"));
        assert!(path.components().all(|part| !matches!(part, b"" | b"." | b"..")));
    }
}

impl Sink for Counting {
    type Error = Infallible;

    fn folder(&mut self, path: &MemberPath, mode: u32) -> Result<(), Infallible> {
        self.member(path, mode);
        Ok(())
    }

    fn file(
        &mut self,
        path: &MemberPath,
        mode: u32,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), Infallible> {
        self.member(path, mode);
        // A broken stream shows as an error of the archive.
        let read = io::copy(content, &mut io::sink()).unwrap_or_default();
        assert!(read <= size);
        self.bytes += read;
        Ok(())
    }

    fn link(&mut self, path: &MemberPath, target: &LinkTarget) -> Result<(), Infallible> {
        self.member(path, 0);
        assert!(!target.as_bytes().starts_with(b"/"));
        Ok(())
    }
}

fuzz_target!(|input: (u16, u8, bool, &[u8])| {
    let (bytes, members, file, mut archive) = input;
    let announced = Announced { bytes: bytes.into(), members: members.into() };
    let shape = if file { Shape::File } else { Shape::Folder };
    let mut sink = Counting::default();
    let whole = read(&mut archive, shape, announced, &mut sink).is_ok();
    assert!(sink.bytes <= announced.bytes && sink.members <= announced.members);
    assert!(!whole || archive.is_empty(), "something after the end was accepted");
});
