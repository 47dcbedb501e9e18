//! A process and those that come from it, as /proc shows them.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// Processes that are known by number and time of birth, so that a number which was given away again is not
/// taken for the same process.
pub(super) struct Tree(Vec<Member>);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Member {
    pid: i32,
    born: u64,
}

#[derive(Clone, Copy)]
struct Seen {
    member: Member,
    parent: i32,
}

impl Tree {
    /// `root` and all its descendants. Those whose parents have gone belong to somebody else by then.
    pub(super) fn of(root: Pid) -> Self {
        let seen = all();
        let pid = root.as_raw_nonzero().get();
        let root = seen.iter().find(|one| one.member.pid == pid).map(|one| one.member);
        let mut tree = Self(root.into_iter().collect());
        tree.add_children(&seen);
        tree
    }

    /// Adds what its processes have started meanwhile.
    pub(super) fn grow(&mut self) {
        self.add_children(&all());
    }

    fn add_children(&mut self, seen: &[Seen]) {
        let mut at = 0;
        while let Some(parent) = self.0.get(at).copied() {
            at += 1;
            if !seen.iter().any(|one| one.member == parent) {
                continue;
            }
            for child in seen.iter().filter(|one| one.parent == parent.pid) {
                if !self.0.contains(&child.member) {
                    self.0.push(child.member);
                }
            }
        }
    }

    /// Sends a signal to each process that is still there.
    pub(super) fn signal(&self, signal: Signal) {
        for member in &self.0 {
            let same = look(member.pid).is_some_and(|now| now.member == *member);
            if let Some(pid) = Pid::from_raw(member.pid).filter(|_| same) {
                // It may have ended meanwhile.
                let _ = kill_process(pid, signal);
            }
        }
    }
}

fn all() -> Vec<Seen> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| look(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn look(pid: i32) -> Option<Seen> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let (parent, born) = parent_and_birth(&String::from_utf8_lossy(&stat))?;
    Some(Seen { member: Member { pid, born }, parent })
}

/// Fields 4 and 22 of proc_pid_stat(5). The name, in brackets, may hold anything.
fn parent_and_birth(stat: &str) -> Option<(i32, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let born = fields.nth(17)?.parse().ok()?;
    Some((parent, born))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_the_fields() {
        let rest = "S 7 3 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9876 1 2 3";
        assert_eq!(parent_and_birth(&format!("42 (sh) {rest}")), Some((7, 9876)));
        assert_eq!(parent_and_birth(&format!("42 (a) S 1 (x) {rest}")), Some((7, 9876)));
        assert_eq!(parent_and_birth("42 (sh) S"), None);
        assert_eq!(parent_and_birth(""), None);
    }
}
