//! `sealock docker context`, `env` and `check`: what needs no authority.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sealock_control::config::Environment;
use sealock_core::clock::{Clock, SystemClock};
use sealock_core::{SecretBytes, SubjectName};
use sealock_docker::check::{self, ClientIdentity, Endpoint, Probes};
use sealock_docker::daemon::context::{self, ContextError, ContextName, Written};
use sealock_docker::daemon::env_lines;
use sealock_docker::daemon::files::{ClientFiles, Existing, Side};
use sealock_docker::gateway::NO_CERTIFICATE;
use serde_json::json;

use super::files::failed;
use super::{client_folder, docker_folder, tcp_host};
use crate::args::DockerCheckArgs;
use crate::commands::files::read_limited;
use crate::printer::{Failure, Printer, exit};

/// What to do where a client's files are missing.
const MAKE_THEM: &str = "`sealock docker setup` or `sealock docker client` makes them";

/// Makes a context.
pub(super) fn context(
    name: &str,
    host: &str,
    client_dir: Option<PathBuf>,
    printer: Printer,
) -> Result<(), Failure> {
    let name: ContextName =
        name.parse().map_err(|error: ContextError| Failure::usage(error.to_string()))?;
    let host = tcp_host(host)?;
    let folder = client_folder(client_dir)?;
    let files = ClientFiles {
        ca_pem: read_text(&folder.join(Side::Client.ca()))?,
        cert_pem: read_text(&folder.join(Side::Client.certificate()))?,
        key_pem: read(&folder.join(Side::Client.key()))?,
    };
    let environment = Environment::of_process();
    let config = environment.get("DOCKER_CONFIG").map(PathBuf::from);
    let config = config.map_or_else(docker_folder, Ok)?;
    let written = context::write(&config, &name, &host, &files).map_err(|error| {
        let failure = Failure::from_error(&error);
        match error {
            ContextError::Taken { name, .. } => {
                failure.hint(format!("docker context rm {name}, or choose another name"))
            }
            _ => failure,
        }
    })?;
    let created = written == Written::Created;
    let value = json!({
        "context": name.to_string(), "host": host.to_string(), "folder": config, "created": created,
    });
    printer.either(&value, |_| {
        let done =
            if created { "made" } else { "there; its certificates are as in the folder now" };
        format!("The context {name} for {host} is {done}.\nNext: docker --context {name} info")
    })
}

/// Prints the exports.
pub(super) fn env(
    host: Option<&str>,
    dir: &Path,
    client_dir: Option<PathBuf>,
    printer: Printer,
) -> Result<(), Failure> {
    let folder = client_folder(client_dir)?;
    let host = match host {
        Some(host) => tcp_host(host)?,
        None => tcp_host(&server_name(dir)?)?,
    };
    for name in [Side::Client.ca(), Side::Client.certificate(), Side::Client.key()] {
        let path = folder.join(name);
        if !path.exists() {
            printer.note(format!("warning: there is no {}; {MAKE_THEM}", path.display()));
        }
    }
    let lines = env_lines(&host, &folder).map_err(|error| Failure::usage(error.to_string()))?;
    let value = json!({
        "DOCKER_HOST": host.to_string(), "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": folder,
    });
    printer.either(&value, |_| lines)
}

/// The first name that clients can dial of the daemon's certificate.
fn server_name(dir: &Path) -> Result<String, Failure> {
    let existing = Existing::read(dir, Side::Server).map_err(|error| failed(&error))?;
    let names = existing.names().iter();
    let dialled = |name: &&SubjectName| match name {
        SubjectName::Dns(name) => !name.is_wildcard(),
        SubjectName::Ip(_) => true,
        SubjectName::Uri(_) | SubjectName::Email(_) => false,
    };
    names.filter(dialled).map(ToString::to_string).next().ok_or_else(|| {
        Failure::usage(format!("no daemon's certificate is in {}", dir.display()))
            .hint("say where the daemon is: --host tcp://HOST:PORT")
    })
}

/// Tries an endpoint.
pub(super) fn check(arguments: DockerCheckArgs, printer: Printer) -> Result<ExitCode, Failure> {
    let endpoint: Endpoint = arguments.url.parse().map_err(|error: check::EndpointError| {
        let failure = Failure::from_error(&error).code(exit::USAGE);
        failure.hint("such as unix:///var/run/docker.sock or tcp://HOST:2376")
    })?;
    let mut probes = Probes::new(SystemClock.now());
    probes.gateway_message = Some(NO_CERTIFICATE.to_owned());
    let folder = match arguments.client_dir {
        Some(folder) => Some(folder),
        None => docker_folder().ok().filter(|folder| {
            [Side::Client.ca(), Side::Client.certificate(), Side::Client.key()]
                .iter()
                .all(|name| folder.join(name).is_file())
        }),
    };
    if let Some(folder) = &folder {
        probes.valid = Some(client_identity(folder)?);
    }
    let ca = arguments.ca.or_else(|| folder.map(|folder| folder.join(Side::Client.ca())));
    if let Some(path) = ca {
        probes.ca = authorities(&path)?;
    }
    probes.expired = arguments.expired.as_deref().map(client_identity).transpose()?;
    probes.revoked = arguments.revoked.as_deref().map(client_identity).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::fault("cannot start the runtime").caused_by(&error))?;
    let report = runtime.block_on(check::check(&endpoint, &probes));
    let report = report.map_err(|error| Failure::from_error(&error))?;
    printer.either(&report, ToString::to_string)?;
    let bad = report.stranger_gets_in() || report.former_gets_in();
    Ok(if bad { ExitCode::from(exit::REFUSED) } else { ExitCode::SUCCESS })
}

fn client_identity(folder: &Path) -> Result<ClientIdentity, Failure> {
    let certificate = read(&folder.join(Side::Client.certificate()))?;
    let key = read(&folder.join(Side::Client.key()))?;
    ClientIdentity::from_pem(certificate.expose(), &key).map_err(|error| {
        Failure::refused(format!("no client's files are in {}", folder.display()))
            .caused_by(&error)
            .hint(MAKE_THEM)
    })
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = read(path)?;
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose()).collect();
    let refused = || Failure::refused(format!("{} holds no certificates in PEM", path.display()));
    match list {
        Ok(list) if !list.is_empty() => Ok(list),
        Ok(_) => Err(refused()),
        Err(error) => Err(refused().caused_by(&error)),
    }
}

fn read(path: &Path) -> Result<SecretBytes, Failure> {
    let bytes = read_limited(path).map_err(|failure| failure.hint(MAKE_THEM))?;
    Ok(SecretBytes::from(bytes))
}

fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        Failure::refused(format!("cannot read {}", path.display()))
            .caused_by(&error)
            .hint(MAKE_THEM)
    })
}
