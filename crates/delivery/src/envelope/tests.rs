use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use sealock_core::SecretBytes;
use sealock_testkit::clients::skip_without;
use sealock_testkit::scratch_folder;

use super::*;

const CHUNK: usize = payload::CHUNK;
const BATCH: usize = payload::BATCH * CHUNK;

/// Where the format changes its shape, and where our batches do.
const SIZES: [usize; 12] = [
    0,
    1,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK,
    BATCH - 1,
    BATCH,
    BATCH + 1,
    BATCH + CHUNK,
    3 * BATCH,
    3 * BATCH + 7,
];

const SECRET: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

fn nobody() -> AskPassphrase {
    Arc::new(|name| panic!("asked for the passphrase of {name}"))
}

fn identities() -> Identities {
    Identities::parse(SECRET, "key", &nobody()).unwrap()
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index / 251 + index % 251) as u8).collect()
}

fn sealed(plain: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut output = Vec::new();
    let bytes = seal(&Recipients::parse(PUBLIC).unwrap(), plain, &mut output, encoding).unwrap();
    assert_eq!(bytes, plain.len() as u64);
    output
}

fn opened(sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut output = Vec::new();
    let bytes = open(&identities(), sealed, &mut output)?;
    assert_eq!(bytes, output.len() as u64);
    Ok(output)
}

/// Where the payload begins: after the header's last line and the nonce.
fn payload_of(sealed: &[u8]) -> usize {
    let mac = sealed.windows(5).position(|window| window == b"\n--- ").unwrap() + 1;
    mac + sealed[mac..].iter().position(|byte| *byte == b'\n').unwrap() + 1 + payload::SALT
}

#[test]
fn every_size_comes_back() {
    for size in SIZES {
        for encoding in [Encoding::Binary, Encoding::Armor] {
            let sealed = sealed(&content(size), encoding);
            assert!(opened(&sealed).unwrap() == content(size), "{size} {encoding:?}");
        }
    }
}

#[test]
fn a_cut_at_any_place_is_an_error_and_never_more_than_a_beginning() {
    let plain = content(BATCH + CHUNK + 5);
    let whole = sealed(&plain, Encoding::Binary);
    let payload = payload_of(&whole);
    let slot = CHUNK + 16;
    let cuts = (0..payload + 40)
        .chain([payload + slot - 1, payload + slot, payload + slot + 1, payload + slot + 16])
        .chain((1..=17).map(|chunk| payload + chunk * slot))
        .chain([whole.len() - 1, whole.len() - 21]);
    for cut in cuts {
        let mut output = Vec::new();
        let error = open(&identities(), &whole[..cut], &mut output).unwrap_err();
        assert!(matches!(error, OpenError::Truncated | OpenError::NotAge), "{cut}: {error:?}");
        assert!(output.len() < plain.len() && plain.starts_with(&output), "{cut}");
    }
}

#[test]
fn data_after_the_end_is_an_error() {
    for size in SIZES {
        for more in [1, 16, CHUNK + 16] {
            let mut sealed = sealed(&content(size), Encoding::Binary);
            sealed.resize(sealed.len() + more, 0);
            let error = opened(&sealed).unwrap_err();
            // Only behind a full last chunk can it be told from a change of that chunk.
            let told = size > 0 && size % CHUNK == 0;
            assert!(told == matches!(error, OpenError::TrailingData), "{size}+{more}: {error:?}");
        }
    }
    let mut armored = sealed(b"x", Encoding::Armor);
    armored.extend_from_slice(b"x");
    assert!(matches!(opened(&armored), Err(OpenError::Armor(_))));
}

#[test]
fn an_empty_last_chunk_after_others_is_an_error() {
    let key = || payload::PayloadKey::derive(&[7; 16], &[9; 16]).unwrap();
    // A whole number of chunks, and then an empty one that says it is the last.
    let forged = key().seal_for_tests(&[(&content(CHUNK), false), (b"", true)]);
    let fault = pipeline::run(&payload::Opening { key: key() }, forged.as_slice(), io::sink());
    assert!(matches!(fault, Err(Fault::Payload(error::PayloadFault::Forged(1)))), "{fault:?}");
    let honest = key().seal_for_tests(&[(b"", true)]);
    let opened = pipeline::run(&payload::Opening { key: key() }, honest.as_slice(), io::sink());
    assert_eq!(opened.unwrap(), 0);
}

#[test]
fn swapped_repeated_and_dropped_chunks_are_found() {
    let whole = sealed(&content(4 * CHUNK + 9), Encoding::Binary);
    let (head, payload) = whole.split_at(payload_of(&whole));
    let chunks: Vec<&[u8]> = payload.chunks(CHUNK + 16).collect();
    for order in [&[1, 0, 2, 3, 4][..], &[0, 0, 1, 2, 3, 4], &[0, 2, 3, 4], &[0, 1, 2, 3, 3]] {
        let mut forged = head.to_vec();
        order.iter().for_each(|index| forged.extend_from_slice(chunks[*index]));
        let error = opened(&forged).unwrap_err();
        assert!(
            matches!(error, OpenError::ChunkForged(_) | OpenError::Truncated),
            "{order:?}: {error:?}"
        );
    }
}

#[test]
fn the_first_fault_in_order_is_reported_and_nothing_after_it_is_written() {
    let plain = content(6 * BATCH);
    let mut whole = sealed(&plain, Encoding::Binary);
    let payload = payload_of(&whole);
    for chunk in [90, 40, 35] {
        whole[payload + chunk * (CHUNK + 16) + 3] ^= 1;
    }
    for _ in 0..8 {
        let mut output = Vec::new();
        let error = open(&identities(), whole.as_slice(), &mut output).unwrap_err();
        assert!(matches!(error, OpenError::ChunkForged(35)), "{error:?}");
        assert!(output == plain[..2 * BATCH], "whole batches before the fault");
    }
}

#[test]
fn faults_of_reader_and_writer_are_told_apart() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("no disk"))
        }
    }
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let recipients = Recipients::parse(PUBLIC).unwrap();
    let plain = content(4 * BATCH);
    let broken_later = plain.as_slice().chain(Broken);
    let error = seal(&recipients, broken_later, io::sink(), Encoding::Binary).unwrap_err();
    assert!(matches!(error, SealError::Read(_)), "{error:?}");
    let error = seal(&recipients, plain.as_slice(), Broken, Encoding::Binary).unwrap_err();
    assert!(matches!(error, SealError::Write(_)), "{error:?}");
    let whole = sealed(&plain, Encoding::Binary);
    let error = open(&identities(), whole.as_slice(), Broken).unwrap_err();
    assert!(matches!(error, OpenError::Write(_)), "{error:?}");
    let error = open(&identities(), whole.as_slice().chain(Broken), io::sink()).unwrap_err();
    assert!(matches!(error, OpenError::Read(_)), "{error:?}");
}

#[test]
fn a_writer_that_panics_leaves_nobody_waiting() {
    struct Panics(usize);
    impl Write for Panics {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            assert!(self.0 < 6, "the writer's own fault");
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let plain = content(10 * BATCH);
    let panicked = std::panic::catch_unwind(|| {
        let recipients = Recipients::parse(PUBLIC).unwrap();
        seal(&recipients, plain.as_slice(), Panics(0), Encoding::Binary)
    });
    assert!(panicked.is_err());
}

#[test]
fn a_changed_header_is_found() {
    let whole = sealed(b"text", Encoding::Binary);
    let mut forged = whole.clone();
    let mac = forged.windows(5).position(|window| window == b"\n--- ").unwrap() + 6;
    forged[mac] = if forged[mac] == b'A' { b'B' } else { b'A' };
    assert!(matches!(opened(&forged), Err(OpenError::HeaderForged)));

    let text = String::from_utf8_lossy(&whole);
    let other = text.replacen("/v1\n", "/v2\n", 1).into_bytes();
    assert!(matches!(opened(&other), Err(OpenError::UnknownVersion(version)) if version == "v2"));
    assert!(matches!(opened(b"PK\x03\x04 something else"), Err(OpenError::NotAge)));
    assert!(matches!(opened(b"age"), Err(OpenError::Truncated)));
    assert!(matches!(opened(b"agent"), Err(OpenError::NotAge)));
    assert!(matches!(opened(b""), Err(OpenError::NotAge)));
    let endless = [&b"age-encryption.org/v1\n"[..], &vec![b'x'; HEADER_LIMIT + 1]].concat();
    assert!(matches!(opened(&endless), Err(OpenError::HeaderTooLong)));
}

#[test]
fn only_whom_it_is_sealed_to_opens_it() {
    let other = age::x25519::Identity::generate();
    let other = age::secrecy::ExposeSecret::expose_secret(&other.to_string()).to_owned();
    let mut stranger = Identities::parse(&other, "other", &nobody()).unwrap();
    let whole = sealed(b"text", Encoding::Binary);
    let error = open(&stranger, whole.as_slice(), io::sink()).unwrap_err();
    assert!(matches!(error, OpenError::NoIdentityFits));
    stranger.extend(identities());
    assert_eq!(open(&stranger, whole.as_slice(), io::sink()).unwrap(), 4);
    let none = seal(&Recipients::default(), &b""[..], io::sink(), Encoding::Binary);
    assert!(matches!(none, Err(SealError::NoRecipients)));
}

#[test]
fn recipients_files_and_what_is_wrong_with_them() {
    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHFliOyIZs1gxGF3fmDxFykQhE88wy6AKDGFBfn0R6ZuvRmENABZQa9+pj9hMki+LX0qDJbmHTiWDbYv/cmFt/Q=";
    let file = format!(
        "# who may\n\n{PUBLIC}\r\n  {ED25519} alice@host\n{ECDSA} old@host\n\
         command=\"echo \\\"a b\\\"\",no-pty {ED25519} bob@host\n"
    );
    let (recipients, ignored) = Recipients::parse_file(&file, "keys").unwrap();
    assert_eq!(recipients.len(), 3);
    assert_eq!(ignored, [Ignored { line: 5, kind: "ecdsa-sha2-nistp256".into() }]);

    let error = |text: &str| Recipients::parse_file(text, "keys").err().unwrap();
    let place = || "keys, line 1".to_owned();
    assert_eq!(error("# nothing\n"), KeyError::Empty { place: "keys".into() });
    assert_eq!(error("hello"), KeyError::NotARecipient { place: place() });
    assert_eq!(error("ssh-ed25519 AAAA"), KeyError::NotARecipient { place: place() });
    assert!(matches!(error(ECDSA), KeyError::Unsupported { .. }));
    assert!(matches!(
        Recipients::parse("age1yubikey1qwerty").err().unwrap(),
        KeyError::Unsupported { kind, .. } if kind == "age1yubikey…"
    ));
    // Never the private key's text.
    let private = error(SECRET);
    assert!(matches!(private, KeyError::Private { .. }));
    assert!(!format!("{private} {private:?}").contains("GQ9778"));
    assert!(!format!("{:?}", Recipients::parse(SECRET).err()).contains("GQ9778"));
}

#[test]
fn identity_files_and_what_is_wrong_with_them() {
    let parse = |text: &str| Identities::parse(text, "key", &nobody());
    let file = format!("# created: today\n# public key: {PUBLIC}\n{SECRET}\n");
    assert!(parse(&file).is_ok());
    assert!(!format!("{:?}", parse(&file)).contains("GQ9778"));
    assert_eq!(parse("# x\n").unwrap_err(), KeyError::Empty { place: "key".into() });
    assert_eq!(parse(PUBLIC).unwrap_err(), KeyError::Public { place: "key, line 1".into() });
    let damaged = SECRET.replace("GQ97", "GQ98");
    let error = parse(&damaged).unwrap_err();
    assert_eq!(error, KeyError::NotAnIdentity { place: "key, line 1".into() });
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n";
    assert_eq!(parse(pem).unwrap_err(), KeyError::NotAnIdentity { place: "key".into() });
}

#[test]
fn a_replacement_appears_only_when_it_is_committed() {
    let folder = scratch_folder();
    let path = folder.path().join("out");
    fs::write(&path, "old").unwrap();
    let mut abandoned = Replacement::create(&path).unwrap();
    abandoned.write_all(b"half").unwrap();
    drop(abandoned);
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no leftover");

    let mut whole = Replacement::create(&path).unwrap();
    whole.write_all(b"new").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    whole.commit().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no leftover");
    assert!(Replacement::create(&folder.path().join("no/such/place")).is_err());
    assert!(Replacement::create(folder.path()).is_err());
}

#[test]
fn a_link_is_followed_and_a_fifo_is_written_into() {
    let folder = scratch_folder();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink("file", &link).unwrap();
    let mut through = Replacement::create(&link).unwrap();
    through.write_all(b"new").unwrap();
    through.commit().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&file).unwrap(), "new");

    // As a device would be; a device itself would be lost to the machine if this went wrong.
    let fifo = folder.path().join("fifo");
    run("mkfifo", &[text(&fifo)]);
    let reader = std::thread::spawn({
        let fifo = fifo.clone();
        move || fs::read(fifo).unwrap()
    });
    let mut written = Replacement::create(&fifo).unwrap();
    written.write_all(b"x").unwrap();
    written.commit().unwrap();
    assert_eq!(reader.join().unwrap(), b"x");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever one bit of the file is changed to, it is found, and only a beginning was written.
    #[test]
    fn any_changed_bit_is_found(size in 0_usize..3 * CHUNK, place: prop::sample::Index, bit in 0_u8..8) {
        let plain = content(size);
        let mut whole = sealed(&plain, Encoding::Binary);
        let place = place.index(whole.len());
        whole[place] ^= 1 << bit;
        let mut output = Vec::new();
        prop_assert!(open(&identities(), whole.as_slice(), &mut output).is_err());
        prop_assert!(plain.starts_with(&output));
    }

    #[test]
    fn any_bytes_are_no_header_or_a_clean_error(bytes: Vec<u8>) {
        prop_assert!(check_header(&bytes).is_err());
        prop_assert!(check_header(&[&b"age-encryption.org/v1\n"[..], &bytes].concat()).is_err());
    }
}

/// Runs a program that has to succeed.
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What we seal `age` opens, and the other way round, for one pair of keys.
fn interoperates(folder: &Path, public: &Path, private: &Path, ask: &AskPassphrase) {
    let recipients =
        Recipients::parse_file(&fs::read_to_string(public).unwrap(), "public").unwrap().0;
    let identities =
        Identities::parse(&fs::read_to_string(private).unwrap(), "private", ask).unwrap();
    let (plain, ours, theirs) = (folder.join("plain"), folder.join("ours"), folder.join("theirs"));
    for size in SIZES {
        // Armor knows nothing of chunks: small sizes show it all.
        for armor in [false, true].into_iter().take(if size > 2 * CHUNK { 1 } else { 2 }) {
            fs::write(&plain, content(size)).unwrap();
            let encoding = if armor { Encoding::Armor } else { Encoding::Binary };
            let (input, output) =
                (fs::File::open(&plain).unwrap(), fs::File::create(&ours).unwrap());
            seal(&recipients, input, output, encoding).unwrap();
            // `age` makes no file for an output of nothing.
            fs::write(&theirs, "").unwrap();
            run("age", &["-d", "-i", text(private), "-o", text(&theirs), text(&ours)]);
            assert!(fs::read(&theirs).unwrap() == content(size), "theirs of ours, {size}");

            let mut arguments = vec!["-R", text(public), "-o", text(&theirs)];
            arguments.extend(armor.then_some("-a"));
            arguments.push(text(&plain));
            run("age", &arguments);
            let mut output = Vec::new();
            open(&identities, fs::File::open(&theirs).unwrap(), &mut output).unwrap();
            assert!(output == content(size), "ours of theirs, {size}");
        }
    }
}

#[test]
fn age_and_we_read_each_other_with_native_keys() {
    if skip_without(&["age"]) {
        return;
    }
    let folder = scratch_folder();
    let (public, private) = (folder.path().join("key.pub"), folder.path().join("key"));
    fs::write(&public, PUBLIC).unwrap();
    fs::write(&private, SECRET).unwrap();
    interoperates(folder.path(), &public, &private, &nobody());
}

#[test]
fn age_and_we_read_each_other_with_ssh_keys() {
    if skip_without(&["age", "ssh-keygen"]) {
        return;
    }
    for kind in [&["-t", "ed25519"][..], &["-t", "rsa", "-b", "2048"]] {
        let folder = scratch_folder();
        let private = folder.path().join("key");
        run("ssh-keygen", &[kind, &["-q", "-N", "", "-f", text(&private)]].concat());
        interoperates(folder.path(), &private.with_extension("pub"), &private, &nobody());
        let identities =
            Identities::parse(&fs::read_to_string(&private).unwrap(), "key", &nobody()).unwrap();
        assert_eq!(identities.uses_ssh_rsa(), kind[1] == "rsa");
    }
}

#[test]
fn a_locked_ssh_key_is_asked_for_once_and_only_when_it_fits() {
    if skip_without(&["ssh-keygen"]) {
        return;
    }
    for kind in ["ed25519", "rsa"] {
        let folder = scratch_folder();
        let path = folder.path().join("key");
        run("ssh-keygen", &["-q", "-t", kind, "-N", "correct horse", "-f", text(&path)]);
        let private = fs::read_to_string(&path).unwrap();
        let public = fs::read_to_string(path.with_extension("pub")).unwrap();
        let answers = |answer: Option<&'static str>| -> (AskPassphrase, Arc<AtomicUsize>) {
            let asked = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&asked);
            let ask = move |name: &str| {
                assert_eq!(name, "my key");
                count.fetch_add(1, Ordering::SeqCst);
                answer.map(|answer| SecretBytes::new(answer.into()))
            };
            (Arc::new(ask), asked)
        };
        let mut both = Recipients::parse(PUBLIC).unwrap();
        both.extend(Recipients::parse(&public).unwrap());
        let mut to_it = Vec::new();
        seal(&both, &b"text"[..], &mut to_it, Encoding::Binary).unwrap();

        let (right, asked) = answers(Some("correct horse"));
        let identities = Identities::parse(&private, "my key", &right).unwrap();
        assert_eq!(identities.uses_ssh_rsa(), kind == "rsa");
        for _ in 0..2 {
            assert_eq!(open(&identities, to_it.as_slice(), io::sink()).unwrap(), 4);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);

        let to_others = sealed(b"text", Encoding::Binary);
        let (unasked, asked) = answers(Some("correct horse"));
        let identities = Identities::parse(&private, "my key", &unasked).unwrap();
        let error = open(&identities, to_others.as_slice(), io::sink()).unwrap_err();
        assert!(matches!(error, OpenError::NoIdentityFits));
        assert_eq!(asked.load(Ordering::SeqCst), 0);

        for answer in [Some("wrong"), None] {
            let identities = Identities::parse(&private, "my key", &answers(answer).0).unwrap();
            let error = open(&identities, to_it.as_slice(), io::sink()).unwrap_err();
            assert!(matches!(error, OpenError::KeyLocked(name) if name == "my key"));
        }
    }
}

#[test]
fn a_file_sealed_with_a_passphrase_is_named_as_such() {
    let mut scrypt = age::scrypt::Recipient::new("x".to_owned().into());
    scrypt.set_work_factor(2);
    let recipients = [&scrypt as &dyn age::Recipient];
    let encryptor = age::Encryptor::with_recipients(recipients.into_iter()).unwrap();
    let mut sealed = Vec::new();
    encryptor.wrap_output(&mut sealed).unwrap().finish().unwrap();
    assert!(matches!(opened(&sealed), Err(OpenError::Passphrase)));
}
