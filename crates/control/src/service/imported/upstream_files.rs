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
use crate::state::read_small;

/// No bundle, key or password is larger.
const LONGEST: u64 = 1 << 20;

/// A certificate to show, and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
    read_small(path, LONGEST).map(Zeroizing::new).map_err(|error| {
        ServiceError::new(ErrorCode::Failed, format!("cannot read {}", path.display()))
            .caused_by(&error)
            .hint("the settings of the upstream name this file; the daemon must be able to read it")
    })
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
    identity(&read(&folder.join("tls.crt"))?, &read(&folder.join("tls.key"))?).map(Some)
}

/// Name and password.
pub(super) fn credentials(set: &UpstreamSettings) -> Result<Option<Credentials>, ServiceError> {
    let (Some(user), Some(file)) = (&set.user, &set.password_file) else { return Ok(None) };
    let password = SecretBytes::new(read(file)?.to_vec()).trim_line_end();
    if password.expose().is_empty() {
        let text = format!("{} is empty", file.display());
        return Err(ServiceError::new(ErrorCode::Failed, text));
    }
    Ok(Some(Credentials { user: user.clone(), password }))
}

/// What vouches for the account.
pub(super) fn binding(set: &UpstreamSettings) -> Result<Option<Binding>, ServiceError> {
    let (Some(kid), Some(file)) = (&set.eab_kid, &set.eab_key_file) else { return Ok(None) };
    let text = read(file)?;
    // Some write it with the padding that base64url does not have here, and some in the other alphabet.
    let text: Zeroizing<Vec<u8>> = Zeroizing::new(
        text.trim_ascii()
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

    #[test]
    fn files_are_read_as_people_write_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
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
