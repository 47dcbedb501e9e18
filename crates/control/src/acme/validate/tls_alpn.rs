//! tls-alpn-01 (RFC 8737): in a handshake for nothing else, the applicant's host shows a certificate that it has made for
//! the challenge.

use std::net::IpAddr;

use rustls_pki_types::ServerName;
use tokio::time::Instant;

use super::failure::Failure;
use super::tls::ACME_TLS;
use super::{Question, Subject, Validator, certificate};

/// Whether the host shows such a certificate.
pub(super) async fn ask(
    validator: &Validator,
    question: &Question,
    until: Instant,
) -> Result<(), Failure> {
    let host = &question.subject;
    let name = ServerName::try_from(asked_for(host))
        .map_err(|_| Failure::Tls(format!("{host} is no name that a handshake can be for")))?;
    let stream = validator.dialler.dial(host, validator.settings.tls_port, until).await?;
    let stream = validator.clients.challenge(host, name, stream).await?;
    let (_, session) = stream.get_ref();
    // A server that knows no ALPN goes on without, and would show a certificate of whoever else it serves.
    if session.alpn_protocol() != Some(ACME_TLS) {
        return Err(Failure::Tls(format!("{host} does not agree to speak acme-tls/1")));
    }
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let leaf = leaf.ok_or_else(|| Failure::Tls(format!("{host} shows no certificate")))?;
    certificate::check(leaf, host, &question.digest())
}

/// The name in the handshake. That cannot be an address, so for those it is their name in the reverse zone (RFC 8738 §6).
fn asked_for(subject: &Subject) -> String {
    match subject {
        Subject::Dns(name) => name.as_str().to_owned(),
        Subject::Ip(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Subject::Ip(IpAddr::V6(address)) => {
            let nibbles = address.octets().into_iter().rev();
            let nibbles = nibbles.map(|byte| format!("{:x}.{:x}.", byte & 0xf, byte >> 4));
            format!("{}ip6.arpa", nibbles.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_asked_for_by_its_reverse_name() {
        let of = |text: &str| asked_for(&Subject::Ip(text.parse().unwrap()));
        assert_eq!(of("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        assert_eq!(
            of("2001:db8::4:3"),
            "3.0.0.0.4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }
}
