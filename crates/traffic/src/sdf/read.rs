//! From the tree to what the original made of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::yaml::{self, Content, Node};
use super::{SdfError, shown};
use crate::forwarder::Destination;

/// The port of an address that has none, to nginx.
const HTTP: u16 = 80;
/// The same of `https://`.
const HTTPS: u16 = 443;
/// The longest path of a socket.
const LONGEST_PATH: usize = 107;

/// An `sdf.yml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sdf {
    /// The service before which a Gatekeeper stood.
    pub gatekeeper: Option<Guarded>,
    /// The services that it called.
    pub forwards: Vec<Forward>,
    /// What was not carried over, and why.
    pub notes: Vec<String>,
}

/// The service before which a Gatekeeper stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// Where calls arrived.
    pub port: u16,
    /// Where the app is; none where that cannot be carried over.
    pub app: Option<App>,
    /// The resource that stood for it: `webservice/production/orders`.
    pub resource: Option<String>,
}

/// Where an app is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum App {
    /// By HTTP.
    Tcp(Destination),
    /// The absolute path of a socket.
    Unix(String),
}

/// A service that was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// By which name.
    pub id: String,
    /// At which address of this host; none where that cannot be carried over.
    pub listen: Option<SocketAddr>,
    /// Where it is.
    pub to: Option<Remote>,
}

/// Where a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Host and port.
    pub at: Destination,
    /// Whether it was reached over TLS.
    pub tls: bool,
}

impl Sdf {
    /// Reads a file.
    ///
    /// # Errors
    /// It is none, or is about nothing.
    pub fn read(bytes: &[u8]) -> Result<Self, SdfError> {
        let mut sdf = Self::default();
        let root = yaml::read(bytes)?;
        for (key, node) in map(&root, "the file")? {
            match (key.as_str(), &node.content) {
                (_, Content::Nothing) => {}
                ("global", _) => sdf.global(node)?,
                ("gatekeeper", _) => sdf.gatekeeper = Some(sdf.guarded(node)?),
                ("forward", Content::List(items)) => {
                    for item in items {
                        let forward = sdf.forward(None, item)?;
                        sdf.add(forward, item.line)?;
                    }
                }
                ("forward", _) => {
                    for (id, item) in map(node, key)? {
                        let forward = sdf.forward(Some(id), item)?;
                        sdf.add(forward, item.line)?;
                    }
                }
                _ => sdf.unknown(key, node),
            }
        }
        match sdf.gatekeeper.is_none() && sdf.forwards.is_empty() {
            true => Err(SdfError::Empty),
            false => Ok(sdf),
        }
    }

    fn note(&mut self, line: usize, text: impl std::fmt::Display) {
        self.notes.push(format!("line {line}: {text}"));
    }

    fn unknown(&mut self, key: &str, node: &Node) {
        self.note(node.line, format_args!("`{}` is not known, and is left out", shown(key)));
    }

    fn global(&mut self, node: &Node) -> Result<(), SdfError> {
        for (key, node) in map(node, "global")? {
            if key != "conjur" {
                self.unknown(key, node);
                continue;
            }
            for (key, node) in map(node, "global.conjur")? {
                match key.as_str() {
                    "hostname" => {
                        let host = shown(text(node, "global.conjur.hostname")?);
                        self.note(node.line, format_args!(
                            "tokens came from Conjur at {host}; here they come from Sealock's broker, at the workload socket or by --broker https://HOST:8443"
                        ));
                    }
                    "certificate_path" => {
                        let path = shown(text(node, "global.conjur.certificate_path")?);
                        self.note(node.line, format_args!(
                            "{path} was Conjur's certificate; here the roots are in ca.crt of --identity"
                        ));
                    }
                    _ => self.unknown(key, node),
                }
            }
        }
        Ok(())
    }

    fn guarded(&mut self, node: &Node) -> Result<Guarded, SdfError> {
        let (mut guarded, mut port, mut service) =
            (Guarded { port: 0, app: None, resource: None }, None, None);
        for (key, value) in map(node, "gatekeeper")? {
            match key.as_str() {
                "port" => port = Some(number(value)?),
                "service" => service = Some(value),
                "conjur_resource" => {
                    guarded.resource = Some(text(value, "gatekeeper.conjur_resource")?.to_owned());
                }
                "conjur_account" => {
                    let account = shown(text(value, "gatekeeper.conjur_account")?);
                    self.note(value.line, format_args!(
                        "Conjur's account {account} has no counterpart: identities are of the trust domain of Sealock's authority"
                    ));
                }
                _ => self.unknown(key, value),
            }
        }
        let missing = |key: &str| SdfError::Missing { line: node.line, key: key.to_owned() };
        guarded.port = port.ok_or_else(|| missing("gatekeeper.port"))?;
        let service = service.ok_or_else(|| missing("gatekeeper.service"))?;
        guarded.app = self.app(service)?;
        Ok(guarded)
    }

    /// `host:port`, `unix:/path` or an URL, and words of nginx after it.
    fn app(&mut self, node: &Node) -> Result<Option<App>, SdfError> {
        let (key, whole) = ("gatekeeper.service", text(node, "gatekeeper.service")?);
        let wrong = SdfError::Wrong {
            line: node.line,
            key: key.to_owned(),
            wanted: "HOST:PORT or unix:/PATH",
        };
        let Some(address) = self.first_word(node.line, key, whole) else { return Err(wrong) };
        if let Some(path) = address.strip_prefix("unix:") {
            let is_path = path.starts_with('/')
                && path.len() <= LONGEST_PATH
                && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\:".contains(&byte));
            return if is_path { Ok(Some(App::Unix(path.to_owned()))) } else { Err(wrong) };
        }
        if address.starts_with("https://") {
            self.note(node.line, "the app was reached over TLS, which a Gatekeeper does not do: it stands beside its app. The Gatekeeper is left out");
            return Ok(None);
        }
        let bare = address.strip_prefix("http://").unwrap_or(address);
        let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
        if !path.is_empty() {
            self.note(
                node.line,
                format_args!("the path `/{}` before the app's own is left out", shown(path)),
            );
        }
        destination(host, HTTP).map(|at| Some(App::Tcp(at))).ok_or(wrong)
    }

    fn forward(&mut self, id: Option<&str>, node: &Node) -> Result<Forward, SdfError> {
        let (mut id, mut listen, mut service) = (id.map(str::to_owned), None, None);
        for (key, value) in map(node, "forward")? {
            match key.as_str() {
                "id" if id.is_none() => id = Some(text(value, "forward.id")?.to_owned()),
                "listen" => listen = Some(value),
                "service" => service = Some(value),
                _ => self.unknown(key, value),
            }
        }
        let missing =
            |key: &str| SdfError::Missing { line: node.line, key: format!("forward.{key}") };
        let id = id.ok_or_else(|| missing("id"))?;
        let listen = self.listen(listen.ok_or_else(|| missing("listen"))?)?;
        let to = self.remote(service.ok_or_else(|| missing("service"))?)?;
        Ok(Forward { id, listen, to })
    }

    fn add(&mut self, forward: Forward, line: usize) -> Result<(), SdfError> {
        if self.forwards.iter().any(|known| known.id == forward.id) {
            return Err(SdfError::Twice { line, key: shown(&forward.id) });
        }
        self.forwards.push(forward);
        Ok(())
    }

    /// An address of nginx's: `PORT`, `ADDRESS`, `ADDRESS:PORT`, `*:PORT` or `unix:…`, and words after it.
    fn listen(&mut self, node: &Node) -> Result<Option<SocketAddr>, SdfError> {
        let (key, whole) = ("forward.listen", text(node, "forward.listen")?);
        let wrong = || SdfError::Wrong {
            line: node.line,
            key: key.to_owned(),
            wanted: "ADDRESS, PORT or ADDRESS:PORT",
        };
        let word = self.first_word(node.line, key, whole).ok_or_else(wrong)?;
        if word.starts_with("unix:") {
            self.note(
                node.line,
                "a Forwarder listens at addresses, not at a socket: this forward is left out",
            );
            return Ok(None);
        }
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let bare = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')).unwrap_or(word);
        let at = if let Ok(port) = word.parse::<u16>() {
            SocketAddr::new(any, port)
        } else if let Ok(address) = bare.parse::<IpAddr>() {
            SocketAddr::new(address, HTTP)
        } else if let Ok(at) = word.parse::<SocketAddr>() {
            at
        } else {
            let (host, port) = word.split_once(':').unwrap_or((word, "80"));
            let port = port.parse().map_err(|_| wrong())?;
            match host {
                "*" => SocketAddr::new(any, port),
                "localhost" => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
                _ => return Err(wrong()),
            }
        };
        if at.port() == 0 {
            return Err(wrong());
        }
        if at.ip().to_canonical().is_loopback() {
            return Ok(Some(at));
        }
        let here = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), at.port());
        self.note(node.line, format_args!(
            "it listened at {at}; a Forwarder serves programs of its own host only, so it listens at {here}: share the app's network namespace"
        ));
        Ok(Some(here))
    }

    fn remote(&mut self, node: &Node) -> Result<Option<Remote>, SdfError> {
        let (key, whole) = ("forward.service", text(node, "forward.service")?);
        let wrong = || SdfError::Wrong {
            line: node.line,
            key: key.to_owned(),
            wanted: "https://HOST[:PORT] or HOST:PORT",
        };
        let word = self.first_word(node.line, key, whole).ok_or_else(wrong)?;
        if word.starts_with("unix:") {
            self.note(node.line, "a service behind a socket has no Gatekeeper that could be dialled: its address is left out");
            return Ok(None);
        }
        let (tls, bare) = match (word.strip_prefix("https://"), word.strip_prefix("http://")) {
            (Some(bare), _) => (true, bare),
            (None, Some(bare)) => (false, bare),
            (None, None) => (false, word),
        };
        let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
        if !path.is_empty() {
            self.note(node.line, format_args!(
                "the path `/{}` before that of each call is left out: the app has to ask for it", shown(path)
            ));
        }
        let at = destination(host, if tls { HTTPS } else { HTTP }).ok_or_else(wrong)?;
        Ok(Some(Remote { at, tls }))
    }

    /// The first word; those that nginx took after it are noted.
    fn first_word<'t>(&mut self, line: usize, key: &str, whole: &'t str) -> Option<&'t str> {
        let mut words = whole.split_whitespace();
        let first = words.next();
        let rest: Vec<&str> = words.collect();
        if !rest.is_empty() {
            let rest = shown(&rest.join(" "));
            self.note(line, format_args!("`{rest}` of `{key}` is nginx's, and is left out"));
        }
        first
    }
}

/// With a port that is added where it has none.
fn destination(text: &str, usual: u16) -> Option<Destination> {
    let with_port = || format!("{text}:{usual}").parse().ok();
    text.parse().ok().or_else(with_port)
}

fn map<'n>(node: &'n Node, key: &str) -> Result<&'n [(String, Node)], SdfError> {
    match &node.content {
        Content::Map(entries) => Ok(entries),
        _ => Err(SdfError::Wrong { line: node.line, key: shown(key), wanted: "a map" }),
    }
}

fn text<'n>(node: &'n Node, key: &str) -> Result<&'n str, SdfError> {
    match &node.content {
        Content::Text(text) if !text.trim().is_empty() => Ok(text.trim()),
        _ => Err(SdfError::Wrong { line: node.line, key: shown(key), wanted: "a text" }),
    }
}

fn number(node: &Node) -> Result<u16, SdfError> {
    let wrong =
        || SdfError::Wrong { line: node.line, key: "gatekeeper.port".to_owned(), wanted: "a port" };
    let digits = text(node, "gatekeeper.port").map_err(|_| wrong())?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|port| is_number && *port != 0).ok_or_else(wrong)
}
