//! The device against SoftHSM, against a module that misbehaves, and against what is no helper at all.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sealock_core::SecretBytes;
use sealock_hsm_wire::{Parts, TokenName};
use sealock_testkit::softhsm::SoftHsm;
use sealock_testkit::wait::until;
use zeroize::Zeroizing;

use crate::{Device, DeviceSettings, HsmError, Kind, Logins, ModuleError, PinSource, token_name};

const ID: &[u8] = b"\x01\x02sealock";

fn pin(text: &str) -> PinSource {
    let pin = SecretBytes::new(text.as_bytes().to_vec());
    Arc::new(move || Ok(pin.clone()))
}

/// Remembers, as long as it is held, the last PIN and what has come of it.
#[derive(Default)]
struct Book(Mutex<Option<(Vec<u8>, Option<bool>)>>);

impl Logins for Book {
    fn begin(&self, _: &str, pin: &SecretBytes) -> Result<(), HsmError> {
        let mut last = self.0.lock();
        match last.as_ref().filter(|(known, _)| known == pin.expose()) {
            Some((_, Some(true))) => return Ok(()),
            Some((_, Some(false))) => return Err(HsmError::PinRefused),
            Some((_, None)) => return Err(HsmError::PinUnsure),
            None => {}
        }
        *last = Some((pin.expose().to_vec(), None));
        Ok(())
    }

    fn end(&self, _: &str, pin: &SecretBytes, taken: bool) {
        *self.0.lock() = Some((pin.expose().to_vec(), Some(taken)));
    }
}

fn book() -> Arc<dyn Logins> {
    Arc::new(Book::default())
}

fn settings(token: &SoftHsm, module: &Path) -> DeviceSettings {
    let configuration = token.configuration().display().to_string();
    DeviceSettings {
        module: module.to_owned(),
        token: token_name(SoftHsm::LABEL).unwrap(),
        deadline: Duration::from_secs(2),
        environment: vec![("SOFTHSM2_CONF".into(), configuration)],
    }
}

fn device(token: &SoftHsm, module: &Path) -> Device {
    Device::new(settings(token, module), pin(SoftHsm::PIN), book()).unwrap()
}

/// The helpers of this process, by their names.
/// Whether a process is over, its pipes closed. (What it was called is gone a moment before that.)
fn has_ended(process: rustix::process::Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.rsplit_once(") ").is_none_or(|(_, after)| after.starts_with('Z')))
}

fn helpers() -> Vec<rustix::process::Pid> {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let after = stat.rsplit_once(") ")?.1;
            let parent = after.split(' ').nth(1)?;
            let command = std::fs::read(entry.path().join("cmdline")).ok()?;
            let is = parent == own && command.starts_with(b"sealock-hsm-helper");
            let id = entry.file_name().to_str()?.parse().ok()?;
            if is { rustix::process::Pid::from_raw(id) } else { None }
        })
        .collect()
}

#[test]
fn keys_of_every_kind_are_made_and_sign() {
    let Some(token) = SoftHsm::new() else { return };
    let device = device(&token, token.module());
    let there = device.token().unwrap();
    assert_eq!(there.label, SoftHsm::LABEL);
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        let id = [b"kind", &[u8::try_from(number).unwrap()][..]].concat();
        let public = device.generate(kind, &id, "made by a test").unwrap();
        let (data, signature) = match kind {
            Kind::P256 => (vec![1; 32], 64),
            Kind::P384 => (vec![1; 48], 96),
            Kind::Ed25519 => (vec![1; 100_000], 64),
            Kind::Rsa => (vec![1; 51], 384),
        };
        let point = match kind {
            Kind::P256 => 65,
            Kind::P384 => 97,
            Kind::Ed25519 => 32,
            Kind::Rsa => 384,
        };
        assert_eq!(public.value.len(), point, "{kind:?}");
        let signed = device.sign(&there.serial, &id, kind, data).unwrap();
        assert_eq!(signed.len(), signature, "{kind:?}");
        assert_eq!(device.count(&there.serial, &id), Ok(1));
        // What is born there stays there.
        let export = device.export(&there.serial, &id, kind, &public.value);
        assert!(matches!(export, Err(HsmError::Stays(_))), "{export:?}");
        assert!(matches!(device.generate(kind, &id, "again"), Err(HsmError::Key(_))));
        assert_eq!(device.remove(&there.serial, &id), Ok(2));
        assert!(matches!(
            device.sign(&there.serial, &id, kind, vec![1; 32]),
            Err(HsmError::Key(_))
        ));
    }
    let other = device.sign("another", ID, Kind::P256, vec![1; 32]);
    assert!(matches!(other, Err(HsmError::OtherToken { .. })), "{other:?}");
}

#[test]
fn a_key_comes_back_only_when_it_was_let_go() {
    let Some(token) = SoftHsm::new() else { return };
    let device = device(&token, token.module());
    let serial = device.token().unwrap().serial;
    // The module does not look whether the one belongs to the other.
    let value = vec![1; 32];
    let public = vec![4; 65];
    let key = || Parts {
        kind: Kind::P256,
        parts: vec![Zeroizing::new(value.clone()), Zeroizing::new(public.clone())],
    };
    device.import(key(), b"stays", "stays", false).unwrap();
    let export = device.export(&serial, b"stays", Kind::P256, &public);
    assert!(matches!(export, Err(HsmError::Stays(_))), "{export:?}");
    device.import(key(), b"goes", "goes", true).unwrap();
    let out = device.export(&serial, b"goes", Kind::P256, &public).unwrap();
    assert_eq!(out, key());
    // Neither can be read as it is.
    let listed =
        token.succeed(Command::new("pkcs11-tool").arg("--module").arg(token.module()).args([
            "--login",
            "--pin",
            SoftHsm::PIN,
            "--list-objects",
        ]));
    assert_eq!(listed.matches("Private Key Object").count(), 2, "{listed}");
    assert_eq!(listed.matches("sensitive").count(), 2, "{listed}");
    assert_eq!(listed.matches("never extractable").count(), 0, "{listed}");
}

#[test]
fn a_helper_that_is_killed_or_stopped_is_replaced() {
    let Some(token) = SoftHsm::new() else { return };
    let device = device(&token, token.module());
    let serial = device.token().unwrap().serial;
    device.generate(Kind::P256, ID, "key").unwrap();
    let sign = || device.sign(&serial, ID, Kind::P256, vec![1; 32]);
    let first = *helpers().first().unwrap();
    rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
    until("its end", Duration::from_secs(5), || has_ended(first).then_some(()));
    // It had been idle: nobody notices.
    assert_eq!(sign().unwrap().len(), 64);

    let second = *helpers().first().unwrap();
    rustix::process::kill_process(second, rustix::process::Signal::STOP).unwrap();
    let began = Instant::now();
    assert_eq!(sign(), Err(HsmError::Deadline(Duration::from_secs(2))));
    assert!(began.elapsed() < Duration::from_secs(4));
    assert!(device.trouble().is_some());
    assert!(!helpers().contains(&second), "it is gone");
    assert_eq!(sign().unwrap().len(), 64);
    assert_eq!(device.trouble(), None);
    drop(device);
    until("the end of all", Duration::from_secs(5), || helpers().is_empty().then_some(()));
}

#[test]
fn a_module_that_hangs_crashes_or_prints() {
    let Some(token) = SoftHsm::new() else { return };
    let device = device(&token, &token.proxy());
    let serial = device.token().unwrap().serial;
    device.generate(Kind::P256, ID, "key").unwrap();
    let sign = || device.sign(&serial, ID, Kind::P256, vec![1; 32]);
    assert_eq!(sign().unwrap().len(), 64);
    token.tell("print");
    assert_eq!(sign().unwrap().len(), 64, "what it prints is no answer");
    token.untell("print");
    token.tell("crash");
    assert!(matches!(sign(), Err(HsmError::Died(_))));
    token.untell("crash");
    assert_eq!(sign().unwrap().len(), 64);
    token.tell("hang");
    assert!(matches!(sign(), Err(HsmError::Deadline(_))));
    token.untell("hang");
    assert_eq!(sign().unwrap().len(), 64);
}

#[test]
fn a_token_that_is_taken_away_comes_back() {
    let Some(token) = SoftHsm::new() else { return };
    let device = device(&token, token.module());
    let serial = device.token().unwrap().serial;
    device.generate(Kind::P256, ID, "key").unwrap();
    let sign = || device.sign(&serial, ID, Kind::P256, vec![1; 32]);
    token.unplug();
    let error = sign().unwrap_err();
    assert!(error.may_pass() || matches!(error, HsmError::Key(_)), "{error:?}");
    assert!(sign().is_err());
    token.plug();
    until("the token", Duration::from_secs(10), || sign().ok());
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let Some(token) = SoftHsm::new() else { return };
    let device = Device::new(settings(&token, &token.proxy()), pin("4712"), book()).unwrap();
    assert_eq!(device.token(), Err(HsmError::PinWrong));
    for _ in 0..5 {
        assert_eq!(device.token(), Err(HsmError::PinRefused));
    }
    assert_eq!(token.logins(), 1);
}

#[test]
fn a_login_that_came_to_no_end_is_not_begun_again_with_that_pin() {
    let Some(token) = SoftHsm::new() else { return };
    let book = book();
    let start = |text: &str| {
        Device::new(settings(&token, &token.proxy()), pin(text), Arc::clone(&book)).unwrap()
    };
    token.tell("crash-login");
    assert!(matches!(start("4712").token(), Err(HsmError::Died(_))));
    // Each of these is another start, which knows nothing but what was written down.
    for _ in 0..3 {
        assert_eq!(start("4712").token(), Err(HsmError::PinUnsure));
    }
    assert_eq!(token.logins(), 1);
    token.untell("crash-login");
    assert_eq!(start("4712").token(), Err(HsmError::PinUnsure));
    let right = start(SoftHsm::PIN);
    right.token().unwrap();
    assert_eq!(token.logins(), 2);
    // What the token has taken is no guess: it is tried again, whatever has ended a login.
    token.tell("crash-login");
    drop(right);
    assert!(matches!(start(SoftHsm::PIN).token(), Err(HsmError::Died(_))));
    token.untell("crash-login");
    start(SoftHsm::PIN).token().unwrap();
}

#[test]
fn pins_that_are_not_there() {
    let Some(token) = SoftHsm::new() else { return };
    let none: PinSource = Arc::new(|| Err("no file".into()));
    let device = Device::new(settings(&token, &token.proxy()), none, book()).unwrap();
    assert_eq!(device.token(), Err(HsmError::NoPin("no file".into())));
    assert_eq!(token.logins(), 0);
    assert!(helpers().is_empty(), "nothing was started for that");
}

#[test]
fn tokens_that_are_not_the_one() {
    let Some(token) = SoftHsm::new() else { return };
    let with = |name: &str| {
        let settings =
            DeviceSettings { token: token_name(name).unwrap(), ..settings(&token, &token.proxy()) };
        Device::new(settings, pin(SoftHsm::PIN), book()).unwrap().token()
    };
    let error = with("pkcs11:token=nobody").unwrap_err();
    assert!(
        matches!(&error, HsmError::NoToken(there) if there.contains(SoftHsm::LABEL)),
        "{error}"
    );
    assert!(error.may_pass() && error.hint().contains("SOFTHSM2_CONF"));
    let serial = with(SoftHsm::LABEL).unwrap().serial;
    token.init_token("another");
    let all = DeviceSettings { token: TokenName::default(), ..settings(&token, &token.proxy()) };
    let device = Device::new(all, pin(SoftHsm::PIN), book()).unwrap();
    assert_eq!(device.token(), Err(HsmError::ManyTokens));
    assert_eq!(with(&format!("pkcs11:serial={serial}")).unwrap().label, SoftHsm::LABEL);
    assert_eq!(token.logins(), 2);
}

#[test]
fn modules_that_are_none() {
    let Some(token) = SoftHsm::new() else { return };
    let text = token.place("text.so");
    std::fs::write(&text, "not a module").unwrap();
    let with = |module: &Path| device(&token, module).token();
    let error = with(&text).unwrap_err();
    assert!(matches!(&error, HsmError::Module(why) if why.contains("text.so")), "{error:?}");
    // A library without the function that makes a module.
    let library = PathBuf::from("/lib/x86_64-linux-gnu/libm.so.6");
    if library.exists() {
        assert!(matches!(with(&library), Err(HsmError::Module(_))));
    }
    let open = token.place("open.so");
    std::fs::copy(token.proxy(), &open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(with(&open), Err(HsmError::File(ModuleError::Writable(open))));
    assert!(matches!(with(Path::new("/nowhere.so")), Err(HsmError::File(_))));
}

/// A program in the helper's place.
fn program(token: &SoftHsm, name: &str, source: &str) -> &'static [u8] {
    let (from, to) = (token.place(&format!("{name}.c")), token.place(name));
    std::fs::write(&from, source).unwrap();
    token.succeed(Command::new("cc").arg("-o").arg(&to).arg(&from));
    Box::leak(std::fs::read(to).unwrap().into_boxed_slice())
}

#[test]
fn what_is_no_helper_is_not_believed() {
    let Some(token) = SoftHsm::new() else { return };
    let cases = [
        // A length of four gigabytes.
        ("large", "write(1, \"\\377\\377\\377\\377\", 4); sleep(60);", "no answer"),
        // A frame of no kind.
        ("odd", "write(1, \"\\0\\0\\0\\1\\143\", 5); sleep(60);", "no answer"),
        // An answer to another question.
        ("other", "write(1, \"\\0\\0\\0\\1\\3\", 5); sleep(60);", "no answer"),
        // Nothing, and then the end.
        ("ends", "write(2, \"version `GLIBC_9' not found\\n\", 28);", "GLIBC_9"),
    ];
    for (name, body, why) in cases {
        let source = format!("#include <unistd.h>\nint main(void) {{ {body} return 0; }}\n");
        let program = program(&token, name, &source);
        let settings = settings(&token, token.module());
        let device = Device::with_program(settings, pin(SoftHsm::PIN), book(), program).unwrap();
        let error = device.token().unwrap_err();
        assert!(error.to_string().contains(why), "{name}: {error}");
    }
    // No program at all.
    let settings = settings(&token, token.module());
    let device = Device::with_program(settings, pin(SoftHsm::PIN), book(), b"\x7fELF").unwrap();
    assert!(matches!(device.token(), Err(HsmError::Start(_))));
}

#[test]
fn the_helper_has_nothing_of_ours() {
    let Some(token) = SoftHsm::new() else { return };
    let device = device(&token, token.module());
    device.token().unwrap();
    let helper = *helpers().first().unwrap();
    let of = |name: &str| PathBuf::from(format!("/proc/{}/{name}", helper.as_raw_pid()));
    let environment = std::fs::read(of("environ")).unwrap();
    let only = format!("SOFTHSM2_CONF={}\0", token.configuration().display());
    assert_eq!(String::from_utf8(environment).unwrap(), only);
    let command = std::fs::read(of("cmdline")).unwrap();
    assert!(!command.windows(SoftHsm::PIN.len()).any(|part| part == SoftHsm::PIN.as_bytes()));
    let status = std::fs::read_to_string(of("status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let limits = std::fs::read_to_string(of("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(core.split_whitespace().any(|word| word == "0"), "{core}");
    // Standard input is nothing, standard output is where errors go; the rest are pipes of ours and the module's files.
    assert_eq!(std::fs::read_link(of("fd/0")).unwrap(), PathBuf::from("/dev/null"));
    assert_eq!(std::fs::read_link(of("fd/1")).unwrap(), std::fs::read_link(of("fd/2")).unwrap());
    // It leads its own group: what a terminal sends is not for it.
    assert_eq!(rustix::process::getpgid(Some(helper)).unwrap(), helper);
}

#[test]
fn many_callers_and_one_helper() {
    let Some(token) = SoftHsm::new() else { return };
    let device = device(&token, token.module());
    let serial = device.token().unwrap().serial;
    device.generate(Kind::P256, ID, "key").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(
                        device.sign(&serial, ID, Kind::P256, vec![7; 32]).unwrap().len(),
                        64
                    );
                }
            });
        }
    });
    assert_eq!(helpers().len(), 1);
}
