//! The command line of `docker run`, as far as it has to be known: which word is an option, which is the value of one,
//! and which is the image.

use std::ffi::{OsStr, OsString};

/// Options of `docker run` that have no value (docker 20.10 to 28).
const SWITCHES: [&str; 15] = [
    "detach",
    "disable-content-trust",
    "help",
    "init",
    "interactive",
    "no-healthcheck",
    "oom-kill-disable",
    "privileged",
    "publish-all",
    "quiet",
    "read-only",
    "rm",
    "sig-proxy",
    "tty",
    "use-api-socket",
];
/// The short forms of options, and what they stand for.
const SHORT: [(char, &str); 15] = [
    ('a', "attach"),
    ('c', "cpu-shares"),
    ('d', "detach"),
    ('e', "env"),
    ('h', "hostname"),
    ('i', "interactive"),
    ('l', "label"),
    ('m', "memory"),
    ('P', "publish-all"),
    ('p', "publish"),
    ('q', "quiet"),
    ('t', "tty"),
    ('u', "user"),
    ('v', "volume"),
    ('w', "workdir"),
];
/// Docker's own options, before the command, that have a value.
const GLOBAL_VALUES: [&str; 10] = [
    "-c",
    "--context",
    "--config",
    "-H",
    "--host",
    "-l",
    "--log-level",
    "--tlscacert",
    "--tlscert",
    "--tlskey",
];

/// Why it is no command line that can be worked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// Another program or command.
    #[error("--as-files is for `docker run`")]
    NotRun,
    /// `docker create` starts nothing.
    #[error("`docker create` starts nothing that secrets could be delivered to")]
    Create,
    /// Cut off.
    #[error("the command line ends before the image")]
    NoImage,
    /// An option that docker does not have.
    #[error("`-{0}` is no option of `docker run`")]
    Unknown(char),
    /// Files would be gone after a restart.
    #[error("with --restart the container would start anew without its files")]
    Restart,
}

impl Refused {
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Create => Some("say `docker run -d`"),
            Self::Restart => Some(
                "have the files delivered by labels (sealock.secret.NAME.ref), or start the program in the container with `sealock run`",
            ),
            _ => None,
        }
    }
}

/// One option as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    /// Its long name, without dashes.
    pub(super) name: String,
    /// Its value.
    pub(super) value: Option<OsString>,
}

/// A parsed `docker run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DockerRun {
    /// The client, and its own options.
    pub(super) client: Vec<OsString>,
    /// In their order.
    pub(super) options: Vec<Given>,
    /// The image.
    pub(super) image: OsString,
    /// What comes after it.
    pub(super) arguments: Vec<OsString>,
}

impl DockerRun {
    /// Reads it.
    pub(super) fn parse(command: &[OsString]) -> Result<Self, Refused> {
        let (program, rest) = command.split_first().ok_or(Refused::NotRun)?;
        if super::base_name(program) != Some("docker") {
            return Err(Refused::NotRun);
        }
        let mut words = rest.iter();
        let mut client = vec![program.clone()];
        let mut in_container = false;
        loop {
            let word = words.next().ok_or(Refused::NotRun)?;
            match word.to_str() {
                Some("run") => break,
                Some("create") => return Err(Refused::Create),
                Some("container") if !in_container => in_container = true,
                Some(option) if option.starts_with('-') && !in_container => {
                    client.push(word.clone());
                    if GLOBAL_VALUES.contains(&option) {
                        client.push(words.next().ok_or(Refused::NotRun)?.clone());
                    }
                }
                _ => return Err(Refused::NotRun),
            }
        }
        let mut options = Vec::new();
        let image = loop {
            let word = words.next().ok_or(Refused::NoImage)?;
            match word.to_str().filter(|text| text.len() > 1 && text.starts_with('-')) {
                None => break word.clone(),
                Some("--") => break words.next().ok_or(Refused::NoImage)?.clone(),
                Some(text) => option(text, &mut words, &mut options)?,
            }
        };
        let arguments = words.cloned().collect();
        let run = Self { client, options, image, arguments };
        let restart = run.last("restart").and_then(OsStr::to_str);
        if restart.is_some_and(|policy| policy != "no") {
            return Err(Refused::Restart);
        }
        Ok(run)
    }

    /// Whether a switch is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        let given = self.options.iter().rev().find(|given| given.name == name);
        given.is_some_and(|given| {
            given
                .value
                .as_deref()
                .and_then(OsStr::to_str)
                .is_none_or(|text| !matches!(text, "false" | "0" | "f" | "F" | "FALSE" | "False"))
        })
    }

    /// The last value of an option.
    pub(super) fn last(&self, name: &str) -> Option<&OsStr> {
        let given = self.options.iter().rev().find(|given| given.name == name)?;
        given.value.as_deref()
    }

    /// All values of an option.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &OsStr> {
        let given = self.options.iter().filter(move |given| given.name == name);
        given.filter_map(|given| given.value.as_deref())
    }

    /// The variables that are taken from the client's environment.
    pub(super) fn inherited_variables(&self) -> impl Iterator<Item = &str> {
        self.values("env").filter_map(OsStr::to_str).filter(|text| !text.contains('='))
    }

    /// The options again as words, but for those of these names.
    pub(super) fn without(&self, names: &[&str]) -> Vec<OsString> {
        let kept = self.options.iter().filter(|given| !names.contains(&given.name.as_str()));
        kept.map(Given::word).collect()
    }

    /// Only those of these names, as words.
    pub(super) fn only(&self, names: &[&str]) -> Vec<OsString> {
        let kept = self.options.iter().filter(|given| names.contains(&given.name.as_str()));
        kept.map(Given::word).collect()
    }
}

impl Given {
    /// As a word.
    pub(super) fn word(&self) -> OsString {
        let mut word = OsString::from(format!("--{}", self.name));
        if let Some(value) = &self.value {
            word.push("=");
            word.push(value);
        }
        word
    }
}

fn option(
    text: &str,
    words: &mut std::slice::Iter<'_, OsString>,
    options: &mut Vec<Given>,
) -> Result<(), Refused> {
    let mut next = || words.next().cloned().ok_or(Refused::NoImage);
    if let Some(long) = text.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None if SWITCHES.contains(&long) => (long, None),
            None => (long, Some(next()?)),
        };
        options.push(Given { name: name.to_owned(), value });
        return Ok(());
    }
    for (at, letter) in text.char_indices().skip(1) {
        let known = SHORT.iter().find(|(short, _)| *short == letter);
        let (_, name) = known.ok_or(Refused::Unknown(letter))?;
        let rest = text.get(at + 1..).unwrap_or_default();
        if SWITCHES.contains(name) && !rest.starts_with('=') {
            options.push(Given { name: (*name).to_owned(), value: None });
            continue;
        }
        let value = match rest.strip_prefix('=').unwrap_or(rest) {
            "" => next()?,
            value => OsString::from(value),
        };
        options.push(Given { name: (*name).to_owned(), value: Some(value) });
        return Ok(());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<DockerRun, Refused> {
        DockerRun::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_image_is_found_behind_any_spelling_of_options() {
        for line in [
            "docker run -d -e A --name x img:1 sh -c y",
            "/usr/bin/docker -H unix:///s --debug run -deA --name=x img:1 sh -c y",
            "docker --context c container run --detach --env A --name x -- img:1 sh -c y",
        ] {
            let run = parsed(line).unwrap();
            assert_eq!(run.image, "img:1", "{line}");
            assert_eq!(run.arguments, ["sh", "-c", "y"]);
            assert!(run.is_on("detach") && !run.is_on("rm"));
            assert_eq!(run.inherited_variables().collect::<Vec<_>>(), ["A"]);
            assert_eq!(run.without(&["detach", "env"]), ["--name=x"]);
        }
        let run =
            parsed("docker -H h run -it --rm=false -p 80:80 -v/a:/b -e A=1 -eB -u=1 img").unwrap();
        assert!(run.is_on("interactive") && run.is_on("tty") && !run.is_on("rm"));
        assert_eq!(run.client, ["docker", "-H", "h"]);
        assert_eq!(
            run.without(&["interactive", "tty"]),
            ["--rm=false", "--publish=80:80", "--volume=/a:/b", "--env=A=1", "--env=B", "--user=1"]
        );
        assert_eq!(run.only(&["user"]), ["--user=1"]);
        assert_eq!(run.inherited_variables().collect::<Vec<_>>(), ["B"]);
    }

    #[test]
    fn what_cannot_be_worked_with_is_refused() {
        for (line, refused) in [
            ("podman run x", Refused::NotRun),
            ("docker", Refused::NotRun),
            ("docker exec x y", Refused::NotRun),
            ("docker create x", Refused::Create),
            ("docker container create x", Refused::Create),
            ("docker run", Refused::NoImage),
            ("docker run -e", Refused::NoImage),
            ("docker run --name", Refused::NoImage),
            ("docker run -z x", Refused::Unknown('z')),
            ("docker run --restart always x", Refused::Restart),
        ] {
            assert_eq!(parsed(line), Err(refused), "{line}");
        }
        assert!(parsed("docker run --restart=no x").is_ok());
    }
}
