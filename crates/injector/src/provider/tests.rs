//! Real providers, in sh and Python, well-behaved and otherwise.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;

mod contract;
mod faults;
mod modes;
mod surroundings;

/// Answers `legacy:PATH` where there is an argument; what follows is for stream mode.
const LEGACY: &str = "[ $# -eq 0 ] || { echo \"legacy:$1\"; exit 0; }\n";
/// Answers `stream:PATH` line by line, and nothing else; to be followed by what comes after the input's end.
const STREAM: &str = "answer() { printf 'stream:%s' \"$1\" | base64 -w0; echo; }
while IFS= read -r path; do answer \"$path\"; done\n";

/// A folder with providers in it.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn script(&self, text: &str) -> PathBuf {
        let path = self.path("provider");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A provider in sh; `$HERE` is its folder.
    fn sh(&self, body: &str) -> PathBuf {
        self.script(&format!("#!/bin/sh\nHERE='{}'\n{body}", self.0.path().display()))
    }

    fn python(&self, body: &str) -> PathBuf {
        self.script(&format!("#!/usr/bin/env python3\n{body}"))
    }

    /// Numbers of processes that a provider has written down, each of which is to be ended at the latest
    /// when the test is.
    fn pids(&self, name: &str) -> Pids {
        let text = fs::read_to_string(self.path(name)).unwrap();
        Pids(text.split_whitespace().map(|pid| pid.parse().unwrap()).collect())
    }
}

struct Pids(Vec<i32>);

impl Pids {
    fn are_running(&self) -> bool {
        self.0.iter().all(|pid| is_running(*pid))
    }

    /// The kernel takes a moment to end what was killed, and its new parent one to wait for it.
    fn end_soon(&self) -> bool {
        let until = Instant::now() + Duration::from_secs(10);
        while self.0.iter().any(|pid| is_running(*pid)) {
            if Instant::now() > until {
                return false;
            }
            thread::yield_now();
        }
        true
    }
}

impl Drop for Pids {
    fn drop(&mut self) {
        for pid in self.0.iter().filter(|pid| is_running(**pid)) {
            let pid = rustix::process::Pid::from_raw(*pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with('Z'))
}

fn paths(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Values as text, errors as their message.
fn shown(results: Vec<Result<SecretBytes, FetchError>>) -> Vec<String> {
    let text = |result: Result<SecretBytes, FetchError>| match result {
        Ok(value) => String::from_utf8_lossy(value.expose()).into_owned(),
        Err(error) => format!("error: {error}"),
    };
    results.into_iter().map(text).collect()
}

/// What comes of it, and why stream mode was of no use, if it was not.
fn fetch_and_why(
    provider: &Path,
    asked: &[&str],
    options: &Options<'_>,
) -> (Vec<String>, Option<Refusal>) {
    let why = Mutex::new(None);
    let observer = |event: Event<'_>| {
        if let Event::FellBack { refusal } = event {
            *why.lock().unwrap() = Some(refusal.clone());
        }
    };
    let options = Options { observer: Some(&observer), ..*options };
    let results = shown(fetch(provider, &paths(asked), &options));
    (results, why.into_inner().unwrap())
}

fn within(milliseconds: u64) -> Options<'static> {
    Options { deadline: Duration::from_millis(milliseconds), ..Options::default() }
}
