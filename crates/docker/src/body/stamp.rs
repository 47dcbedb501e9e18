//! What the gateway puts on everything that is made through it.

use std::collections::BTreeMap;

use sealock_core::policy::Action;

use super::build::is_plain_change;
use super::error::{BodyError, shown};
use super::json::{self, Value};
use super::settings::{effective_cpus, has_no_new_privileges};
use super::{Asked, Limits};

/// Labels, and limits for containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Forced: whoever sets one of them to something else is refused.
    pub labels: BTreeMap<String, String>,
    /// Whether a container has to run with `no-new-privileges`.
    pub no_new_privileges: bool,
    /// The most memory of a container, in bytes; swap comes to as much again.
    pub memory: Option<i64>,
    /// The most processes of a container.
    pub pids_limit: Option<i64>,
    /// The most processor time of a container, in 10⁻⁹ processors.
    pub nano_cpus: Option<i64>,
}

impl Asked {
    /// Puts the stamp on what is asked for. Labels go on containers, networks, volumes, services, builds
    /// and commits; limits of memory and processor time on containers and the steps of builds; the rest on
    /// containers only, and is passed over elsewhere: the classic builder knows nothing of it.
    ///
    /// The context follows the limits, so that a rule which wants one is content with the stamp's.
    /// `risks` and `labelKeys` stay what the caller asked for.
    pub fn stamp(&mut self, stamp: &Stamp) -> Result<(), BodyError> {
        for (key, value) in &stamp.labels {
            if self.labels.get(key).is_some_and(|given| given != value) {
                return Err(BodyError::LabelTaken { label: shown(key) });
            }
        }
        if !stamp.labels.is_empty() {
            self.stamp_labels(&stamp.labels)?;
            self.labels.extend(stamp.labels.clone());
        }
        if self.action == Action::DockerContainerCreate {
            self.stamp_host(stamp);
        }
        if self.action == Action::DockerImageBuild {
            self.stamp_steps(stamp);
        }
        Ok(())
    }

    /// The limits of each step of a build, in its query.
    fn stamp_steps(&mut self, stamp: &Stamp) {
        // Of processor time in a second; the kernel takes no period that is longer.
        const PERIOD: i64 = 100_000;
        const BILLION: i64 = 1_000_000_000;
        let number = |this: &Self, name: &str| {
            let (_, text) = this.query.iter().find(|(key, _)| key == name)?;
            text.parse::<i64>().ok()
        };
        if let Some(limit) = stamp.memory {
            if is_above(number(self, "memory"), limit) {
                self.set_query("memory", &limit.to_string());
            }
            let memory = number(self, "memory").unwrap_or(limit);
            let most_swap = memory.saturating_mul(2).min(limit.saturating_mul(2));
            let swap = number(self, "memswap").unwrap_or(0);
            if swap <= 0 || swap > most_swap || swap < memory {
                self.set_query("memswap", &most_swap.to_string());
            }
            self.context.insert("memory".to_owned(), memory.into());
        }
        if let Some(limit) = stamp.nano_cpus {
            let period = number(self, "cpuperiod").filter(|period| *period > 0).unwrap_or(PERIOD);
            let given = number(self, "cpuquota").filter(|quota| *quota > 0);
            let asked = given.map(|quota| quota.saturating_mul(BILLION) / period);
            if is_above(asked, limit) {
                let quota = limit.saturating_mul(PERIOD) / BILLION;
                self.set_query("cpuperiod", &PERIOD.to_string());
                // The kernel takes no less than a hundredth of the period.
                self.set_query("cpuquota", &quota.max(PERIOD / 100).to_string());
            }
        }
    }

    fn stamp_labels(&mut self, labels: &BTreeMap<String, String>) -> Result<(), BodyError> {
        let action = self.action;
        let refused = || BodyError::NotStamped { action, what: "labels" };
        match action {
            Action::DockerContainerCreate
            | Action::DockerNetworkCreate
            | Action::DockerVolumeCreate
            | Action::DockerServiceCreate
            | Action::DockerServiceUpdate => {
                let nothing = Value::Object(Vec::new());
                let body = self.body.as_mut().ok_or_else(refused)?;
                let there = body.entry("Labels", nothing).ok_or_else(refused)?;
                put(there, labels);
                Ok(())
            }
            Action::DockerImageBuild => self.stamp_build(labels),
            Action::DockerImageCommit => self.stamp_commit(labels),
            _ => Err(refused()),
        }
    }

    fn stamp_build(&mut self, labels: &BTreeMap<String, String>) -> Result<(), BodyError> {
        let found = self.query.iter_mut().find(|(name, text)| name == "labels" && !text.is_empty());
        let given = found.as_ref().map_or("{}", |(_, text)| text.as_str());
        let mut all = match json::read(given.as_bytes(), Limits::default().bytes)? {
            Value::Null => Value::Object(Vec::new()),
            other => other,
        };
        put(&mut all, labels);
        match found {
            Some((_, text)) => *text = all.emit(),
            None => {
                self.query.retain(|(name, _)| name != "labels");
                self.query.push(("labels".to_owned(), all.emit()));
            }
        }
        Ok(())
    }

    /// As the last change: a configuration in the body would take the place of some of the container's.
    fn stamp_commit(&mut self, labels: &BTreeMap<String, String>) -> Result<(), BodyError> {
        let refused = BodyError::NotStamped { action: self.action, what: "labels" };
        let mut changes = self.query.iter().filter(|(name, _)| name == "changes");
        let quoted = |text: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
            !text.is_empty() && text.chars().all(plain)
        };
        let fit = changes.all(|(_, text)| is_plain_change(text))
            && labels.iter().all(|(key, value)| quoted(key) && (value.is_empty() || quoted(value)));
        if !fit {
            return Err(refused);
        }
        let pairs: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        self.query.push(("changes".to_owned(), format!("LABEL {}", pairs.join(" "))));
        Ok(())
    }

    fn stamp_host(&mut self, stamp: &Stamp) {
        let limits = [stamp.memory, stamp.pids_limit, stamp.nano_cpus];
        if !stamp.no_new_privileges && limits.iter().all(Option::is_none) {
            return;
        }
        let nothing = Value::Object(Vec::new());
        let Some(host) = self.body.as_mut().and_then(|body| body.entry("HostConfig", nothing))
        else {
            return;
        };
        if stamp.no_new_privileges && !has_no_new_privileges(host) {
            let options = host.entry("SecurityOpt", Value::List(Vec::new()));
            if let Some(Value::List(options)) = options {
                // The last one counts.
                options.push(Value::Text("no-new-privileges".to_owned()));
            }
        }
        if let Some(limit) = stamp.memory {
            limit_memory(host, limit);
        }
        if let Some(limit) = stamp.pids_limit
            && is_above(host.number("PidsLimit"), limit)
        {
            host.set("PidsLimit", Value::Number(limit.into()));
        }
        if let Some(limit) = stamp.nano_cpus
            && is_above(effective_cpus(host), limit)
        {
            // The engine refuses both at once.
            host.remove("CpuQuota");
            host.remove("CpuPeriod");
            host.set("NanoCpus", Value::Number(limit.into()));
        }
        let now = [
            ("memory", host.number("Memory")),
            ("pidsLimit", host.number("PidsLimit")),
            ("nanoCpus", effective_cpus(host)),
        ];
        for (name, value) in now {
            if let Some(value) = value.filter(|value| *value > 0) {
                self.context.insert(name.to_owned(), value.into());
            }
        }
        if stamp.no_new_privileges {
            self.context.insert("noNewPrivileges".to_owned(), true.into());
        }
    }
}

/// Whether what is given is no limit, or a larger one.
fn is_above(given: Option<i64>, limit: i64) -> bool {
    given.is_none_or(|given| given <= 0 || given > limit)
}

fn limit_memory(host: &mut Value, limit: i64) {
    let lowered = is_above(host.number("Memory"), limit);
    if lowered {
        host.set("Memory", Value::Number(limit.into()));
    }
    // Swap without end would be memory without end, and the engine refuses swap and reservation that do
    // not fit to the memory.
    let most_swap = limit.saturating_mul(2);
    let swap = host.number("MemorySwap").unwrap_or(0);
    if swap < 0 || swap > most_swap || lowered && swap != 0 && swap < limit {
        host.set("MemorySwap", Value::Number(most_swap.into()));
    }
    if host.number("MemoryReservation").is_some_and(|reserved| reserved > limit) {
        host.set("MemoryReservation", Value::Number(limit.into()));
    }
}

fn put(there: &mut Value, labels: &BTreeMap<String, String>) {
    for (key, value) in labels {
        there.set(key, Value::Text(value.clone()));
    }
}
