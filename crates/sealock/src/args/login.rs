//! Arguments of `login` and `logout`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use sealock_core::span::parse_span;

/// `sealock login`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
On a person's machine: a key is made there and stays there, and a certificate for it comes from the server, for hours.
Either an administrator is told the code that is shown, and confirms it; or they gave a code before, on the host, with
`sealock login invite USER`. The certificate lies in ~/.config/sealock/sites, a folder for each server.

Examples:
  sealock login --server https://host.corp.example:8443 --fingerprint 3f9a…   # shows a code, and waits
  sealock login confirm BCDF-GHJK --as alice                                 # on the host
  sealock login invite alice > code                                          # on the host
  sealock login --server https://host.corp.example:8443 --code-file code
  sealock login --renew"
)]
pub(crate) struct LoginArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LoginCommand>,
    /// The server: https://HOST:PORT, the API of `sealock up`
    #[arg(long, value_name = "URL", value_parser = server)]
    pub(crate) server: Option<String>,
    /// Trust the roots in this file: `sealock ca bundle --own`
    #[arg(long, value_name = "FILE", conflicts_with = "fingerprint")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Trust the root with this SHA-256: `sealock ca show`
    #[arg(long, value_name = "SHA256", value_parser = fingerprint)]
    pub(crate) fingerprint: Option<[u8; 32]>,
    /// Take the code of an invitation from this file (- for stdin)
    #[arg(long, value_name = "FILE", conflicts_with = "code")]
    pub(crate) code_file: Option<PathBuf>,
    /// Ask for the code of an invitation
    #[arg(long)]
    pub(crate) code: bool,
    /// Who you say you are [default: your name on this machine]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["code", "code_file"])]
    pub(crate) user: Option<String>,
    /// Put the files there [default: ~/.config/sealock/sites/ and the server]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Renew the certificate there is, while it is good
    #[arg(long, conflicts_with_all = ["code", "code_file", "user", "ca_file", "fingerprint"])]
    pub(crate) renew: bool,
}

/// `sealock login …`
#[derive(Debug, Subcommand)]
pub(crate) enum LoginCommand {
    /// Who waits to be let in, and who has a code
    List,
    /// Let somebody in who has told you a code
    Confirm(LoginConfirmArgs),
    /// Turn somebody away, or end a person's logins
    Deny(LoginDenyArgs),
    /// Make a code with which a person gets a certificate, once
    Invite(LoginInviteArgs),
}

/// `sealock login confirm`
#[derive(Debug, Args)]
#[command(after_help = "\
Anybody can have a code shown, and say they are somebody else. Confirm only what the person has told you themselves, in
a way by which you know them; never what came by mail.")]
pub(crate) struct LoginConfirmArgs {
    /// The code that their program shows
    pub(crate) code: String,
    /// Who they are, as you know by yourself. Without it you are shown who they say they are, and nothing is confirmed
    #[arg(long = "as", value_name = "USER")]
    pub(crate) user: Option<String>,
    /// How long their certificate lives, at most 7d [default: 12h]
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) life: Option<Duration>,
    /// Put them into this group of the policy (repeatable)
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Vec<String>,
}

/// `sealock login deny`
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct LoginDenyArgs {
    /// The code that their program shows
    pub(crate) code: Option<String>,
    /// Make this person's codes worth nothing, and renew their certificates no more
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
}

/// `sealock login invite`
#[derive(Debug, Args)]
#[command(after_help = "\
The code is a secret: whoever has it is that person, once. It also says by which root the server is known, so nothing
else has to be brought along.")]
pub(crate) struct LoginInviteArgs {
    /// Who is invited
    pub(crate) user: String,
    /// How long the code is good, at most 7d [default: 15m]
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) ttl: Option<Duration>,
    /// How long their certificate lives, at most 7d [default: 12h]
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) life: Option<Duration>,
    /// Put them into this group of the policy (repeatable)
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Vec<String>,
    /// Write the code to a file (0600) instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// `sealock logout`
#[derive(Debug, Args)]
#[command(after_help = "\
The key and the certificate are removed from this machine. To make a certificate worth nothing that others may have:
`sealock cert revoke` and `sealock login deny --user` on the host.")]
pub(crate) struct LogoutArgs {
    /// From this server [default: the only one there is]
    #[arg(long, value_name = "URL", value_parser = server)]
    pub(crate) server: Option<String>,
    /// The folder, where it was named at the login
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    pub(crate) out: Option<PathBuf>,
}

/// `host:port`; the port is 8443 where none is named.
fn server(text: &str) -> Result<String, String> {
    let wrong = || "must be https://HOST:PORT".to_owned();
    let rest = text.strip_prefix("https://").ok_or_else(wrong)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let has_port = rest.rsplit_once(':').is_some_and(|(host, port)| {
        !port.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && (!host.contains(':') || host.ends_with(']'))
    });
    let whole = if has_port { rest.to_owned() } else { format!("{rest}:8443") };
    super::traffic::address(&whole).ok_or_else(wrong)
}

/// Hex, with colons or without.
fn fingerprint(text: &str) -> Result<[u8; 32], String> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| "must be 64 hex digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_and_a_fingerprint_are_read_as_people_write_them() {
        for (text, whole) in [
            ("https://host.example", "host.example:8443"),
            ("https://host.example:1/", "host.example:1"),
            ("https://[::1]", "[::1]:8443"),
            ("https://[::1]:99", "[::1]:99"),
        ] {
            assert_eq!(server(text).as_deref(), Ok(whole), "{text}");
        }
        for bad in ["http://h:1", "h:1", "https://", "https://h:0", "https://h/x", "https://u@h:1"]
        {
            assert!(server(bad).is_err(), "{bad}");
        }
        let colons = ["aB"; 32].join(":");
        assert_eq!(fingerprint(&colons), Ok([0xab; 32]));
        assert!(fingerprint("ab").is_err() && fingerprint(&"x".repeat(64)).is_err());
    }
}
