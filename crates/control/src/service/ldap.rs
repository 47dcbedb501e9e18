//! What a directory is asked with: files and texts become keys, certificates and a password.

use std::path::Path;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_authority::Authority;
use sealock_core::SecretBytes;
use sealock_directory::{Bind, Deadlines, Location, Target};
use zeroize::Zeroizing;

use crate::command::LdapServer;
use crate::config::DirectorySettings;
use crate::error::{ErrorCode, ServiceError};
use crate::secret_file::{read_private, read_secret};
use crate::state::read_small;

/// No bundle is larger, and no key.
const LONGEST: u64 = 1 << 20;
const LONGEST_KEY: usize = 1 << 16;

/// How a directory is asked.
#[derive(Clone, Copy)]
pub(super) enum How<'a> {
    /// As the settings say.
    Settings(&'a DirectorySettings),
    /// As whoever asked for it says.
    Given(&'a LdapServer),
}

/// The directory at `url`, asked so; on this very host only if that is allowed. Reads files; blocking.
pub(super) fn target(
    authority: &Authority,
    url: &Location,
    how: &How<'_>,
    local_allowed: bool,
) -> Result<Target, ServiceError> {
    // The company's directory has the company's certificate: its roots count where they were added.
    let known = || authority.distributed_bundle().into_iter().map(CertificateDer::from).collect();
    let (roots, bind, start_tls, dangerous_plain) = match how {
        How::Settings(set) => {
            let roots =
                set.ca_file.as_deref().map(|path| certificates(&read(path)?)).transpose()?;
            (
                roots.unwrap_or_else(known),
                bind_by_settings(set)?,
                set.start_tls,
                set.dangerous_plain,
            )
        }
        How::Given(server) => {
            let roots = server.ca.as_deref().map(|pem| certificates(pem.as_bytes())).transpose()?;
            let bind = bind_as_given(server)?;
            (roots.unwrap_or_else(known), bind, server.start_tls, server.dangerous_plain)
        }
    };
    let bind = match (bind, url) {
        // The kernel tells a socket's other end who asks; as nobody it would be of no use.
        (Bind::Anonymous, Location::Ldapi(_)) => Bind::Peer,
        (bind, _) => bind,
    };
    let (location, deadlines) = (url.clone(), Deadlines::default());
    Ok(Target { location, start_tls, dangerous_plain, local_allowed, roots, bind, deadlines })
}

fn bind_by_settings(set: &DirectorySettings) -> Result<Bind, ServiceError> {
    match (&set.bind_dn, &set.password_file, &set.certificate) {
        (Some(dn), Some(file), _) => {
            let password = read_secret(file, false).map_err(refused)?;
            Ok(Bind::Simple { dn: dn.clone(), password })
        }
        (_, _, Some(folder)) => {
            let key = read_private(&folder.join("tls.key"), false, LONGEST_KEY).map_err(refused)?;
            by_certificate(&read(&folder.join("tls.crt"))?, &key)
        }
        _ => Ok(Bind::Anonymous),
    }
}

fn bind_as_given(server: &LdapServer) -> Result<Bind, ServiceError> {
    let usage = |text: &str| Err(ServiceError::new(ErrorCode::Usage, text));
    match (&server.bind_dn, &server.password, &server.tls_crt, &server.tls_key) {
        (None, None, None, None) => Ok(Bind::Anonymous),
        (Some(dn), Some(given), None, None) => {
            let dn = dn.parse().map_err(|error| ServiceError::of(ErrorCode::Usage, &error))?;
            Ok(Bind::Simple { dn, password: password(given.bytes().expose()) })
        }
        (None, None, Some(chain), Some(key)) => {
            by_certificate(chain.as_bytes(), key.bytes().expose())
        }
        (Some(_), None, ..) | (None, Some(_), ..) => {
            usage("a name to bind as and its password go together")
        }
        _ => usage("a bind is by name and password, or by certificate and key"),
    }
}

/// Without the end of its line, which editors put there.
fn password(bytes: &[u8]) -> SecretBytes {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    SecretBytes::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

fn by_certificate(chain: &[u8], key: &[u8]) -> Result<Bind, ServiceError> {
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        ServiceError::new(ErrorCode::Usage, "the key to bind with is not a private key in PEM")
    })?;
    Ok(Bind::Certificate { chain: certificates(chain)?, key })
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ServiceError> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    all.ok().filter(|all| !all.is_empty()).ok_or_else(|| {
        ServiceError::new(ErrorCode::Usage, "there is no certificate in PEM where one is needed")
    })
}

/// Who else may read a file with a secret knows it.
fn refused(why: String) -> ServiceError {
    ServiceError::new(ErrorCode::Failed, why).hint(
        "the settings of the directory name this file; it has to be root's or the daemon's, and closed to others (chmod 600)",
    )
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
    read_small(path, LONGEST).map(Zeroizing::new).map_err(|error| {
        ServiceError::new(ErrorCode::Failed, format!("cannot read {}", path.display()))
            .caused_by(&error)
            .hint(
                "the settings of the directory name this file; the daemon must be able to read it",
            )
    })
}

#[cfg(test)]
mod tests {
    use sealock_core::SecretBytes;

    use super::*;
    use crate::command::SecretText;

    fn given(bind_dn: Option<&str>, password: Option<&str>, tls_crt: Option<&str>) -> LdapServer {
        let secret = |text: &str| SecretText::new(SecretBytes::new(text.as_bytes().to_vec()));
        LdapServer {
            bind_dn: bind_dn.map(str::to_owned),
            password: password.and_then(secret),
            tls_crt: tls_crt.map(str::to_owned),
            ..LdapServer::default()
        }
    }

    #[test]
    fn a_bind_is_one_thing_or_the_other() {
        assert!(matches!(bind_as_given(&given(None, None, None)), Ok(Bind::Anonymous)));
        let simple = bind_as_given(&given(Some("cn=a"), Some("hunter2\r\n"), None)).unwrap();
        let Bind::Simple { password, .. } = simple else { panic!("{simple:?}") };
        assert_eq!(password.expose(), b"hunter2");
        for (dn, password, chain) in [
            (Some("cn=a"), None, None),
            (None, Some("x"), None),
            (Some("cn=a"), Some("x"), Some("pem")),
            (None, None, Some("pem")),
            (Some("nothing"), Some("x"), None),
        ] {
            let error = bind_as_given(&given(dn, password, chain)).unwrap_err();
            assert_eq!(error.code, ErrorCode::Usage, "{dn:?}");
        }
    }

    #[test]
    fn a_password_that_others_can_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pw");
        std::fs::write(&file, "hunter2\r\n").unwrap();
        let set = DirectorySettings {
            bind_dn: Some("cn=a".parse().unwrap()),
            password_file: Some(file.clone()),
            ..DirectorySettings::default()
        };
        let chmod = |mode| {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        chmod(0o640);
        let error = bind_by_settings(&set).unwrap_err();
        assert!(error.message.contains("by others") && error.hint.is_some(), "{error:?}");
        chmod(0o600);
        let Bind::Simple { password, .. } = bind_by_settings(&set).unwrap() else { panic!() };
        assert_eq!(password.expose(), b"hunter2");
        let by_key = DirectorySettings {
            certificate: Some(folder.path().to_owned()),
            ..DirectorySettings::default()
        };
        std::fs::write(folder.path().join("tls.key"), "no key").unwrap();
        let key = folder.path().join("tls.key");
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = bind_by_settings(&by_key).unwrap_err();
        assert!(error.message.contains("by others"), "{error:?}");
    }

    #[test]
    fn what_is_no_pem_is_named() {
        assert!(by_certificate(b"x", b"-----BEGIN").is_err());
        assert!(certificates(b"").unwrap_err().message.contains("no certificate"));
    }
}
