//! What of our environment a provider sees.

use std::ffi::{OsStr, OsString};

/// Whether providers see the caller's environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation<'a> {
    /// All of it, as with Summon.
    Inherit,
    /// Only what a program needs to find its way and its server (the tables of this module), and what is listed
    /// here: `NAME`, or `PREFIX*`. Not among them are variables that make a program run other code
    /// (`LD_PRELOAD`, `BASH_ENV`, `PYTHONPATH`, …), and whatever secrets the caller has for others.
    Clean {
        /// Further names.
        keep: &'a [String],
    },
}

/// Where the program, its user, its language, its terminal and its network are.
const ALWAYS: [&str; 45] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TERM",
    "TMPDIR",
    "XDG_*",
    // certificates
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    // proxies
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    // agents, and windows that ask for a passphrase
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "GNUPGHOME",
    "GPG_TTY",
    "GPG_AGENT_INFO",
    "SSH_AUTH_SOCK",
    "SSH_AGENT_PID",
    "KRB5CCNAME",
    "KRB5_CONFIG",
    "KUBECONFIG",
    "KUBERNETES_*",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
];

/// How the providers that exist are told of their servers.
const PROVIDERS: [&str; 31] = [
    "SUMMON_*",
    "CONJUR_*",
    "CONJURRC",
    "AWS_*",
    "AZURE_*",
    "ARM_*",
    "MSI_*",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "GOOGLE_*",
    "GCLOUD_*",
    "GCP_*",
    "CLOUDSDK_*",
    "VAULT_*",
    "BAO_*",
    "CONSUL_*",
    "OP_*",
    "BW_*",
    "BWS_*",
    "DOPPLER_*",
    "INFISICAL_*",
    "AKEYLESS_*",
    "KEEPER_*",
    "KSM_*",
    "GOPASS_*",
    "PASSWORD_STORE_*",
    "PYTHON_KEYRING_*",
    "LPASS_*",
    "SOPS_*",
    "CHEF_*",
    "CREDSTASH_*",
];

/// The variables of `all` that a provider sees.
pub(super) fn kept(
    all: impl Iterator<Item = (OsString, OsString)>,
    keep: &[String],
) -> impl Iterator<Item = (OsString, OsString)> {
    let patterns =
        move || ALWAYS.into_iter().chain(PROVIDERS).chain(keep.iter().map(String::as_str));
    all.filter(move |(name, _)| patterns().any(|pattern| matches(pattern, name)))
}

fn matches(pattern: &str, name: &OsStr) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.as_encoded_bytes().starts_with(prefix.as_bytes()),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_sees_what_it_needs_and_what_is_listed() {
        let cases = [
            ("PATH", true),
            ("LC_ALL", true),
            ("XDG_RUNTIME_DIR", true),
            ("https_proxy", true),
            ("CONJUR_AUTHN_LOGIN", true),
            ("AWS_PROFILE", true),
            ("MY_TOKEN", true),
            ("TEAM_A", true),
            ("TEAM_", true),
            ("MY_TOKEN_2", false),
            ("TEAM", false),
            ("PATHS", false),
            ("path", false),
            ("DB_PASSWORD", false),
            ("SEALOCK_PASSPHRASE", false),
            ("LD_PRELOAD", false),
            ("LD_LIBRARY_PATH", false),
            ("BASH_ENV", false),
            ("ENV", false),
            ("PYTHONPATH", false),
            ("NODE_OPTIONS", false),
            ("", false),
        ];
        let all = cases.iter().map(|(name, _)| (OsString::from(name), OsString::from("x")));
        let keep = ["MY_TOKEN".to_owned(), "TEAM_*".to_owned()];
        let seen: Vec<_> = kept(all, &keep).collect();
        for (name, sees) in cases {
            assert_eq!(seen.iter().any(|(one, _)| one == name), sees, "{name}");
        }
    }

    #[test]
    fn no_pattern_matches_everything_by_accident() {
        for pattern in ALWAYS.into_iter().chain(PROVIDERS) {
            assert!(pattern.trim_end_matches('*').len() >= 2, "{pattern}");
        }
    }
}
