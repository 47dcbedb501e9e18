//! A token of SoftHSM's in a folder of its own, and a module around SoftHSM's that does what a test wants it to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian and others have the module.
const MODULES: &[&str] = &[
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];

/// A module that asks SoftHSM's, unless a file in the folder `CONTROL` says what else it should do.
const PROXY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
typedef unsigned long U;
typedef unsigned char B;
struct list { B major, minor; void *f[68]; };
static struct list mine;
static U (*real_sign)(U, B *, U, B *, U *);
static U (*real_login)(U, U, B *, U);
static int is(const char *path) { return access(path, F_OK) == 0; }
static U sign(U session, B *data, U length, B *out, U *room) {
  if (is(CONTROL "/hang")) { fclose(fopen(CONTROL "/hung", "a")); for (;;) pause(); }
  if (is(CONTROL "/crash")) abort();
  if (is(CONTROL "/print")) {
    printf("greetings from the module\n"); fflush(stdout);
    if (write(1, "\0\0\0\1\3", 5) != 5) abort();
  }
  U rv = real_sign(session, data, length, out, room);
  if (out && rv == 0 && is(CONTROL "/wrong")) out[*room - 1] ^= 1;
  if (out && rv == 0 && is(CONTROL "/short")) *room = 3;
  return rv;
}
static U login(U session, U user, B *pin, U length) {
  FILE *f = fopen(CONTROL "/logins", "a"); fputc('x', f); fclose(f);
  if (is(CONTROL "/crash-login")) abort();
  return real_login(session, user, pin, length);
}
U C_GetFunctionList(struct list **out) {
  struct list *real; U (*get)(struct list **);
  void *softhsm = dlopen(REAL, RTLD_NOW);
  if (!softhsm) return 5;
  get = dlsym(softhsm, "C_GetFunctionList");
  U rv = get(&real); if (rv) return rv;
  mine = *real;
  real_sign = real->f[43]; mine.f[43] = sign;
  real_login = real->f[18]; mine.f[18] = login;
  *out = &mine;
  return 0;
}
"#;

/// A token that holds nothing yet.
pub struct SoftHsm {
    folder: tempfile::TempDir,
    module: PathBuf,
}

impl SoftHsm {
    /// The PIN of every one of them.
    pub const PIN: &str = "hsm-pin-4711";
    /// And the label.
    pub const LABEL: &str = "sealock test";

    /// A new token; `None` where SoftHSM is not installed: then the calling test has to return.
    ///
    /// # Panics
    /// In CI, when it is not.
    #[must_use]
    pub fn new() -> Option<Self> {
        if crate::clients::skip_without(&["softhsm2-util", "cc"]) {
            return None;
        }
        let module = MODULES.iter().map(PathBuf::from).find(|path| path.exists());
        let Some(module) = module else {
            let _ = crate::clients::skip("SoftHSM's module is not where it should be");
            return None;
        };
        let this = Self { folder: crate::scratch_folder(), module };
        let path = this.folder.path();
        let configuration = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            this.tokens().display()
        );
        let written = fs::create_dir(this.tokens())
            .and_then(|()| fs::create_dir(this.control()))
            .and_then(|()| fs::write(path.join("softhsm2.conf"), configuration))
            .and_then(|()| fs::write(path.join("pin"), format!("{}\n", Self::PIN)))
            .and_then(|()| closed(&path.join("pin")));
        written.unwrap_or_else(|error| panic!("no place for a token: {error}"));
        this.init_token(Self::LABEL);
        Some(this)
    }

    /// One token more, with the same PIN.
    pub fn init_token(&self, label: &str) {
        let mut command = Command::new("softhsm2-util");
        command.args(["--init-token", "--free", "--label", label, "--so-pin", "87654321"]);
        self.succeed(command.args(["--pin", Self::PIN]));
    }

    /// Runs a program with this token's settings; it has to succeed. Gives its output.
    ///
    /// # Panics
    /// When it does not.
    pub fn succeed(&self, command: &mut Command) -> String {
        let output =
            command.env("SOFTHSM2_CONF", self.configuration()).stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{command:?}: {said}");
        said
    }

    /// SoftHSM's module.
    #[must_use]
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// A module that does the same, unless [`SoftHsm::tell`] says otherwise.
    pub fn proxy(&self) -> PathBuf {
        let source = self.folder.path().join("proxy.c");
        let module = self.folder.path().join("proxy.so");
        if module.exists() {
            return module;
        }
        fs::write(&source, PROXY).unwrap_or_else(|error| panic!("proxy.c: {error}"));
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&module).arg(&source).arg("-ldl");
        compiler.arg(format!("-DCONTROL=\"{}\"", self.control().display()));
        compiler.arg(format!("-DREAL=\"{}\"", self.module.display()));
        self.succeed(&mut compiler);
        module
    }

    /// What the proxy does from now on: `hang`, `crash`, `print`, `wrong` or `short` when it signs, `crash-login`.
    pub fn tell(&self, what: &str) {
        fs::write(self.control().join(what), "").unwrap_or_else(|error| panic!("{what}: {error}"));
    }

    /// Takes that back.
    pub fn untell(&self, what: &str) {
        let _ = fs::remove_file(self.control().join(what));
    }

    /// Whether a signature was begun that hangs.
    #[must_use]
    pub fn hangs(&self) -> bool {
        self.control().join("hung").exists()
    }

    /// How often the proxy was logged in through.
    #[must_use]
    pub fn logins(&self) -> usize {
        fs::read(self.control().join("logins")).map_or(0, |marks| marks.len())
    }

    /// The value of `SOFTHSM2_CONF`.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    /// A file with the PIN (0600).
    #[must_use]
    pub fn pin_file(&self) -> PathBuf {
        self.folder.path().join("pin")
    }

    /// A file of this name in the token's folder, which is removed with it.
    #[must_use]
    pub fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Takes the tokens away, as when a device is unplugged.
    pub fn unplug(&self) {
        let moved = fs::rename(self.tokens(), self.folder.path().join("away"));
        moved.unwrap_or_else(|error| panic!("unplugging: {error}"));
    }

    /// Brings them back.
    pub fn plug(&self) {
        let moved = fs::rename(self.folder.path().join("away"), self.tokens());
        moved.unwrap_or_else(|error| panic!("plugging in: {error}"));
    }

    fn tokens(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }
}

/// Makes a file its owner's alone.
fn closed(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}
