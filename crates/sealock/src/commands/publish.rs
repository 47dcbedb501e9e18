//! `sealock cert publish`

use std::fmt::Write as _;

use sealock_control::command::{Command, LdapServer, Publish, PublishReport, PublishedAt, Reply};

use super::files;
use super::session::{Session, unexpected};
use crate::args::{CreateArg, PublishArgs, ServerArgs};
use crate::printer::{Failure, Printer};

/// Runs it.
pub(crate) fn run(
    arguments: PublishArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let PublishArgs { certificate, imported, directory, dn, server } = arguments;
    let server = described(server)?;
    let wanted = Publish { certificate, imported, directory, dn, server };
    match session.call(Command::CertPublish(wanted))? {
        Reply::Published(done) => printer.either(&*done, told),
        other => Err(unexpected(&other)),
    }
}

/// The server with what its files hold: where the daemon runs, they may not be there.
fn described(arguments: ServerArgs) -> Result<Option<LdapServer>, Failure> {
    let Some(url) = arguments.ldap else { return Ok(None) };
    let folder = arguments.bind_certificate.as_deref();
    let chain = folder.map(|folder| files::read_pem_or_der(&folder.join("tls.crt"), "CERTIFICATE"));
    let key = folder.map(|folder| files::read_secret_text(&folder.join("tls.key")));
    let ca = arguments.ca.as_deref().map(|path| files::read_pem_or_der(path, "CERTIFICATE"));
    let password = arguments.password_file.as_deref().map(files::read_secret_text);
    let create = arguments.create.map(|create| match create {
        CreateArg::Person => "person".to_owned(),
        CreateArg::Device => "device".to_owned(),
    });
    Ok(Some(LdapServer {
        url,
        start_tls: arguments.start_tls,
        dangerous_plain: arguments.dangerous_plain_ldap,
        ca: ca.transpose()?,
        bind_dn: arguments.bind_dn,
        password: password.transpose()?,
        tls_crt: chain.transpose()?,
        tls_key: key.transpose()?,
        create,
    }))
}

fn told(done: &PublishReport) -> String {
    let mut text = match (&done.serial, done.unchanged) {
        (Some(serial), true) => {
            format!(
                "{}  serial {serial}  is in {} already; nothing was changed.",
                done.name, done.dn
            )
        }
        (None, true) => format!(
            "{}  has no certificate that is good, and none of it is in {}; nothing was changed.",
            done.name, done.dn
        ),
        (Some(serial), false) => format!("{}  serial {serial}  is in {}", done.name, done.dn),
        (None, false) => {
            format!(
                "{}  has no certificate that is good; {} has none of it now",
                done.name, done.dn
            )
        }
    };
    let _ = write!(text, "\n  at {}", done.url);
    if done.created {
        text.push_str("\n  the entry was made");
    }
    for serial in &done.removed {
        let _ = write!(text, "\n  serial {serial} was taken out");
    }
    match done.others {
        0 => {}
        1 => text.push_str("\n  1 other certificate is there, and was left alone"),
        others => {
            let _ = write!(text, "\n  {others} other certificates are there, and were left alone");
        }
    }
    text
}

/// Where a revoked certificate is still to be found, as a line to append.
pub(super) fn still_there(name: &str, at: &PublishedAt) -> String {
    let PublishedAt { url, dn, directory } = at;
    match directory {
        Some(directory) => format!(
            "\nIt was published in the directory {directory}, as {dn}: a running daemon takes it out, \
             and so does `sealock cert publish {name} --directory {directory}`."
        ),
        None => format!(
            "\nIt was published at {url}, in {dn}: `sealock cert publish {name}` again takes it out there."
        ),
    }
}
