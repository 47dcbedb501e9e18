//! `sealock policy learn`

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;

use sealock_control::command::{Command, Reply};
use sealock_core::Identity;
use sealock_core::audit::Record;
use sealock_core::policy::{Grantee, LearnError, Seen, learn};
use serde_json::json;

use crate::commands::files::PendingFile;
use crate::commands::session::{Session, unexpected};
use crate::printer::{Failure, Printer};

/// How many records are asked for at once.
const PAGE: usize = 2000;

/// Writes the policy to a file or to the standard output.
pub(super) fn run(
    from: &Path,
    identity: &str,
    out: Option<&Path>,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let who = Who::parse(identity)?;
    let seen =
        if from == Path::new("audit") { of_log(&who, session)? } else { of_file(&who, from)? };
    let learnt = learn(&seen).map_err(|error| {
        let nothing = error == LearnError::Nothing;
        let failure = Failure::from_error(&error);
        if nothing {
            return failure.hint(format!(
                "set policy.docker (its work at the Docker gateway), policy.traffic (its calls) or policy.secrets to \
                 \"learn\", let {identity} do its work, and ask again"
            ));
        }
        failure
    })?;
    if let Some(path) = out {
        let mut file = PendingFile::create(path, 0o600)?;
        let failed = |error| Failure::refused("cannot write the policy").caused_by(&error);
        file.write_all(learnt.text.as_bytes()).map_err(failed)?;
        file.keep()?;
    }
    let report = json!({
        "identity": identity, "rules": learnt.rules, "requests": learnt.questions, "text": learnt.text,
    });
    printer.either(&report, |_| match out {
        Some(path) => format!(
            "{} rules for {} different requests, which all pass, in {}",
            learnt.rules,
            learnt.questions,
            path.display()
        ),
        None => learnt.text.trim_end().to_owned(),
    })
}

/// Somebody by kind and name, or by the whole SPIFFE ID.
enum Who {
    Short(Grantee),
    Whole(Identity),
}

impl Who {
    fn parse(text: &str) -> Result<Self, Failure> {
        if let Ok(identity) = text.parse() {
            return Ok(Self::Whole(identity));
        }
        match text.parse() {
            Ok(grantee @ Grantee::Identity(..)) => Ok(Self::Short(grantee)),
            _ => Err(Failure::usage(format!("`{text}` is no identity"))
                .hint("such as human/alice, service/web or host/build-1")),
        }
    }

    fn is(&self, identity: &Identity) -> bool {
        match self {
            Self::Whole(whole) => whole == identity,
            Self::Short(Grantee::Identity(kind, name)) => {
                *kind == identity.kind() && name == identity.name()
            }
            Self::Short(Grantee::Group(_)) => false,
        }
    }
}

fn of_log(who: &Who, session: &Session) -> Result<Seen, Failure> {
    let (mut seen, mut from) = (Seen::default(), 1);
    loop {
        let page = match session.call(Command::AuditExport { from, limit: PAGE })? {
            Reply::Audit(page) => page,
            other => return Err(unexpected(&other)),
        };
        for line in &page.lines {
            take_in(&mut seen, line, who)?;
        }
        match page.next {
            Some(next) if next > from => from = next,
            _ => return Ok(seen),
        }
    }
}

fn of_file(who: &Who, path: &Path) -> Result<Seen, Failure> {
    let failed = |error: std::io::Error| {
        Failure::refused(format!("cannot read {}", path.display())).caused_by(&error)
    };
    let mut seen = Seen::default();
    for line in BufReader::new(File::open(path).map_err(failed)?).lines() {
        let line = line.map_err(failed)?;
        if !line.trim().is_empty() {
            take_in(&mut seen, &line, who)?;
        }
    }
    Ok(seen)
}

fn take_in(seen: &mut Seen, line: &str, who: &Who) -> Result<(), Failure> {
    let record: Result<Record, _> = serde_json::from_str(line);
    let taken = record.and_then(|record| seen.take_in(&record, |identity| who.is(identity)));
    taken.map_err(|error| {
        Failure::refused("a line is no record of the audit log")
            .caused_by(&error)
            .hint("give a file that `sealock audit export` wrote")
    })
}
