//! What is wrong with settings that are good each by itself: told by `config check`, before `up` stumbles over it.

use std::net::SocketAddr;

use super::{Config, Listen, Settings};
use crate::command::KeyHome;

/// Something that will not do what it was written for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// In a line.
    pub text: String,
    /// Whether it cannot work; otherwise it may be meant.
    pub is_error: bool,
}

impl Config {
    /// What does not go together, or names what is not there. Of files, it asks only whether they are there.
    pub fn problems(&self) -> Vec<Problem> {
        let Settings { hsm, authority, revocation, .. } = &self.settings;
        let mut problems = Vec::new();
        let mut tell = |is_error: bool, text: String| problems.push(Problem { text, is_error });
        if authority.keys == KeyHome::Hsm && hsm.module.is_none() {
            tell(true, "authority.keys is \"hsm\", and hsm.module names none".to_owned());
        }
        if let Some(module) = hsm.module.as_ref().filter(|module| !module.is_file()) {
            tell(false, format!("hsm.module: there is no file {}", module.display()));
        }
        if revocation.url.is_some() && revocation.listen == Listen::Off {
            let text =
                "revocation.url is not written into certificates while revocation.listen is off";
            tell(false, text.to_owned());
        }
        let listeners = self.listeners();
        for (index, (name, at)) in listeners.iter().enumerate() {
            let others = listeners.iter().skip(index + 1);
            for (other, _) in others.filter(|(_, there)| meet(*at, *there)) {
                tell(
                    false,
                    format!("{name} and {other} listen at one place, {at}: one of them cannot"),
                );
            }
        }
        problems
    }

    fn listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        let Settings { api, gateway, revocation, acme, .. } = &self.settings;
        let all = [
            ("api.listen", api.listen),
            ("gateway.listen", gateway.listen),
            ("revocation.listen", revocation.listen),
            ("acme.listen", acme.listen),
        ];
        let at = |(name, listen)| match listen {
            Listen::At(address) => Some((name, address)),
            Listen::Off => None,
        };
        all.into_iter().filter_map(at).collect()
    }
}

/// Whether two sockets are in one another's way.
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let all = |address: SocketAddr| address.ip().is_unspecified();
    let same = one.ip() == other.ip() || all(one) || all(other);
    one.port() != 0 && one.port() == other.port() && same
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Flags};

    fn told(flags: &[(&'static str, &str)]) -> Vec<Problem> {
        let flags: Flags = flags.iter().map(|(key, text)| (*key, (*text).to_owned())).collect();
        Config::from_parts(None, &Environment::default(), &flags).unwrap().problems()
    }

    #[test]
    fn what_is_good_by_itself_and_not_together_is_told() {
        assert_eq!(told(&[]), [], "the defaults are good");
        let hsm = told(&[("authority.keys", "hsm")]);
        assert!(hsm[0].is_error && hsm[0].text.contains("hsm.module"), "{hsm:?}");
        let away = told(&[("authority.keys", "hsm"), ("hsm.module", "/nowhere/p11.so")]);
        assert!(!away[0].is_error && away[0].text.contains("/nowhere/p11.so"), "{away:?}");
        let url = told(&[("revocation.url", "http://pki.corp.example")]);
        assert!(url[0].text.contains("revocation.listen"), "{url:?}");
        let both = told(&[("api.listen", "0.0.0.0:4242")]);
        assert!(both[0].text.contains("api.listen and gateway.listen"), "{both:?}");
        assert_eq!(told(&[("api.listen", "127.0.0.1:0"), ("gateway.listen", "127.0.0.1:0")]), []);
        assert_eq!(told(&[("api.listen", "127.0.0.2:4242")]), []);
    }
}
