//! `sealock cert export`: the files of an issued certificate as one file, in the format that a program wants. It needs no
//! daemon and no state folder.

mod place;
mod tool;

use std::path::Path;

use sealock_core::SecretBytes;
use sealock_formats::{
    ChainOrder, Contents, KeyPlace, Material, Protection, ReadError, Target, WriteError, write,
};
use serde::Serialize;

use super::files;
use crate::args::{ExportArgs, ExportFormat};
use crate::printer::{Failure, Printer, exit};

/// Whoever may read what a private key is in.
const WITH_KEY: u32 = 0o400;
const WITHOUT_KEY: u32 = 0o444;

/// As JSON.
#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    /// Whether anything was written.
    changed: bool,
}

/// Writes the file.
pub(crate) fn run(arguments: &ExportArgs, printer: Printer) -> Result<(), Failure> {
    let target = arguments.format.map(|format| target(format, arguments)).transpose()?;
    let password = arguments.password_file.as_deref().map(password).transpose()?;
    let changed = match target {
        Some(target) => {
            let made = make(arguments, target, password.as_ref())?;
            let mode = if target.has_key() { WITH_KEY } else { WITHOUT_KEY };
            place::file(&arguments.out, made.expose(), mode)?
        }
        None => tool::run(arguments, password)?,
    };
    let report = Report { file: &arguments.out, changed };
    // What was asked for goes to stdout, when it was asked for there.
    if changed && files::is_device(&arguments.out) {
        return Ok(());
    }
    printer.either(&report, |report| {
        let what = if report.changed { "written" } else { "unchanged" };
        format!("{} {what}", report.file.display())
    })
}

fn make(
    arguments: &ExportArgs,
    target: Target,
    password: Option<&SecretBytes>,
) -> Result<SecretBytes, Failure> {
    if target.needs_password() && password.is_none() {
        return Err(wrong(arguments, &WriteError::PasswordMissing));
    }
    let material = material(arguments, target)?;
    write(&material, target, password).map_err(|error| wrong(arguments, &error))
}

fn wrong(arguments: &ExportArgs, error: &WriteError) -> Failure {
    let folder = arguments.folder.display();
    let failure = Failure::refused(format!("cannot export {folder}")).caused_by(error);
    let code = match error {
        WriteError::PasswordMissing => exit::USAGE,
        _ => exit::REFUSED,
    };
    let failure = failure.code(code);
    error.hint().into_iter().fold(failure, Failure::hint)
}

fn target(format: ExportFormat, arguments: &ExportArgs) -> Result<Target, Failure> {
    let with_root = arguments.with_root;
    let is_pem = matches!(format, ExportFormat::Pem | ExportFormat::PemKeyFirst);
    if !is_pem && (arguments.root_first || arguments.no_key) {
        return Err(Failure::usage("--root-first and --no-key are for PEM"));
    }
    let unused = unused(format, arguments);
    if !unused.is_empty() {
        let text = format!("{} does not go with this format", unused.join(", "));
        let failure = Failure::usage(text);
        return Err(match arguments.password_file {
            Some(_) => failure.hint(
                "a key in PEM stands in it as it is, and its file's permissions protect it; pkcs12 has a password",
            ),
            None => failure.hint("leave it out: --alias is for key and trust stores"),
        });
    }
    if is_trust_store(format) && with_root {
        return Err(Failure::usage("a trust store has the roots, and nothing else")
            .hint("leave --with-root away"));
    }
    let key = match format {
        _ if arguments.no_key => KeyPlace::Absent,
        ExportFormat::PemKeyFirst => KeyPlace::First,
        _ => KeyPlace::Last,
    };
    let order = if arguments.root_first { ChainOrder::RootFirst } else { ChainOrder::LeafFirst };
    Ok(match format {
        ExportFormat::Pem | ExportFormat::PemKeyFirst => Target::Pem { key, order, with_root },
        ExportFormat::Der => Target::Der,
        ExportFormat::P7b => Target::Pkcs7 { with_root },
        ExportFormat::Pkcs12 => Target::Pkcs12 { protection: Protection::Modern, with_root },
        ExportFormat::Pkcs12Legacy => Target::Pkcs12 { protection: Protection::Legacy, with_root },
        ExportFormat::Jks => Target::Jks { with_root },
        ExportFormat::TruststoreP12 => Target::TrustStorePkcs12,
        ExportFormat::TruststoreJks => Target::TrustStoreJks,
    })
}

/// What was given and would change nothing: whoever gives a password must not believe that a key is under it.
fn unused(format: ExportFormat, arguments: &ExportArgs) -> Vec<&'static str> {
    use ExportFormat as F;
    let is_store = !matches!(format, F::Pem | F::PemKeyFirst | F::Der | F::P7b);
    let mut unused = Vec::new();
    if arguments.password_file.is_some() && !is_store {
        unused.push("--password-file");
    }
    if arguments.alias.is_some() && !is_store {
        unused.push("--alias");
    }
    if arguments.with_root && matches!(format, F::Der) {
        unused.push("--with-root");
    }
    unused
}

fn is_trust_store(format: ExportFormat) -> bool {
    matches!(format, ExportFormat::TruststoreP12 | ExportFormat::TruststoreJks)
}

/// What of the folder the format needs: a private key that is not asked for is not read.
fn material(arguments: &ExportArgs, target: Target) -> Result<Material, Failure> {
    let folder = &arguments.folder;
    let trust = matches!(target, Target::TrustStorePkcs12 | Target::TrustStoreJks);
    let mut material = Material { alias: alias(arguments, trust), ..Material::default() };
    let roots = folder.join("ca.crt");
    if trust || arguments.with_root || roots.exists() {
        material.roots = read(&roots)?.certificates;
    }
    if trust {
        return Ok(material);
    }
    let chain = folder.join("tls.crt");
    let mut certificates = read(&chain)?.certificates.into_iter();
    material.leaf = certificates.next();
    material.intermediates = certificates.collect();
    if target.has_key() {
        let path = folder.join("tls.key");
        let mut keys = read(&path)?.keys.into_iter();
        material.key = keys.next();
        if keys.next().is_some() {
            return Err(Failure::refused(format!("{} has more than one key", path.display())));
        }
    }
    Ok(material)
}

fn alias(arguments: &ExportArgs, trust: bool) -> String {
    if let Some(alias) = &arguments.alias {
        return alias.clone();
    }
    if trust {
        return "ca".to_owned();
    }
    let folder = arguments.folder.canonicalize().ok();
    let name = folder.as_deref().and_then(Path::file_name);
    name.map_or_else(|| "sealock".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn read(path: &Path) -> Result<Contents, Failure> {
    let bytes = files::read_limited(path).map_err(|failure| {
        failure.hint("name a folder that `sealock cert issue` or `cert renew` has written")
    })?;
    sealock_formats::read(&bytes, None).map_err(|error: ReadError| {
        let failure = Failure::refused(format!("cannot use {}", path.display())).caused_by(&error);
        error.hint().into_iter().fold(failure, Failure::hint)
    })
}

fn password(path: &Path) -> Result<SecretBytes, Failure> {
    Ok(SecretBytes::from(files::read_limited(path)?).trim_line_end())
}
