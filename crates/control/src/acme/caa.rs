//! CAA for whole orders: asked for once more before a certificate is issued, and of names that nobody had to prove, too.
//!
//! A rule, or the engine, says that an account speaks for a name; that others may issue for the domain only is its owner's word, and
//! who writes rules here does not take it back.

use std::time::Duration;

use futures_util::future::join_all;
use hyper::http::uri::Authority;
use sealock_acme::challenge::ChallengeType;
use sealock_acme::identifier::Identifier;
use sealock_acme::problem::{AcmeProblem, ErrorKind, Subproblem};
use sealock_acme::state::Id;
use sealock_core::SubjectName;

use super::server::{AcmeServer, method};

/// Orders that are asked about at once, and those of one account. Each holds a thread that others need, too, and how slow a
/// zone answers is for its owner to say.
const ORDERS: usize = 128;
const ORDERS_EACH: usize = 32;
/// For all names of an order.
const DEADLINE: Duration = Duration::from_secs(25);
/// Until one of those has ended.
const AT_ONCE: Duration = Duration::from_secs(1);

/// An order that is asked about: taken out again when that has ended, however it has.
struct Asking<'a> {
    server: &'a AcmeServer,
    account: Id,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut asking = self.server.asking.lock();
        if let Some(at) = asking.iter().position(|account| *account == self.account) {
            asking.swap_remove(at);
        }
    }
}

impl AcmeServer {
    /// Whether [`AcmeServer::check_order`] asks anybody.
    pub(crate) fn heeds_caa(&self) -> bool {
        self.validator.heeds_caa()
    }

    fn begin(&self, account: &Id) -> Result<Asking<'_>, AcmeProblem> {
        let mut asking = self.asking.lock();
        let own = asking.iter().filter(|of| *of == account).count();
        if asking.len() >= ORDERS || own >= ORDERS_EACH {
            let text = "too many orders are brought to their ends at once: try again";
            return Err(AcmeProblem::rate_limited(text, AT_ONCE));
        }
        asking.push(account.clone());
        Ok(Asking { server: self, account: account.clone() })
    }

    /// Whether the owners of all these domains let us issue for them (RFC 8659 §3), each by how it was proved, if it was.
    pub(crate) async fn check_order(
        &self,
        account: &Id,
        names: &[(Identifier, Option<ChallengeType>)],
    ) -> Result<(), AcmeProblem> {
        let _asking = self.begin(account)?;
        let asked = names.iter().map(async |(identifier, kind)| {
            let answer = self.check_caa(account, identifier, kind.map(method)).await;
            answer.err().map(|failure| Subproblem {
                kind: failure.kind(),
                detail: failure.to_string(),
                identifier: identifier.clone(),
            })
        });
        let Ok(answers) = tokio::time::timeout(DEADLINE, join_all(asked)).await else {
            let text = "the CAA records of these domains did not come in time: try again";
            return Err(AcmeProblem::new(ErrorKind::Dns, text));
        };
        let mut refused: Vec<Subproblem> = answers.into_iter().flatten().collect();
        if names.len() > 1 && !refused.is_empty() {
            let text = "the owners of these domains do not let this server issue for them";
            return Err(AcmeProblem::of_identifiers(text, refused));
        }
        match refused.pop() {
            Some(one) => Err(AcmeProblem::new(one.kind, one.detail)),
            None => Ok(()),
        }
    }
}

/// Whether a URI is one of this account (RFC 8657 §3.1): below any name of the server, at whichever port it is reached. The id
/// is of no other account anywhere.
pub(super) fn is_account_uri(uri: &str, names: &[SubjectName], id: &str) -> bool {
    let Some((authority, path)) = uri.strip_prefix("https://").and_then(|it| it.split_once('/'))
    else {
        return false;
    };
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let name = SubjectName::ip(host).or_else(|_| SubjectName::dns(host)).ok();
    path.strip_prefix("acme/account/") == Some(id)
        && !authority.as_str().contains('@')
        && name.is_some_and(|name| names.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_a_uri_for_each_name_of_the_server() {
        let names = [
            SubjectName::dns("ca.corp.example").unwrap(),
            SubjectName::ip("192.0.2.1").unwrap(),
            SubjectName::ip("2001:db8::1").unwrap(),
        ];
        for uri in [
            "https://ca.corp.example/acme/account/abc",
            "https://CA.corp.example:8443/acme/account/abc",
            "https://192.0.2.1:8443/acme/account/abc",
            "https://[2001:db8::1]:8443/acme/account/abc",
        ] {
            assert!(is_account_uri(uri, &names, "abc"), "{uri}");
        }
        for uri in [
            "abc",
            "",
            "https://",
            "https://ca.corp.example/acme/account/",
            "https://ca.corp.example/acme/account/abd",
            "https://ca.corp.example/acme/account/abc/",
            "https://ca.corp.example/acme/account/abc?x",
            "https://ca.corp.example/account/abc",
            "https://ca.corp.example//acme/account/abc",
            "http://ca.corp.example/acme/account/abc",
            "https://x@ca.corp.example/acme/account/abc",
            "https://other.example/acme/account/abc",
            "https://ca.corp.example.other.example/acme/account/abc",
        ] {
            assert!(!is_account_uri(uri, &names, "abc"), "{uri}");
        }
    }
}
