//! `sealock cert request`, `requests`, `import` and `files`: certificates that another authority signs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use sealock_control::command::{
    self, CertImport, CertRequest, Command, ImportReport, Reply, RequestReport, SecretBlob,
};
use sealock_control::formats;
use sealock_core::SecretBytes;
use sealock_core::clock::{Clock, SystemClock};
use sealock_core::span::format_span;

use super::init::key_type;
use super::session::{Session, unexpected};
use super::{cert, files};
use crate::args::{ImportedArgs, RequestArgs};
use crate::printer::{Failure, Printer, Table};

/// How many files of a folder are looked at.
const MOST_FILES: usize = 256;

/// `sealock cert request`
pub(super) fn request(
    arguments: &RequestArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let name = arguments.name.clone();
    if arguments.show {
        return show(name, session, printer);
    }
    if arguments.cancel || arguments.forget {
        return drop_request(arguments, session, printer);
    }
    let wanted = CertRequest {
        name,
        subject: arguments.subject.clone(),
        names: command::Names {
            dns: arguments.dns.clone(),
            ip: arguments.ip.iter().map(ToString::to_string).collect(),
            uri: arguments.uri.clone(),
            email: arguments.email.clone(),
        },
        usages: cert::usages_of(&arguments.usage),
        key_type: key_type(arguments.key_type),
        replace: arguments.replace,
        upstream: arguments.upstream.clone(),
    };
    let report = match session.call(Command::CertRequest(wanted))? {
        Reply::Requested(report) => report,
        other => return Err(unexpected(&other)),
    };
    let Some(csr) = write_out(&report, arguments.out.as_deref())? else {
        return printer.either(&*report, |report| {
            format!(
                "{}  {}\nNothing waits; a new key and CSR: --replace",
                report.name, report.state
            )
        });
    };
    let mut shown = serde_json::to_value(&*report).unwrap_or_default();
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("csr_file".to_owned(), csr.display().to_string().into());
    }
    if let Some(enrolment) = &report.enrolment {
        return printer.either(&shown, |_| {
            format!(
                "{}  {}\n`sealock up` asks {} for it; `sealock cert requests` shows how it stands.",
                report.name, report.state, enrolment.upstream
            )
        });
    }
    printer.either(&shown, |_| {
        format!(
            "{}  {}\n  {}\nHave it signed by your CA, then: sealock cert import {} FILE…",
            report.name,
            report.state,
            csr.display(),
            report.name
        )
    })
}

/// `--cancel` and `--forget`.
fn drop_request(
    arguments: &RequestArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let (name, forget, force) = (arguments.name.clone(), arguments.forget, arguments.force);
    let stays = match forget {
        true => None,
        // Who may cancel need not be one who may read.
        false => asked(Some(name.clone()), session).ok().and_then(|it| it.into_iter().next()),
    };
    let stays = stays.and_then(|report| report.held);
    session.call(Command::CertRequestDrop { name: name.clone(), forget, force })?;
    let state = if forget { "forgotten" } else { "cancelled" };
    let shown = serde_json::json!({ "name": name, "state": state });
    printer.either(&shown, |_| match &stays {
        Some(held) => format!(
            "The request for {name} is {state}, and the key that waited is gone. Served as before: serial {} (until {}).",
            held.serial, held.not_after
        ),
        None => format!("{name} is {state}; its key is gone."),
    })
}

/// The two files in a folder of the caller's; says where the CSR is, if one is out.
fn write_out(report: &RequestReport, out: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    let Some(waiting) = &report.waiting else { return Ok(None) };
    let Some(folder) = out else { return Ok(Some(waiting.csr_file.clone())) };
    files::private_folder(folder)?;
    let csr = folder.join(format!("{}.csr", report.name));
    files::write(&csr, waiting.csr.as_bytes(), 0o644)?;
    files::write(&folder.join(format!("{}.txt", report.name)), waiting.text.as_bytes(), 0o644)?;
    Ok(Some(csr))
}

fn show(name: String, session: &Session, printer: Printer) -> Result<(), Failure> {
    let found = asked(Some(name.clone()), session)?;
    let waiting = found.first().and_then(|report| report.waiting.as_ref());
    let waiting = waiting.ok_or_else(|| {
        Failure::refused(format!("`{name}` waits for no signature"))
            .hint("see `sealock cert requests`")
    })?;
    printer.either(&found.first(), |_| waiting.csr.trim_end().to_owned())
}

fn asked(name: Option<String>, session: &Session) -> Result<Vec<RequestReport>, Failure> {
    match session.call(Command::CertRequests { name })? {
        Reply::Requests(found) => Ok(found),
        other => Err(unexpected(&other)),
    }
}

/// `sealock cert requests`
pub(super) fn list(session: &Session, printer: Printer) -> Result<(), Failure> {
    let found = asked(None, session)?;
    printer.either(&found, |found| {
        let now = SystemClock.now();
        let mut table = Table::new(&["NAME", "STATE", "SINCE", "EXPIRES IN", "NAMES"]);
        for report in found {
            let names: Vec<String> = report.names.iter().map(ToString::to_string).collect();
            let left = report.held.as_ref().map(|held| format_span(held.not_after.since(now)));
            table.row([
                report.name.clone(),
                report.state.clone(),
                report.since.to_string(),
                left.unwrap_or_else(|| "-".to_owned()),
                names.join(" "),
            ]);
        }
        if table.is_empty() {
            return "No requests.".to_owned();
        }
        let mut text = table.render();
        for report in found {
            let _ = write!(text, "\n{}: {}", report.name, report.todo);
        }
        text
    })
}

/// `sealock cert import`
pub(super) fn import(
    arguments: &ImportedArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let password = match &arguments.password_file {
        Some(path) => Some(SecretBytes::from(files::read_limited(path)?).trim_line_end()),
        None => None,
    };
    let found = match &arguments.scan {
        Some(folder) => scan(folder, password.as_ref(), printer)?,
        None => {
            let mut found = Found::default();
            for path in &arguments.files {
                found.add(read(path, password.as_ref())?);
            }
            found
        }
    };
    let mut keys = found.keys.into_iter();
    let key = keys.next();
    if keys.next().is_some() {
        return Err(Failure::usage("there is more than one private key in these files")
            .hint("import them one after the other"));
    }
    if arguments.scan.is_some() && key.is_some() {
        return Err(Failure::usage("there is a private key in this folder")
            .hint("say which certificate it is for: sealock cert import NAME FILE…"));
    }
    let wanted = CertImport {
        name: arguments.name.clone(),
        certificates: found.certificates.iter().map(|der| BASE64.encode(der)).collect(),
        key: key.map(SecretBlob::from),
        accept_names: arguments.accept_names,
        accept_shorter: arguments.accept_shorter,
    };
    match session.call(Command::CertImport(wanted))? {
        Reply::CertificatesImported(reports) => printer.either(&reports, |reports| {
            reports.iter().map(imported).collect::<Vec<_>>().join("\n")
        }),
        other => Err(unexpected(&other)),
    }
}

fn imported(report: &ImportReport) -> String {
    let mut text = match (&report.request.held, report.new) {
        (Some(held), true) => format!(
            "{}  serial {}  valid {} (until {})",
            report.request.name,
            held.serial,
            format_span(held.not_after.since(SystemClock.now())),
            held.not_after
        ),
        _ => format!("{}  was imported before", report.request.name),
    };
    for (depth, subject) in report.chain.iter().enumerate() {
        let _ = write!(text, "\n{}{subject}", "  ".repeat(depth + 1));
    }
    text
}

#[derive(Default)]
struct Found {
    certificates: Vec<Vec<u8>>,
    keys: Vec<SecretBytes>,
}

impl Found {
    fn add(&mut self, contents: formats::Contents) {
        self.certificates.extend(contents.certificates);
        for key in contents.keys {
            if !self.keys.contains(&key) {
                self.keys.push(key);
            }
        }
    }
}

/// One file, whatever it is.
pub(super) fn read(
    path: &Path,
    password: Option<&SecretBytes>,
) -> Result<formats::Contents, Failure> {
    let bytes = files::read_limited(path)?;
    formats::read(&bytes, password).map_err(|error| {
        let failure = Failure::refused(format!("cannot read {}", path.display())).caused_by(&error);
        error.hint().into_iter().fold(failure, Failure::hint)
    })
}

/// One file, where no key is wanted and so no password is: a `.pfx` has both.
pub(super) fn read_public(path: &Path) -> Result<formats::Contents, Failure> {
    let bytes = files::read_limited(path)?;
    formats::read(&bytes, None).map_err(|error| {
        let failure = Failure::refused(format!("cannot read {}", path.display())).caused_by(&error);
        let hint = match error {
            formats::ReadError::PasswordMissing => Some(
                "take the certificates out of it: `openssl pkcs12 -in FILE -nokeys -out chain.pem`, and give that file",
            ),
            other => other.hint(),
        };
        hint.into_iter().fold(failure, Failure::hint)
    })
}

/// All files of a folder. What is none of ours there is said and passed over.
fn scan(folder: &Path, password: Option<&SecretBytes>, printer: Printer) -> Result<Found, Failure> {
    let failed = |error: std::io::Error| {
        Failure::refused(format!("cannot read {}", folder.display())).caused_by(&error)
    };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths = Vec::new();
    for entry in entries.take(MOST_FILES) {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let mut found = Found::default();
    for path in paths {
        match read(&path, password) {
            Ok(contents) => found.add(contents),
            Err(_) => printer.note(format!("{} is passed over.", path.display())),
        }
    }
    Ok(found)
}

/// `sealock cert files`
pub(super) fn hand_out(
    name: String,
    out: Option<PathBuf>,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    match session.call(Command::CertFiles { name })? {
        Reply::Files(made) => {
            let folder = out.unwrap_or_else(|| PathBuf::from(&made.name));
            cert::write_files(&made, &folder, printer)
        }
        other => Err(unexpected(&other)),
    }
}
