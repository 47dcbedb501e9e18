//! The settings file of a Forwarder: what its flags say, and several sites. TOML, as all settings; what is not known is an
//! error. Relative paths are from the file's folder.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sealock_control::forward::{
    Asker, Exempt, ForwardOptions, IdentityFolder, Intercept, ServiceAt, Site, Transparent,
};
use sealock_control::state::read_small;
use sealock_core::TrustDomain;
use serde::Deserialize;

use super::{as_ourselves, broker_of};
use crate::args::{Broker, broker, exempt};
use crate::printer::Failure;

/// A settings file is not longer than this.
const LONGEST: u64 = 1 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    #[serde(default = "yes")]
    access_log: bool,
    #[serde(default)]
    routes: BTreeMap<SocketAddr, String>,
    #[serde(default)]
    pass: Vec<String>,
    #[serde(default)]
    connect: Vec<String>,
    #[serde(default)]
    intercept: InterceptTable,
    transparent: Option<TransparentTable>,
    #[serde(default)]
    sites: Vec<SiteTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct InterceptTable {
    ca_out: Option<PathBuf>,
    #[serde(default)]
    hosts: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TransparentTable {
    listen: Option<SocketAddr>,
    ports: Option<Vec<u16>>,
    exempt: Option<String>,
    #[serde(default)]
    set_rules: bool,
    #[serde(default)]
    direct: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteTable {
    broker: Option<String>,
    identity: Option<PathBuf>,
    client: Option<String>,
    secret_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    trust_domain: Option<String>,
    /// Whether services are called too that the broker knows; for the only site, unless it says no.
    directory: Option<bool>,
    #[serde(default)]
    services: Vec<ServiceTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceTable {
    name: String,
    service: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    instances: Vec<String>,
    #[serde(default)]
    plain: bool,
}

const fn yes() -> bool {
    true
}

/// Reads it.
pub(super) fn read(path: &Path) -> Result<ForwardOptions, Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::usage(format!("cannot read the settings in {}: {error}", path.display()))
            .hint("name a readable file with --config FILE")
    };
    let bytes = read_small(path, LONGEST).map_err(|error| failed(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| failed(&error))?;
    parse(&text, path.parent().unwrap_or(Path::new("."))).map_err(|reason| {
        Failure::usage(format!("{}: {reason}", path.display()))
            .hint("`sealock forwarder --help`, and the guide on calls between services")
    })
}

/// `folder` is that of the file.
fn parse(text: &str, folder: &Path) -> Result<ForwardOptions, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..text.floor_char_boundary(at)).unwrap_or_default();
        format!("line {}: {}", line.matches('\n').count() + 1, error.message())
    })?;
    let transparent = file.transparent.map(transparent).transpose()?;
    let is_alone = file.sites.len() == 1;
    let sites: Result<_, _> = file.sites.into_iter().map(|it| site(it, folder, is_alone)).collect();
    Ok(ForwardOptions {
        proxy: file.listen,
        routes: file.routes.into_iter().collect(),
        transparent,
        sites: sites?,
        pass: file.pass,
        connect: file.connect,
        intercept: Intercept {
            hosts: file.intercept.hosts.into_iter().collect(),
            authority: file.intercept.ca_out.map(|path| folder.join(path)),
        },
        access_log: file.access_log,
        metrics: file.metrics,
    })
}

fn transparent(table: TransparentTable) -> Result<Transparent, String> {
    let usual = Transparent::default();
    let exempt: Option<Exempt> = table.exempt.as_deref().map(exempt).transpose()?;
    Ok(Transparent {
        listen: table.listen.unwrap_or(usual.listen),
        ports: table.ports.unwrap_or(usual.ports),
        exempt,
        set_rules: table.set_rules,
        direct: table.direct,
    })
}

fn site(table: SiteTable, folder: &Path, is_alone: bool) -> Result<Site, String> {
    let identity = table.identity.map(|path| IdentityFolder(folder.join(path)));
    let said = table.broker.as_deref().map(broker).transpose();
    let at = broker_of(said.map_err(|reason| format!("`broker` {reason}"))?, identity.as_ref());
    let domain = table.trust_domain.as_deref().map(str::parse::<TrustDomain>).transpose();
    let domain = domain.map_err(|_| "`trust_domain` is none".to_owned())?;
    let missing = |what: &str| format!("a site with `client` has `{what}` too");
    let secret = (table.client, table.secret_file, table.ca, domain);
    let asker = match (secret, at) {
        ((Some(client), secret, ca, domain), Broker::Https(address)) => Asker::Secret {
            address,
            client,
            secret: folder.join(secret.ok_or_else(|| missing("secret_file"))?),
            ca: folder.join(ca.ok_or_else(|| missing("ca"))?),
            trust_domain: domain.ok_or_else(|| missing("trust_domain"))?,
        },
        ((Some(_), ..), Broker::Socket(_)) => {
            return Err("a client's secret is shown to a `broker` over https".to_owned());
        }
        ((None, None, None, None), at) => as_ourselves(at, identity.as_ref())
            .ok_or("a broker over https asks who you are: `identity`, or `client`")?,
        ((None, ..), _) => {
            return Err("`secret_file`, `ca` and `trust_domain` go with `client`".to_owned());
        }
    };
    let services = table.services.into_iter().map(|table| ServiceAt {
        name: table.name,
        known_as: table.service,
        aliases: table.aliases,
        instances: table.instances,
        plain: table.plain,
    });
    let learn = table.directory.unwrap_or(is_alone);
    Ok(Site { asker, identity, services: services.collect(), learn })
}

#[cfg(test)]
mod tests {
    use sealock_control::forward::Link;

    use super::*;

    const WHOLE: &str = r#"
listen = "127.0.0.1:3128"
metrics = "127.0.0.1:9100"
access_log = false
pass = ["static.example"]
connect = ["example.com:443"]
routes = { "127.0.0.1:5000" = "orders" }

[intercept]
ca_out = "ca.pem"
hosts = { "orders.internal" = "orders" }

[transparent]
ports = [80, 8080]
exempt = "uid:65532"
direct = ["10.0.0.0/8:80"]

[[sites]]
broker = "https://a.example:8443"
identity = "me"
directory = true
[[sites.services]]
name = "orders"
aliases = ["orders.internal"]
instances = ["10.0.0.5:8443", "10.0.0.6:8443"]

[[sites]]
broker = "https://b.example:8443"
client = "shop"
secret_file = "/run/secret"
ca = "b.pem"
trust_domain = "b.sealock"
[[sites.services]]
name = "orders-of-b"
service = "orders"
instances = ["127.0.0.1:80"]
plain = true
"#;

    #[test]
    fn all_that_can_be_said() {
        let options = parse(WHOLE, Path::new("/etc/sealock")).unwrap();
        assert_eq!(options.proxy, Some("127.0.0.1:3128".parse().unwrap()));
        assert_eq!(options.metrics, Some("127.0.0.1:9100".parse().unwrap()));
        assert_eq!(options.routes, [("127.0.0.1:5000".parse().unwrap(), "orders".to_owned())]);
        assert!(!options.access_log);
        assert_eq!(options.intercept.authority.as_deref(), Some(Path::new("/etc/sealock/ca.pem")));
        let transparent = options.transparent.unwrap();
        assert_eq!(transparent.ports, [80, 8080]);
        assert_eq!((transparent.exempt, transparent.set_rules), (Some(Exempt::Uid(65532)), false));
        let [first, second] = options.sites.as_slice() else { panic!("{:?}", options.sites) };
        let me = IdentityFolder("/etc/sealock/me".into());
        let link = Link::Https("a.example:8443".to_owned(), me.clone());
        assert_eq!((&first.asker, &first.identity), (&Asker::Link(link), &Some(me)));
        assert_eq!(first.services[0].instances.len(), 2);
        assert!(first.learn && !second.learn, "among several, only where it is said");
        let alone = |more: &str| parse(&format!("[[sites]]\n{more}"), Path::new("/")).unwrap();
        assert!(alone("").sites[0].learn && !alone("directory = false").sites[0].learn);
        let Asker::Secret { secret, ca, .. } = &second.asker else { panic!("{second:?}") };
        assert_eq!(
            (secret.as_path(), ca.as_path()),
            (Path::new("/run/secret"), Path::new("/etc/sealock/b.pem"))
        );
        assert_eq!(second.services[0].known_as.as_deref(), Some("orders"));
        assert!(second.services[0].plain);
    }

    #[test]
    fn what_is_not_known_or_contradicts_itself_is_an_error_with_its_place() {
        for (text, expected) in [
            ("lisen = 1", "line 1: unknown field `lisen`, expected one of `listen`"),
            ("\n[[sites]]\nidentitiy = \"x\"", "line 3: unknown field `identitiy`"),
            ("[transparent]\nport = [80]", "line 2: unknown field `port`"),
            ("[intercept]\nhost = {}", "line 2: unknown field `host`"),
            ("[[sites]]\n[[sites.services]]\nname = \"a\"", "missing field `instances`"),
            ("listen = \"localhost\"", "line 1: "),
            ("[transparent]\nexempt = \"me\"", "uid:N or mark:N"),
            ("[[sites]]\nbroker = \"http://a\"", "`broker` must be"),
            ("[[sites]]\nbroker = \"https://a:1\"", "asks who you are"),
            ("[[sites]]\nclient = \"a\"", "over https"),
            ("[[sites]]\nclient = \"a\"\nbroker = \"https://a:1\"", "`secret_file` too"),
            ("[[sites]]\nca = \"a\"", "go with `client`"),
            ("listen = ", "line 1: "),
        ] {
            let error = parse(text, Path::new(".")).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
