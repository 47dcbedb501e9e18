//! The flags in a systemd unit of the daemon that contradict its daemon.json.
//!
//! `dockerd` does not start when a setting stands both in its flags and in daemon.json; the common case
//! is `-H fd://` in the unit and `hosts` in the file. The answer is a drop-in with the same command
//! without those flags. Pure functions over texts; the unit is the administrator's own.

/// Where a drop-in that solves the conflict belongs.
pub const DROP_IN_PATH: &str = "/etc/systemd/system/docker.service.d/sealock.conf";

/// Flags that take a value, of those that daemon.json says.
const WITH_VALUE: [&str; 4] = ["--host", "--tlscacert", "--tlscert", "--tlskey"];
/// Flags that need none.
const WITHOUT_VALUE: [&str; 1] = ["--tlsverify"];
/// Short flags of `dockerd` that take no value, and so may stand before an `H` in the same word.
const SHORT_WITHOUT_VALUE: &str = "Dv";

/// What a unit says that daemon.json says too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The flags, as they stand in the unit.
    pub flags: Vec<String>,
    /// The sockets that they name, but for `fd://`; without the flags, `hosts` has to name them.
    pub hosts: Vec<String>,
    /// Variables in the command. What they hold is not seen here, and may conflict too.
    pub variables: Vec<String>,
    /// The drop-in that solves it.
    pub drop_in: String,
}

/// Whether the unit, changed by its drop-ins in their order, starts the daemon with flags that conflict.
pub fn conflict(unit: &str, drop_ins: &[&str]) -> Option<Conflict> {
    let command = std::iter::once(&unit).chain(drop_ins).fold(None, |command, text| {
        commands(text).fold(command, |_, new| (!new.is_empty()).then_some(new))
    })?;
    let mut conflict =
        Conflict { flags: vec![], hosts: vec![], variables: vec![], drop_in: String::new() };
    let mut kept = Vec::new();
    let mut words = words(&command).into_iter().peekable();
    while let Some(word) = words.next() {
        let bare = unquoted(&word);
        if bare.starts_with('$') {
            conflict.variables.push(bare.clone());
        }
        let Some(flag) = Flag::read(&bare) else {
            kept.push(word);
            continue;
        };
        kept.extend(flag.rest);
        let value = match flag.value {
            Value::Next => words.next().map(|next| unquoted(&next)),
            Value::Here(value) => Some(value),
            Value::None => None,
        };
        let shown = match (&value, bare.contains('=')) {
            (Some(value), false) if !bare.ends_with(value.as_str()) => format!("{bare} {value}"),
            _ => bare,
        };
        conflict.flags.push(shown);
        if flag.is_host {
            conflict.hosts.extend(value.filter(|value| !value.starts_with("fd://")));
        }
    }
    conflict.drop_in = format!("[Service]\nExecStart=\nExecStart={}\n", kept.join(" "));
    (!conflict.flags.is_empty()).then_some(conflict)
}

struct Flag {
    is_host: bool,
    value: Value,
    /// Short flags of the same word that stay.
    rest: Option<String>,
}

enum Value {
    None,
    Here(String),
    Next,
}

impl Flag {
    fn read(word: &str) -> Option<Self> {
        if word.starts_with("--") {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Value::Here(value.to_owned())),
                None if WITH_VALUE.contains(&word) => (word, Value::Next),
                None => (word, Value::None),
            };
            let known = WITH_VALUE.contains(&name) || WITHOUT_VALUE.contains(&name);
            return known.then(|| Self { is_host: name == "--host", value, rest: None });
        }
        let shorts = word.strip_prefix('-')?;
        let (before, after) = shorts.split_once('H')?;
        if !before.chars().all(|short| SHORT_WITHOUT_VALUE.contains(short)) {
            return None;
        }
        let value = match after.strip_prefix('=').unwrap_or(after) {
            "" => Value::Next,
            value => Value::Here(value.to_owned()),
        };
        let rest = (!before.is_empty()).then(|| format!("-{before}"));
        Some(Self { is_host: true, value, rest })
    }
}

/// The values of `ExecStart=` in the section `[Service]`, in their order; an empty one resets.
fn commands(text: &str) -> impl Iterator<Item = String> {
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with(['#', ';']) {
            // Also in the middle of a continued line, as systemd has it.
            continue;
        }
        let (part, goes_on) = match trimmed.strip_suffix('\\') {
            Some(part) => (part.trim_end(), true),
            None => (trimmed, false),
        };
        let whole = match open.take() {
            Some(before) => format!("{before} {part}"),
            None => part.to_owned(),
        };
        if goes_on {
            open = Some(whole);
        } else {
            lines.push(whole);
        }
    }
    lines.extend(open);
    let mut in_service = false;
    lines.into_iter().filter_map(move |line| {
        if line.starts_with('[') {
            in_service = line == "[Service]";
            return None;
        }
        let (name, value) = line.split_once('=')?;
        (in_service && name.trim_end() == "ExecStart").then(|| value.trim().to_owned())
    })
}

/// The words of a command with their quotes, so that they can be written again as they were.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut escaped) = (String::new(), None, false);
    for c in command.chars() {
        if quote.is_none() && !escaped && c.is_whitespace() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        word.push(c);
        match (c, quote) {
            _ if escaped => escaped = false,
            ('\\', _) => escaped = true,
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn unquoted(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '"' | '\'')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "[Unit]\nExecStart=/not/this -H fd://\n\n[Service]\nType=notify\n\
        # a comment\nExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS\n\
        ExecReload=/bin/kill -s HUP $MAINPID\n";

    #[test]
    fn the_unit_of_a_distribution_conflicts_and_the_drop_in_solves_it() {
        let found = conflict(DEBIAN, &[]).unwrap();
        assert_eq!(found.flags, ["-H fd://"]);
        assert!(found.hosts.is_empty());
        assert_eq!(found.variables, ["$DOCKER_OPTS"]);
        assert_eq!(
            found.drop_in,
            "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd \
             --containerd=/run/containerd/containerd.sock $DOCKER_OPTS\n"
        );
        assert_eq!(conflict(DEBIAN, &[&found.drop_in]), None);
    }

    #[test]
    fn every_way_to_write_a_flag_is_seen() {
        for (flag, shown) in [
            ("-H tcp://a:1", "-H tcp://a:1"),
            ("-Htcp://a:1", "-Htcp://a:1"),
            ("-H=tcp://a:1", "-H=tcp://a:1"),
            ("-H \"tcp://a:1\"", "-H tcp://a:1"),
            ("--host tcp://a:1", "--host tcp://a:1"),
            ("--host=tcp://a:1", "--host=tcp://a:1"),
            ("'--host=tcp://a:1'", "--host=tcp://a:1"),
            ("\\\n  --host \\\n# not this\n  tcp://a:1", "--host tcp://a:1"),
        ] {
            let unit = format!("[Service]\nExecStart=/usr/bin/dockerd --debug {flag} --mtu 9\n");
            let found = conflict(&unit, &[]).unwrap();
            assert_eq!(found.flags, [shown], "{flag}");
            assert_eq!(found.hosts, ["tcp://a:1"], "{flag}");
            assert!(found.drop_in.ends_with("=/usr/bin/dockerd --debug --mtu 9\n"), "{flag}");
        }
    }

    #[test]
    fn short_flags_in_one_word_are_told_apart() {
        let unit = "[Service]\nExecStart=dockerd -DH fd:// -lH -gH\n";
        let found = conflict(unit, &[]).unwrap();
        assert_eq!(found.drop_in, "[Service]\nExecStart=\nExecStart=dockerd -D -lH -gH\n");
    }

    #[test]
    fn flags_of_tls_conflict_too() {
        let unit = "[Service]\nExecStart=dockerd --tlsverify --tlscacert=/ca --tlskey /key --tls\n";
        let found = conflict(unit, &[]).unwrap();
        assert_eq!(found.flags, ["--tlsverify", "--tlscacert=/ca", "--tlskey /key"]);
        assert!(found.drop_in.ends_with("=dockerd --tls\n"));
    }

    #[test]
    fn the_last_command_counts() {
        let without = "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd\n";
        assert_eq!(conflict(DEBIAN, &[without]), None);
        let with = "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --host fd://\n";
        assert!(conflict(without, &[without, with]).is_some());
        assert_eq!(conflict("", &[]), None);
    }
}
