//! What the DNS, and this host's own file, say about a name.
//!
//! Resolvers are asked in their order, and the next one only where one says nothing: resolvers of a network often know
//! names that others do not, so who answers first must not decide. Nothing is kept, because an applicant that has just
//! made a record comes again at once. Names are asked for as they are, without search domains.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::time::{Instant, timeout};

use super::failure::Failure;
use super::files::{addresses_in, resolvers_in};
use super::settings::ValidateSettings;

/// No single resolver gets more time than this.
const LONGEST: Duration = Duration::from_secs(5);

/// Asks about names.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) resolvers: Vec<SocketAddr>,
    /// The system's list of resolvers, read for every question: hosts move between networks.
    pub(super) resolv_conf: PathBuf,
    /// A file of names that is looked at first, for addresses.
    pub(super) hosts: Option<PathBuf>,
}

impl Names {
    pub(super) fn new(settings: &ValidateSettings) -> Self {
        Self {
            resolvers: settings.resolvers.clone(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            hosts: settings.hosts_file.then(|| PathBuf::from("/etc/hosts")),
        }
    }

    /// The addresses of a name, IPv6 before IPv4, each in its own form. There may be none.
    pub(super) async fn addresses(
        &self,
        name: &str,
        until: Instant,
    ) -> Result<Vec<IpAddr>, Failure> {
        if let Some(path) = &self.hosts {
            // Not every system has one.
            let hosts = tokio::fs::read_to_string(path).await.unwrap_or_default();
            let found = addresses_in(&hosts, name);
            if !found.is_empty() {
                return Ok(ordered(found));
            }
        }
        let (v6, v4) = tokio::join!(
            self.records(name, RecordType::AAAA, until),
            self.records(name, RecordType::A, until)
        );
        // Some servers only ever answer questions for A.
        let found = match (v6, v4) {
            (Ok(v6), Ok(v4)) => [v6, v4].concat(),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) if !one.is_empty() => one,
            (Err(failure), _) | (_, Err(failure)) => return Err(failure),
        };
        Ok(ordered(found.iter().filter_map(RData::ip_addr).collect()))
    }

    /// The texts of a name, each record's parts joined.
    pub(super) async fn texts(&self, name: &str, until: Instant) -> Result<Vec<Vec<u8>>, Failure> {
        let found = self.records(name, RecordType::TXT, until).await?;
        let text = |data: &RData| match data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        };
        Ok(found.iter().filter_map(text).collect())
    }

    /// What a name, or the one that it is an alias of, has of one type. That there is nothing is an answer.
    pub(super) async fn records(
        &self,
        name: &str,
        kind: RecordType,
        until: Instant,
    ) -> Result<Vec<RData>, Failure> {
        let asked = Name::from_ascii(format!("{name}."))
            .map_err(|_| Failure::Dns(format!("{name} is too long for the DNS")))?;
        let resolvers = self.resolvers().await;
        let mut after = u32::try_from(resolvers.len()).unwrap_or(u32::MAX);
        for resolver in resolvers {
            // As much again is kept for what comes after the last of them.
            let left = until.saturating_duration_since(Instant::now());
            let share = (left / after.saturating_add(1)).min(LONGEST);
            after = after.saturating_sub(1);
            match ask(resolver, &asked, kind, share).await {
                Ok(found) => return Ok(found),
                Err(error) => tracing::debug!(%name, %kind, %resolver, %error, "no answer"),
            }
        }
        Err(Failure::Dns(format!("the DNS gave no answer to a question for {kind} of {name}")))
    }

    async fn resolvers(&self) -> Vec<SocketAddr> {
        if !self.resolvers.is_empty() {
            return self.resolvers.clone();
        }
        let text = tokio::fs::read_to_string(&self.resolv_conf).await.unwrap_or_default();
        resolvers_in(&text)
    }
}

/// One question to one resolver: over UDP, and over TCP where the answer is too long for that.
async fn ask(
    resolver: SocketAddr,
    name: &Name,
    kind: RecordType,
    share: Duration,
) -> Result<Vec<RData>, NetError> {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = resolver.port();
        connection
    });
    let server = NameServerConfig::new(resolver.ip(), true, connections.to_vec());
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options: &mut ResolverOpts = builder.options_mut();
    options.timeout = share;
    // Packets that are lost are sent again without this.
    options.attempts = 0;
    // Who asks again is to see what is there now.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    let asked = builder.build()?;
    let answer = timeout(share, asked.lookup(name.clone(), kind)).await;
    match answer.unwrap_or(Err(NetError::Timeout)) {
        Ok(found) => Ok(belonging(name, kind, found.answers())),
        Err(NetError::Dns(DnsError::NoRecordsFound(NoRecords {
            response_code: ResponseCode::NXDomain | ResponseCode::NoError,
            ..
        }))) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Of what was answered, that which belongs to the name, or to the names that it is an alias of.
fn belonging(name: &Name, kind: RecordType, answers: &[Record]) -> Vec<RData> {
    let alias = |owner: &Name| {
        answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *owner => Some(&target.0),
            _ => None,
        })
    };
    // As many steps as there are records: a circle ends.
    let owners: Vec<&Name> = std::iter::successors(Some(name), |owner| alias(owner))
        .take(answers.len().saturating_add(1))
        .collect();
    let its_own = answers
        .iter()
        .filter(|record| record.record_type() == kind && owners.contains(&&record.name));
    its_own.map(|record| record.data.clone()).collect()
}

/// IPv6 first, each once, those that only carry an IPv4 address as what they are.
fn ordered(found: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut ordered: Vec<IpAddr> = Vec::with_capacity(found.len());
    for address in found.into_iter().map(|address| address.to_canonical()) {
        if !ordered.contains(&address) {
            ordered.push(address);
        }
    }
    ordered.sort_by_key(IpAddr::is_ipv4);
    ordered
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::{A, CNAME};

    use super::*;

    #[test]
    fn only_what_belongs_to_the_name_is_taken() {
        let name = |text: &str| Name::from_ascii(text).unwrap();
        let a = |owner: &str, last: u8| {
            Record::from_rdata(name(owner), 60, RData::A(A::new(192, 0, 2, last)))
        };
        let alias = |owner: &str, target: &str| {
            Record::from_rdata(name(owner), 60, RData::CNAME(CNAME(name(target))))
        };
        let answers = [
            a("other.test.", 1),
            alias("b.test.", "c.test."),
            alias("a.test.", "B.test."),
            a("c.test.", 2),
            alias("c.test.", "a.test."),
            alias("x.test.", "y.test."),
            a("y.test.", 3),
        ];
        let of = |text: &str| {
            let found = belonging(&name(text), RecordType::A, &answers);
            found.iter().filter_map(RData::ip_addr).map(|it| it.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of("a.test."), ["192.0.2.2"]);
        assert_eq!(of("x.test."), ["192.0.2.3"]);
        assert!(of("test.").is_empty());
    }

    #[test]
    fn addresses_are_in_order_and_as_what_they_are() {
        let read = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(
            ordered(read(&[
                "10.0.0.1",
                "2001:db8::1",
                "::ffff:10.0.0.2",
                "10.0.0.1",
                "2001:db8::1"
            ])),
            read(&["2001:db8::1", "10.0.0.1", "10.0.0.2"])
        );
    }
}
