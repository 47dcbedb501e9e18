//! Transparent mode: the ports that the kernel brings connections to, and the rules by which it does.
//!
//! The rules are set by `nft`, the kernel's own tool, from a text on its standard input: one transaction, in a table of
//! its own. They are set when we listen, and removed before we end. If we are killed they stay, and connections are
//! refused by the kernel until the next start sets them again: an app is never let past us by our death.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::{Output, Stdio};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt::Mark};
use sealock_net::Shutdown;
use sealock_traffic::forwarder::{Exempt, Rules};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::Command;
use tokio::time::timeout;

use super::bound;
use super::options::{Site, Transparent};
use crate::error::{ErrorCode, ServiceError};

/// Where `nft` is. What the environment says is not asked: it runs with all our privileges.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// For it to set a table of five rules.
const SETTING: Duration = Duration::from_secs(10);

/// The ports. The kernel brings IPv4 to `127.0.0.1` and IPv6 to `::1`; on a host without IPv6 there is one.
pub(super) async fn listeners(transparent: &Transparent) -> Result<Vec<TcpListener>, ServiceError> {
    let address = transparent.listen;
    if !address.ip().is_loopback() {
        let text = format!("connections are brought to the loopback, and {address} is not on it");
        return Err(ServiceError::new(ErrorCode::Usage, text)
            .hint("--transparent 127.0.0.1:15001, or nothing but --transparent"));
    }
    let first = bound(address).await?;
    let mut all = vec![first];
    if let (IpAddr::V4(_), Some(Ok(taken))) =
        (address.ip(), all.first().map(TcpListener::local_addr))
    {
        let other = SocketAddr::from((Ipv6Addr::LOCALHOST, taken.port()));
        match TcpListener::bind(other).await {
            Ok(listener) => all.push(listener),
            // Rules bring IPv6 to a port where nobody is, and it is refused.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                tracing::info!("there is no IPv6 here");
            }
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                tracing::info!("there is no IPv6 here");
            }
            Err(error) => {
                return Err(ServiceError::new(
                    ErrorCode::Failed,
                    format!("cannot listen on {other}"),
                )
                .caused_by(&error)
                .hint("name another port"));
            }
        }
    }
    Ok(all)
}

/// The rules that bring connections to `port`.
///
/// # Errors
/// It cannot be told which connections are our own.
pub fn rules(transparent: &Transparent, port: u16) -> Result<Rules, ServiceError> {
    let uid = rustix::process::geteuid();
    let exempt = match transparent.exempt {
        Some(Exempt::Mark(0)) => {
            return Err(ServiceError::new(ErrorCode::Usage, "every connection has the mark 0"));
        }
        Some(exempt) => exempt,
        None if uid.is_root() => {
            let text = "as root our connections cannot be told from those of apps that run as root";
            return Err(ServiceError::new(ErrorCode::Usage, text).hint(
                "run as a user of its own; or --exempt uid:N where the Forwarder is that user, \
                 or --exempt mark:0x5ea1",
            ));
        }
        None => Exempt::Uid(uid.as_raw()),
    };
    if transparent.ports.contains(&0) || transparent.ports.is_empty() {
        return Err(ServiceError::new(ErrorCode::Usage, "there is no port to take connections of"));
    }
    Ok(Rules { to: port, ports: transparent.ports.clone(), exempt })
}

/// Whether our own connections will be known as such: the broker is called without a mark.
pub(super) fn check_mark(transparent: &Transparent, sites: &[Site]) -> Result<(), ServiceError> {
    let Some(Exempt::Mark(mark)) = transparent.exempt else { return Ok(()) };
    let port = |site: &Site| site.asker.address()?.rsplit_once(':')?.1.parse::<u16>().ok();
    if let Some(port) = sites.iter().filter_map(port).find(|it| transparent.ports.contains(it)) {
        let text = format!("the broker's port {port} is among those whose connections are taken");
        return Err(ServiceError::new(ErrorCode::Usage, text)
            .hint("calls of the broker carry no mark: tell ours by --exempt uid:N"));
    }
    let marked = TcpSocket::new_v4()
        .and_then(|socket| setsockopt(&socket, Mark, &mark).map_err(io::Error::from));
    marked.map_err(|error| {
        ServiceError::new(ErrorCode::Failed, "our connections cannot be marked")
            .caused_by(&error)
            .hint("a mark takes CAP_NET_ADMIN; or tell ours by --exempt uid:N")
    })
}

/// Sets them, for as long as we run.
pub(super) async fn set(rules: &Rules) -> Result<(), ServiceError> {
    nft(&rules.to_string()).await
}

/// Removes them at the end.
pub(super) async fn remove_at_end(shutdown: Shutdown) {
    shutdown.triggered().await;
    if let Err(error) = nft(&Rules::removal()).await {
        tracing::error!(%error, causes = ?error.causes, "the rules stay: connections are refused from now on");
    }
}

async fn nft(text: &str) -> Result<(), ServiceError> {
    let failed = |error: &io::Error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let hint = match missing {
            true => {
                "install nftables; or set them from outside: --print-rules, then `nft -f -` in this namespace"
            }
            false => "or set them from outside: --print-rules, then `nft -f -` in this namespace",
        };
        ServiceError::new(ErrorCode::Failed, "nft cannot be started").caused_by(error).hint(hint)
    };
    let output = match timeout(SETTING, run(text)).await {
        Ok(output) => output.map_err(|error| failed(&error))?,
        Err(_) => {
            return Err(ServiceError::new(ErrorCode::Failed, "nft does not come to an end"));
        }
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default().to_owned();
    Err(ServiceError::new(ErrorCode::Failed, "the rules cannot be set")
        .caused_by(&io::Error::other(said))
        .hint("it takes CAP_NET_ADMIN in this network namespace, and nf_tables in the kernel"))
}

async fn run(text: &str) -> io::Result<Output> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .env_clear()
        .env("PATH", PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends before it has read all says why.
        let _ = stdin.write_all(text.as_bytes()).await;
    }
    child.wait_with_output().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::{Asker, IdentityFolder, Link};

    fn code(transparent: &Transparent) -> Option<ErrorCode> {
        rules(transparent, 15001).err().map(|error| error.code)
    }

    #[test]
    fn what_tells_nobody_apart_is_refused() {
        let with = |exempt| Transparent { exempt, ..Transparent::default() };
        assert_eq!(code(&with(Some(Exempt::Uid(1)))), None);
        assert_eq!(code(&with(Some(Exempt::Mark(1)))), None);
        assert_eq!(code(&with(Some(Exempt::Mark(0)))), Some(ErrorCode::Usage));
        let is_root = rustix::process::geteuid().is_root();
        assert_eq!(code(&with(None)).is_some(), is_root);
        let none = Transparent { ports: Vec::new(), ..with(Some(Exempt::Uid(1))) };
        assert_eq!(code(&none), Some(ErrorCode::Usage));
    }

    #[test]
    fn a_broker_whose_port_is_taken_cannot_be_told_by_a_mark() {
        let site = |address: &str| Site {
            asker: Asker::Link(Link::Https(address.to_owned(), IdentityFolder("x".into()))),
            identity: None,
            services: Vec::new(),
            learn: false,
        };
        let marked = Transparent {
            exempt: Some(Exempt::Mark(1)),
            ports: vec![80, 8443],
            ..Transparent::default()
        };
        let error = check_mark(&marked, &[site("a:1"), site("broker:8443")]).unwrap_err();
        assert_eq!(error.code, ErrorCode::Usage);
        let by_user = Transparent { exempt: Some(Exempt::Uid(1)), ..marked };
        assert!(check_mark(&by_user, &[site("broker:8443")]).is_ok());
    }
}
