//! A person at a terminal.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use sealock_testkit::wait::until;

use crate::support::{PATIENCE, signal, text};

/// A program on a terminal of its own; killed when dropped.
pub(crate) struct Terminal {
    keyboard: File,
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    pub(crate) fn start(mut command: Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let keyboard = openpt(flags).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let line: OwnedFd =
            rustix::fs::open(OsStr::from_bytes(name.to_bytes()), flags, Mode::empty()).unwrap();
        let keyboard = File::from(keyboard);
        size(&keyboard, 24, 80);
        command.stdin(line.try_clone().unwrap()).stdout(line.try_clone().unwrap()).stderr(line);
        let child = command.spawn().unwrap();
        // The command holds this end of the terminal, which would never hang up.
        drop(command);
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let (mut screen, seen) = (keyboard.try_clone().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut part) {
                seen.lock().unwrap().extend_from_slice(&part[..length]);
            }
        });
        Self { keyboard, child, shown }
    }

    pub(crate) fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is on the screen.
    pub(crate) fn shows(&self, wanted: &str) {
        self.shown_until(wanted);
    }

    /// What was shown until this was on the screen, which is cleared then.
    pub(crate) fn shown_until(&self, wanted: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            {
                let mut shown = self.shown.lock().unwrap();
                let all = text(&shown);
                if all.contains(wanted) {
                    shown.clear();
                    return all;
                }
                assert!(
                    Instant::now() < end,
                    "waited in vain for {wanted:?} on a screen that shows {all:?}\n{}",
                    self.processes()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The processes of the terminal's session, for a message.
    fn processes(&self) -> String {
        let session = self.child.id().to_string();
        let mut list = Command::new("ps");
        list.args(["-o", "pid,ppid,pgid,tpgid,stat,wchan:20,args", "--sid", &session]);
        list.output().map_or_else(|error| error.to_string(), |output| text(&output.stdout))
    }

    /// As if the window was drawn larger or smaller.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        size(&self.keyboard, rows, columns);
        signal(self.child.id(), "WINCH");
    }

    pub(crate) fn ends(mut self) -> Option<i32> {
        until("the program to end", PATIENCE, || self.child.try_wait().unwrap()).code()
    }
}

fn size(terminal: &File, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
