//! `sealock-hsm-helper`: loads a PKCS#11 module, and does with its token what Sealock asks on standard input.
//!
//! Sealock is one static program and cannot load a module; this one is dynamic, as the module is. Sealock carries it,
//! starts it from memory, and ends it. It takes frames of [`sealock_hsm_wire`] and answers each; at the end of its
//! input it ends.
//!
//! The module is somebody else's code, in this process and no other. So this process has nothing else: no file of
//! Sealock's, no environment but what the settings name, no new privileges, no core dump, and nobody may look into its
//! memory. It dies with whoever started it. What the module prints goes to standard error: the two descriptors that
//! answers travel on are others than those that a module knows.

mod export;
mod refusal;
mod token;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::process::{DumpableBehavior, Pid, Resource, Rlimit, Signal};
use sealock_hsm_wire::{Reply, Request, Why, length};
use zeroize::Zeroizing;

use token::Helper;

fn main() -> ExitCode {
    let parent = std::env::args().nth(1).and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
    let Some(parent) = parent else {
        let _ = io::stderr().write_all(b"sealock-hsm-helper is started by sealock\n");
        return ExitCode::from(64);
    };
    match confined(parent).and_then(|()| channel()).and_then(|(input, output)| serve(input, output))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "sealock-hsm-helper: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Before anything of the module's is loaded.
fn confined(parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before that was said.
    if rustix::process::getppid() != Some(parent) {
        return Err(io::Error::other("whoever started it is gone"));
    }
    rustix::thread::set_no_new_privs(true)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

/// Input and output at other numbers than 0 and 1, where a module may read and print.
fn channel() -> io::Result<(File, File)> {
    let input = rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
    let output = rustix::io::fcntl_dupfd_cloexec(io::stdout().as_fd(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(io::stderr().as_fd())?;
    Ok((File::from(input), File::from(output)))
}

fn serve(mut input: File, mut output: File) -> io::Result<()> {
    let broken = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut helper = Helper::default();
    loop {
        let mut head = [0; 4];
        match input.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            outcome => outcome?,
        }
        let mut content = Zeroizing::new(vec![0; length(head).map_err(broken)?]);
        input.read_exact(&mut content)?;
        let request = Request::read(&content).map_err(broken)?;
        drop(content);
        let reply = helper.answer(request);
        let frame = reply.frame().or_else(|_| {
            // A module gave more than there is room for.
            Reply::Refused { why: Why::Failed, text: "an answer that is too long".into() }.frame()
        });
        output.write_all(&frame.map_err(broken)?)?;
    }
}
