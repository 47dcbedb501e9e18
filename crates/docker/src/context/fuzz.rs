//! What must hold of every context.

use std::io::Read as _;

use tar::{Archive, EntryType};

use super::{DockerfilePath, rewrite};

/// The entry for fuzzing: any bytes will do; checks what must hold of every result.
pub fn fuzz(data: &[u8]) {
    const OURS: &[u8] = b"FROM scratch\n";
    let Ok(path) = DockerfilePath::parse("sub/Dockerfile") else { return };
    let mut written = Vec::new();
    let mut handed = 0;
    let done = rewrite(data, &mut written, &path, |_| {
        handed += 1;
        Some(OURS.to_vec())
    });
    if done.is_err() {
        return;
    }
    assert_eq!(handed, 1, "the Dockerfile is handed over once");
    let mut archive = Archive::new(written.as_slice());
    let read = archive.entries().and_then(|entries| {
        let mut found = 0;
        for entry in entries {
            let mut entry = entry?;
            let name = entry.path_bytes().into_owned();
            assert!(!name.split(|byte| *byte == b'/').any(|part| part == b".."), "it leads out");
            if name == b"sub" {
                assert_eq!(entry.header().entry_type(), EntryType::Directory);
            }
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            if name == b"sub/Dockerfile" {
                assert_eq!(content, OURS, "another Dockerfile than was given");
                found += 1;
            }
        }
        Ok(found)
    });
    assert!(read.as_ref().is_ok_and(|found| *found == 1), "one Dockerfile is written: {read:?}");
}
