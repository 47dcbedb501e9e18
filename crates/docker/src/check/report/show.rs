//! The report, for people.

use std::fmt::{self, Display, Formatter};

use super::{Mode, Outcome, Probe, Report};
use crate::check::certificate::ServerCertificate;
use crate::check::unix::SocketAccess;

impl Display for Mode {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
            Self::Tlsverify => "tlsverify",
            Self::Gateway => "gateway",
            Self::Unix => "unix",
            Self::Unknown => "unknown",
        })
    }
}

impl Display for Probe {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Socket => "the socket",
            Self::PlainHttp => "plain HTTP",
            Self::TlsWithoutCertificate => "TLS without a certificate",
            Self::TlsStranger => "a stranger's certificate",
            Self::TlsExpired => "the expired certificate",
            Self::TlsRevoked => "the revoked certificate",
            Self::TlsValid => "the valid certificate",
        })
    }
}

impl Display for Outcome {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { status, api_version, server } => {
                write!(formatter, "accepted: {status}")?;
                if let Some(version) = api_version {
                    write!(formatter, ", API {version}")?;
                }
                server.as_ref().map_or(Ok(()), |server| write!(formatter, ", {server}"))
            }
            Self::Refused { alert } => write!(formatter, "refused in the handshake: {alert}"),
            Self::Status { status, message } => {
                write!(formatter, "refused: {status}")?;
                message.as_ref().map_or(Ok(()), |message| write!(formatter, ", {message}"))
            }
            Self::Closed => formatter.write_str("closed without a word"),
            Self::TimedOut => formatter.write_str("no answer in time"),
            Self::NotTls => formatter.write_str("no TLS is spoken"),
            Self::NotHttp => formatter.write_str("no HTTP is spoken"),
            Self::Failed { reason } => write!(formatter, "failed: {reason}"),
        }
    }
}

impl Display for Report {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}: {}, {}", self.endpoint, self.mode, self.meaning)?;
        writeln!(formatter, "\ntried")?;
        for tried in &self.probes {
            writeln!(formatter, "  {:<26} {}", tried.probe, tried.outcome)?;
        }
        if let Some(server) = &self.server {
            server.fmt(formatter)?;
        }
        if let Some(socket) = &self.socket {
            socket.fmt(formatter)?;
        }
        if !self.clients.is_empty() {
            writeln!(formatter, "\ndocker clients with")?;
        }
        for client in &self.clients {
            writeln!(formatter, "  {:<36} {}", client.mode.to_string(), client.sentence)?;
        }
        let verdict = match (self.stranger_gets_in, self.former_gets_in) {
            (true, _) => "a stranger gets in",
            (false, true) => "a certificate gets in that should no longer",
            (false, false) if self.mode == Mode::Unknown => "no stranger got in that was tried",
            (false, false) => "no stranger gets in",
        };
        writeln!(formatter, "\n{verdict}")
    }
}

impl Display for ServerCertificate {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "\nserver certificate")?;
        writeln!(formatter, "  subject   {}", self.subject)?;
        writeln!(formatter, "  issuer    {}", self.issuer)?;
        let among = if self.name_matches { "is" } else { "IS NOT" };
        let names = self.names.join(", ");
        writeln!(formatter, "  names     {names} (the name dialled {among} among them)")?;
        writeln!(formatter, "  valid     to {}, {} days left", self.not_after, self.days_left)?;
        let order = if self.chain_in_order { "" } else { " (NOT in order)" };
        writeln!(formatter, "  chain     {}{order}", self.chain.join(" < "))?;
        if let Some(issuer) = &self.issuer_not_sent {
            writeln!(formatter, "            under {issuer}, which was not sent")?;
        }
        match (self.verified, &self.verify_error) {
            (Some(true), _) => writeln!(formatter, "  verified  under the given authority")?,
            (Some(false), Some(error)) => writeln!(formatter, "  verified  NO: {error}")?,
            _ => writeln!(formatter, "  verified  not tried: no authority was given")?,
        }
        if !self.key_proven {
            writeln!(formatter, "  key       NOT proven: the handshake's signature does not hold")?;
        }
        Ok(())
    }
}

impl Display for SocketAccess {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "\nwho may connect")?;
        writeln!(formatter, "  owner     {}", self.owner)?;
        writeln!(formatter, "  group     {} ({})", self.group, self.members.join(", "))?;
        writeln!(formatter, "  mode      {}", self.mode)?;
        let others = if self.anybody { "ANYBODY on this host" } else { "may not" };
        writeln!(formatter, "  others    {others}")
    }
}
