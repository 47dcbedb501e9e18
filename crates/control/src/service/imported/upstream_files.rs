//! What an upstream is asked with: files of the settings become roots, keys and passwords. Read anew for each try, so
//! that a file that was mended counts at once.

use std::path::Path;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_core::SecretBytes;
use sealock_upstream::acme::Binding;
use sealock_upstream::est::Credentials;
use zeroize::Zeroizing;

use crate::config::UpstreamSettings;
use crate::error::{ErrorCode, ServiceError};
use crate::secret_file::{read_private, read_secret};
use crate::state::read_small;

/// No bundle is larger, and no key.
const LONGEST: u64 = 1 << 20;
const LONGEST_KEY: usize = 1 << 16;

/// A certificate to show, and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
    read_small(path, LONGEST).map(Zeroizing::new).map_err(|error| {
        ServiceError::new(ErrorCode::Failed, format!("cannot read {}", path.display()))
            .caused_by(&error)
            .hint("the settings of the upstream name this file; the daemon must be able to read it")
    })
}

const HINT: &str = "the settings of the upstream name this file; it has to be root's or the daemon's, and closed to others (chmod 600)";

/// Who else may read a file with a secret knows it.
fn refused(why: String) -> ServiceError {
    ServiceError::new(ErrorCode::Failed, why).hint(HINT)
}

fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
    read_private(path, false, LONGEST_KEY).map_err(refused)
}

fn read_line(path: &Path) -> Result<SecretBytes, ServiceError> {
    read_secret(path, false).map_err(refused)
}

pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ServiceError> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    all.ok().filter(|all| !all.is_empty()).ok_or_else(|| {
        ServiceError::new(ErrorCode::Failed, "there is no certificate in PEM where one is needed")
    })
}

pub(super) fn identity(chain: &[u8], key: &[u8]) -> Result<Identity, ServiceError> {
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        ServiceError::new(ErrorCode::Failed, "the key to show is not a private key in PEM")
    })?;
    Ok((certificates(chain)?, key))
}

/// The roots of the file that the settings name.
pub(super) fn roots(
    set: &UpstreamSettings,
) -> Result<Option<Vec<CertificateDer<'static>>>, ServiceError> {
    set.ca_file.as_deref().map(|path| certificates(&read(path)?)).transpose()
}

/// The certificate of the folder that the settings name.
pub(super) fn own_identity(set: &UpstreamSettings) -> Result<Option<Identity>, ServiceError> {
    let Some(folder) = &set.certificate else { return Ok(None) };
    identity(&read(&folder.join("tls.crt"))?, &read_key(&folder.join("tls.key"))?).map(Some)
}

/// Name and password.
pub(super) fn credentials(set: &UpstreamSettings) -> Result<Option<Credentials>, ServiceError> {
    let (Some(user), Some(file)) = (&set.user, &set.password_file) else { return Ok(None) };
    let password = read_line(file)?;
    Ok(Some(Credentials { user: user.clone(), password }))
}

/// What vouches for the account.
pub(super) fn binding(set: &UpstreamSettings) -> Result<Option<Binding>, ServiceError> {
    let (Some(kid), Some(file)) = (&set.eab_kid, &set.eab_key_file) else { return Ok(None) };
    let text = read_line(file)?;
    // Some write it with the padding that base64url does not have here, and some in the other alphabet.
    let text: Zeroizing<Vec<u8>> = Zeroizing::new(
        text.expose()
            .trim_ascii()
            .iter()
            .filter(|byte| **byte != b'=')
            .map(|byte| match byte {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            })
            .collect(),
    );
    let key = data_encoding::BASE64URL_NOPAD.decode(&text).ok().filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| {
        let text = format!("{} is not a key in base64url", file.display());
        ServiceError::new(ErrorCode::Failed, text)
    })?;
    Ok(Some(Binding { kid: kid.clone(), key: SecretBytes::new(key) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private(path: &Path) {
        chmod(path, 0o600);
    }

    fn chmod(path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_can_read_or_write_is_no_secret_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        for (name, text) in [
            ("tls.crt", certificate.pem()),
            ("tls.key", key.serialize_pem()),
            ("pw", "hunter2\n".into()),
            ("eab", "_-8-_w\n".into()),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let path = |name: &str| Some(folder.path().join(name));
        let set = UpstreamSettings {
            eab_kid: Some("k".into()),
            eab_key_file: path("eab"),
            user: Some("u".into()),
            password_file: path("pw"),
            certificate: Some(folder.path().to_owned()),
            ..UpstreamSettings::default()
        };
        type Read = fn(&UpstreamSettings) -> Result<bool, ServiceError>;
        let all: [(&str, Read); 3] = [
            ("eab", |set| binding(set).map(|found| found.is_some())),
            ("pw", |set| credentials(set).map(|found| found.is_some())),
            ("tls.key", |set| own_identity(set).map(|found| found.is_some())),
        ];
        for (name, read) in all {
            let file = folder.path().join(name);
            for mode in [0o644, 0o640, 0o660, 0o602] {
                chmod(&file, mode);
                let error = read(&set).unwrap_err();
                assert!(error.message.contains("by others"), "{name} {mode:o}: {error:?}");
                assert!(error.hint.is_some_and(|hint| hint.contains("chmod 600")));
            }
            for mode in [0o600, 0o400] {
                chmod(&file, mode);
                assert!(read(&set).unwrap(), "{name} {mode:o}");
            }
        }
    }

    #[test]
    fn files_are_read_as_people_write_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            private(&path);
            Some(path)
        };
        let set = UpstreamSettings {
            eab_kid: Some("k".into()),
            eab_key_file: file("eab", "_-8+/w==\n"),
            user: Some("u".into()),
            password_file: file("pw", "hunter2\r\n"),
            ..UpstreamSettings::default()
        };
        assert_eq!(binding(&set).unwrap().unwrap().key.expose(), [0xff, 0xef, 0x3e, 0xff]);
        assert_eq!(credentials(&set).unwrap().unwrap().password.expose(), b"hunter2");
        let bad = UpstreamSettings { eab_key_file: file("bad", "hunter2!"), ..set };
        let error = binding(&bad).unwrap_err().to_string();
        assert!(error.contains("base64url") && !error.contains("hunter2"), "{error}");
        let gone = UpstreamSettings { ca_file: Some("/nonexistent".into()), ..bad };
        assert!(roots(&gone).unwrap_err().hint.is_some());
    }
}
