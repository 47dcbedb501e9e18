//! `sealock login …` and `sealock logout`

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use sealock_control::client::login::{LoginFiles, LoginServer};
use sealock_control::client::site::Site;
use sealock_control::command::{
    Command, LoginConfirm, LoginConfirmed, LoginDeny, LoginInvite, Logins, Reply,
};
use sealock_control::config::Environment;
use sealock_control::login_code::FirstCode;
use sealock_core::span::format_span;
use sealock_core::{Clock, IdentityKind, SystemClock, Timestamp};
use serde_json::json;
use zeroize::Zeroizing;

use super::files;
use super::passphrase::prompt_for;
use super::session::{Session, unexpected};
use crate::args::{
    Global, LoginArgs, LoginCommand, LoginConfirmArgs, LoginDenyArgs, LoginInviteArgs, LogoutArgs,
};
use crate::printer::{Failure, Printer, Table};

/// A code is not longer.
const LONGEST: u64 = 1024;
/// Between two looks at whether a login is to be renewed.
const LOOK: std::time::Duration = std::time::Duration::from_secs(60);

/// Runs `login` or one of its commands.
pub(crate) fn run(arguments: LoginArgs, global: &Global, printer: Printer) -> Result<(), Failure> {
    match arguments.command {
        None if arguments.renew => renew(&arguments, printer),
        None => log_in(&arguments, printer),
        Some(command) => host(command, &Session::open(global)?, printer),
    }
}

/// What is done on the host.
fn host(command: LoginCommand, session: &Session, printer: Printer) -> Result<(), Failure> {
    match command {
        LoginCommand::List => match session.call(Command::LoginList)? {
            Reply::Logins(logins) => printer.either(&*logins, listed),
            other => Err(unexpected(&other)),
        },
        LoginCommand::Confirm(LoginConfirmArgs { code, user, life, group }) => {
            let life = life.map(|life| life.as_secs());
            let wanted = LoginConfirm { code, user, life };
            let confirmed = match session.call(Command::LoginConfirm(wanted))? {
                Reply::LoginConfirmed(confirmed) => *confirmed,
                other => return Err(unexpected(&other)),
            };
            into_groups(&confirmed.user, group, session, printer)?;
            printer.either(&confirmed, let_in)
        }
        LoginCommand::Deny(LoginDenyArgs { code, user }) => {
            let (what, said) = match (code, user) {
                (Some(code), _) => (LoginDeny::Code(code), "They are turned away.".to_owned()),
                (None, Some(user)) => {
                    let said = format!(
                        "The codes of {user} are worth nothing, and nothing of theirs is renewed. \
                         What they have is good until it expires: `sealock cert revoke` ends it."
                    );
                    (LoginDeny::User(user), said)
                }
                (None, None) => return Err(Failure::usage("who is it?")),
            };
            match session.call(Command::LoginDeny(what))? {
                Reply::Done => {
                    printer.note(said);
                    Ok(())
                }
                other => Err(unexpected(&other)),
            }
        }
        LoginCommand::Invite(arguments) => invite(arguments, session, printer),
    }
}

fn invite(arguments: LoginInviteArgs, session: &Session, printer: Printer) -> Result<(), Failure> {
    let LoginInviteArgs { user, ttl, life, group, output } = arguments;
    let seconds = |span: Option<std::time::Duration>| span.map(|span| span.as_secs());
    let wanted = LoginInvite { user, ttl: seconds(ttl), life: seconds(life) };
    let made = match session.call(Command::LoginInvite(wanted))? {
        Reply::LoginInvited(made) => *made,
        other => return Err(unexpected(&other)),
    };
    into_groups(&made.user, group, session, printer)?;
    let bytes = made.code.bytes().expose();
    match output {
        Some(path) => files::write(&path, bytes, 0o600)?,
        None if printer.json() => return printer.value(&made),
        None => {
            printer.data(bytes)?;
            printer.data(b"\n")?;
        }
    }
    printer.note(format!("It is {} once, until {}.", made.user, made.until.to_rfc3339()));
    Ok(())
}

fn into_groups(
    user: &str,
    groups: Vec<String>,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let name = user.rsplit('/').next().unwrap_or(user);
    for group in groups {
        let (kind, name) = (IdentityKind::Human, name.to_owned());
        match session.call(Command::GroupAdd { kind, name: name.clone(), group: group.clone() })? {
            Reply::Done => printer.note(format!("human/{name} is in the group {group}.")),
            other => return Err(unexpected(&other)),
        }
    }
    Ok(())
}

/// What is done on a person's machine.
fn log_in(arguments: &LoginArgs, printer: Printer) -> Result<(), Failure> {
    let address = arguments.server.clone().ok_or_else(|| {
        Failure::usage("where do you want to log in?")
            .hint("sealock login --server https://HOST:8443")
    })?;
    let code = code(arguments)?;
    let site = match &arguments.out {
        Some(out) => Site(out.clone()),
        None => Site::of(&sites()?, &address),
    };
    let known = site.address().as_deref() == Some(address.as_str());
    wait(async {
        let server = match (&arguments.ca_file, arguments.fingerprint, &code) {
            (Some(file), ..) => LoginServer::with_ca(address, file).await?,
            (None, Some(fingerprint), _) => {
                LoginServer::with_fingerprint(address, fingerprint).await?
            }
            (None, None, Some(code)) => LoginServer::with_fingerprint(address, code.root()).await?,
            (None, None, None) if known => LoginServer::with_ca(address, &site.ca()).await?,
            (None, None, None) => {
                return Err(Failure::usage("by what is the server known to be the right one?").hint(
                    "--fingerprint SHA256 (`sealock ca show` on the host), --ca-file FILE, or a code of `sealock login invite`",
                ));
            }
        };
        let made = match code {
            Some(code) => server.enrol_first(&code).await?,
            None => {
                let user = arguments.user.clone().or_else(own_name);
                let begun = server.begin(user.as_deref()).await?;
                // On stderr, so that stdout has only what was asked for.
                printer.note(format!(
                    "Your code is {}\nTell it to an administrator of the host who knows you, and lets you in with\n  \
                     sealock login confirm {} --as {}\n({})",
                    begun.user_code,
                    begun.user_code,
                    user.as_deref().unwrap_or("NAME"),
                    begun.verification_uri
                ));
                let code = server.wait(&begun).await?;
                server.enrol(&code).await?
            }
        };
        site.save(&made)?;
        told(&site, &made, printer)
    })
}

fn renew(arguments: &LoginArgs, printer: Printer) -> Result<(), Failure> {
    let site = existing(arguments.server.as_deref(), arguments.out.as_deref())?;
    let made = wait(async { site.renew().await.map_err(Failure::from) })?;
    told(&site, &made, printer)
}

/// `sealock logout`
pub(crate) fn out(arguments: &LogoutArgs, printer: Printer) -> Result<(), Failure> {
    let site = existing(arguments.server.as_deref(), arguments.out.as_deref())?;
    site.remove()?;
    printer.note(format!("The login at {} is removed.", site.0.display()));
    Ok(())
}

/// Renews a login as long as the process lives; what cannot be renewed now is tried again.
pub(crate) async fn keep(site: Site) {
    let mut complained = false;
    loop {
        match site.renew_when_due(SystemClock.now()).await {
            Ok(true) => tracing::info!("the login is renewed"),
            Ok(false) => complained = false,
            Err(error) if !complained => {
                complained = true;
                tracing::warn!(%error, causes = ?error.causes, "the login is not renewed");
            }
            Err(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn told(site: &Site, made: &LoginFiles, printer: Printer) -> Result<(), Failure> {
    let folder = site.0.display();
    if printer.json() {
        return printer.value(&json!({
            "identity": made.identity, "not_after": made.not_after, "folder": site.0,
            "server": format!("https://{}", made.address),
        }));
    }
    let left = format_span(made.not_after.since(SystemClock.now()));
    printer.line(format!("You are {} for {left}. The files are in {folder}", made.identity))?;
    printer.note(format!(
        "Next:\n  sealock forwarder --listen 127.0.0.1:3128 --identity {folder} --service NAME=HOST:PORT\n  \
         sealock token --identity {folder} --audience SERVICE\n  sealock login --renew"
    ));
    Ok(())
}

/// The login that is meant.
fn existing(server: Option<&str>, out: Option<&Path>) -> Result<Site, Failure> {
    if let Some(out) = out {
        return Ok(Site(out.to_owned()));
    }
    let sites = sites()?;
    if let Some(server) = server {
        return Ok(Site::of(&sites, server));
    }
    let mut all = Site::all(&sites);
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(Failure::refused("there is no login on this machine")
            .hint("sealock login --server https://HOST:8443")),
        (Some(_), false) => {
            Err(Failure::usage("there are logins at several servers")
                .hint("name one with --server"))
        }
    }
}

/// Where logins lie (XDG Base Directory).
fn sites() -> Result<PathBuf, Failure> {
    let environment = Environment::of_process();
    let absolute =
        |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    let base = base.ok_or_else(|| {
        Failure::usage("there is no home folder for a login").hint("name a folder with --out")
    })?;
    Ok(base.join("sealock/sites"))
}

fn own_name() -> Option<String> {
    let environment = Environment::of_process();
    let name = environment.get("USER").or_else(|| environment.get("LOGNAME"));
    name.map(str::to_owned).filter(|name| name != "root")
}

/// The code of an invitation: from a file, from stdin, or typed without being shown.
fn code(arguments: &LoginArgs) -> Result<Option<FirstCode>, Failure> {
    let hint = "give --code-file FILE, or - for stdin";
    let bytes = match &arguments.code_file {
        Some(path) if path == Path::new("-") => read(std::io::stdin().lock())?,
        Some(path) => {
            let file = std::fs::File::open(path).map_err(|error| {
                Failure::refused(format!("cannot read {}", path.display())).caused_by(&error)
            })?;
            read(file)?
        }
        None if arguments.code && std::io::stdin().is_terminal() => {
            let typed = prompt_for("code", "Code: ", hint)?;
            Zeroizing::new(typed.expose().to_vec())
        }
        None if arguments.code => read(std::io::stdin().lock())?,
        None => return Ok(None),
    };
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let code = text.parse::<FirstCode>();
    code.map(Some).map_err(|error| Failure::usage(error.to_string()).hint("copy it whole"))
}

fn read(from: impl Read) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST as usize));
    from.take(LONGEST)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::refused("cannot read the code").caused_by(&error))?;
    Ok(bytes)
}

fn wait<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::fault("cannot start the runtime").caused_by(&error))?;
    runtime.block_on(work)
}

fn let_in(confirmed: &LoginConfirmed) -> String {
    let LoginConfirmed { user, waiting, life } = confirmed;
    let life = format_span(std::time::Duration::from_secs(*life));
    format!("{user} is let in for {life}: {} at {}.", waiting.client, waiting.origin)
}

fn listed(logins: &Logins) -> String {
    let mut waiting = Table::new(&["CODE", "SAYS TO BE", "PROGRAM", "FROM", "SINCE"]);
    for login in &logins.waiting {
        let wanted = login.wanted.clone().unwrap_or_default();
        let since = login.since.to_rfc3339();
        let cells = [&login.code, &wanted, &login.client, &login.origin, &since];
        waiting.row(cells.map(Clone::clone));
    }
    let mut codes = Table::new(&["CODE FOR", "BY", "GOOD UNTIL"]);
    for code in &logins.codes {
        let until = Timestamp::to_rfc3339(code.until);
        codes.row([&code.user, &code.by, &until].map(Clone::clone));
    }
    match (waiting.is_empty(), codes.is_empty()) {
        (true, true) => "Nobody waits, and there are no codes.".to_owned(),
        (false, true) => waiting.render(),
        (true, false) => codes.render(),
        (false, false) => format!("{}\n\n{}", waiting.render(), codes.render()),
    }
}
