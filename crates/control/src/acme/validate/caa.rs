//! Whether a domain's owner lets us issue (RFC 8659): the CAA records of the nearest name, up the tree, that has any.

use hickory_resolver::proto::rr::rdata::CAA;
use hickory_resolver::proto::rr::{RData, RecordType};
use sealock_core::DnsName;
use tokio::time::Instant;

use super::Method;
use super::failure::Failure;
use super::names::Names;

/// Properties whose meaning we know; those of others are no business of ours unless they are critical.
const KNOWN: [&str; 4] = ["issue", "issuewild", "iodef", "issuemail"];

/// Whether a URI is one of the applicant's account: it has one for each name of the server.
pub(crate) type IsAccount<'a> = dyn Fn(&str) -> bool + Sync + 'a;

/// What is to be issued.
pub(super) struct Wanted<'a> {
    /// The names by which records mean us.
    pub(super) identities: &'a [DnsName],
    pub(super) is_wildcard: bool,
    /// None where nothing has to be proved: then no list of methods has it.
    pub(super) method: Option<Method>,
    pub(super) is_account: &'a IsAccount<'a>,
}

/// Asks for the records of the name and of those above it, and judges the first that there are. If one cannot be asked for,
/// nobody knows what it forbids.
pub(super) async fn ask(
    names: &Names,
    name: &str,
    wanted: &Wanted<'_>,
    until: Instant,
) -> Result<(), Failure> {
    let tree = std::iter::successors(Some(name), |name| Some(name.split_once('.')?.1));
    for place in tree {
        let found = names.records(place, RecordType::CAA, until).await?;
        let records: Vec<&CAA> = found
            .iter()
            .filter_map(|data| match data {
                RData::CAA(record) => Some(record),
                _ => None,
            })
            .collect();
        if !records.is_empty() {
            return judge(&records, wanted)
                .map_err(|why| Failure::Caa(format!("the CAA records of {place} {why}")));
        }
    }
    Ok(())
}

/// Why nothing may be issued, if so.
fn judge(records: &[&CAA], wanted: &Wanted<'_>) -> Result<(), &'static str> {
    let is_known = |record: &&CAA| KNOWN.iter().any(|tag| record.tag.eq_ignore_ascii_case(tag));
    if records.iter().any(|record| record.issuer_critical && !is_known(record)) {
        return Err("have a critical property that this server does not know");
    }
    let of = |tag: &str| {
        let its_own = records.iter().filter(|record| record.tag.eq_ignore_ascii_case(tag));
        its_own.map(|record| record.value.as_slice()).collect::<Vec<_>>()
    };
    let wild = if wanted.is_wildcard { of("issuewild") } else { Vec::new() };
    let properties = if wild.is_empty() { of("issue") } else { wild };
    // Only other properties: whoever made them restricts nothing.
    if properties.is_empty() || properties.iter().any(|value| permits(value, wanted)) {
        Ok(())
    } else {
        Err("do not let this server issue for it")
    }
}

/// Whether one `issue` property lets us (RFC 8659 §4.2). What cannot be read permits nothing.
fn permits(value: &[u8], wanted: &Wanted<'_>) -> bool {
    let Ok(value) = std::str::from_utf8(value) else { return false };
    let mut parts = value.split(';').map(|part| part.trim_matches([' ', '\t']));
    let issuer = parts.next().and_then(|issuer| issuer.parse::<DnsName>().ok());
    if !issuer.is_some_and(|issuer| wanted.identities.contains(&issuer)) {
        return false;
    }
    let (mut accounts, mut methods) = (Vec::new(), Vec::new());
    for parameter in parts.filter(|part| !part.is_empty()) {
        let Some((name, value)) = parameter.split_once('=') else { return false };
        let value = value.trim_start_matches([' ', '\t']);
        match name.trim_end_matches([' ', '\t']) {
            name if name.eq_ignore_ascii_case("accounturi") => accounts.push(value),
            name if name.eq_ignore_ascii_case("validationmethods") => methods.push(value),
            // Those of RFC 8657 are all that we have given a meaning.
            _ => {}
        }
    }
    let is_account = match accounts.as_slice() {
        [] => true,
        [account] => (wanted.is_account)(account),
        // RFC 8657 §3: nobody's.
        _ => false,
    };
    let is_method = match methods.as_slice() {
        [] => true,
        [methods] => {
            wanted.method.is_some_and(|used| methods.split(',').any(|method| method == used.name()))
        }
        _ => false,
    };
    is_account && is_method
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(value: &str) -> bool {
        permitted_by(value, Some(Method::Http01))
    }

    fn permitted_by(value: &str, method: Option<Method>) -> bool {
        let identities = ["ca.example".parse().unwrap(), "ca2.example".parse().unwrap()];
        let wanted = Wanted {
            identities: &identities,
            is_wildcard: false,
            method,
            is_account: &|uri| uri == "https://ca.example/acct/1",
        };
        permits(value.as_bytes(), &wanted)
    }

    #[test]
    fn a_property_permits_whom_it_names() {
        for value in [
            "ca.example",
            "ca2.example",
            " CA.Example\t",
            "ca.example;",
            "ca.example ; policy=ev",
            "ca.example; accounturi=https://ca.example/acct/1",
            "ca.example; accounturi = https://ca.example/acct/1 ; validationmethods=http-01",
            "ca.example;validationmethods=dns-01,http-01",
            "ca.example; VALIDATIONMETHODS=http-01",
        ] {
            assert!(permitted(value), "{value}");
        }
        for value in [
            "",
            ";",
            "  ",
            "other.example",
            "ca.example.other.example",
            "*.ca.example",
            "ca.example other",
            "ca.example,ca2.example",
            "ca.example; policy",
            "ca.example; accounturi=https://ca.example/acct/2",
            "ca.example; accounturi=https://ca.example/acct/1; accounturi=https://ca.example/acct/1",
            "ca.example; validationmethods=dns-01",
            "ca.example; validationmethods=",
            "ca.example; validationmethods=dns-01;validationmethods=http-01",
            "ca.example\u{fffd}",
        ] {
            assert!(!permitted(value), "{value}");
        }
        // Without a challenge none of the methods was used.
        assert!(permitted_by("ca.example", None));
        assert!(!permitted_by("ca.example; validationmethods=http-01,dns-01", None));
    }
}
