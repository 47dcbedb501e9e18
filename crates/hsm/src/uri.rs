//! Which token the settings mean: its label, or a PKCS#11 URI (RFC 7512).

use percent_encoding::percent_decode_str;
use sealock_hsm_wire::{LONGEST_TEXT, TokenName};
use thiserror::Error;

/// Why a text names no token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenNameError {
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
    /// A secret does not belong into settings.
    #[error("a PIN does not belong there: it comes from hsm.pin_file or a systemd credential")]
    Pin,
    /// An attribute that does not say which token.
    #[error("`{0}` does not say which token: there are token, serial, manufacturer and model")]
    Attribute(String),
    /// The same twice.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// Not as RFC 7512 has it.
    #[error("`{0}` is not NAME=VALUE in a PKCS#11 URI")]
    Form(String),
}

/// Reads a label, or a URI such as `pkcs11:token=ca;serial=0123`.
pub fn token_name(text: &str) -> Result<TokenName, TokenNameError> {
    if text.is_empty() || text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
        return Err(TokenNameError::Empty);
    }
    let Some(path) = text.strip_prefix("pkcs11:") else {
        return Ok(TokenName { label: Some(text.to_owned()), ..TokenName::default() });
    };
    let mut name = TokenName::default();
    for attribute in path.split(';') {
        if attribute.contains("pin-") {
            return Err(TokenNameError::Pin);
        }
        let form = || TokenNameError::Form(attribute.to_owned());
        let (key, value) = attribute.split_once('=').ok_or_else(form)?;
        if value.is_empty() || value.contains(['?', '&', '/', '#', ' ']) || !whole(value) {
            return Err(form());
        }
        let value = percent_decode_str(value).decode_utf8().map_err(|_| form())?.into_owned();
        if value.chars().any(char::is_control) {
            return Err(form());
        }
        let place = match key {
            "token" => &mut name.label,
            "serial" => &mut name.serial,
            "manufacturer" => &mut name.manufacturer,
            "model" => &mut name.model,
            _ => return Err(TokenNameError::Attribute(key.to_owned())),
        };
        if place.replace(value).is_some() {
            return Err(TokenNameError::Twice(key.to_owned()));
        }
    }
    Ok(name)
}

/// Whether each `%` begins an octet.
fn whole(value: &str) -> bool {
    value.split('%').skip(1).all(|rest| {
        rest.as_bytes().first_chunk::<2>().is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_or_a_uri() {
        assert_eq!(token_name("My CA").unwrap().label.as_deref(), Some("My CA"));
        let name = token_name("pkcs11:token=My%20CA;serial=03fd;model=SoftHSM%20v2").unwrap();
        assert_eq!(name.label.as_deref(), Some("My CA"));
        assert_eq!(name.serial.as_deref(), Some("03fd"));
        assert_eq!(name.model.as_deref(), Some("SoftHSM v2"));
        assert_eq!(name.manufacturer, None);
    }

    #[test]
    fn what_names_no_token_is_refused() {
        for (text, why) in [
            ("", TokenNameError::Empty),
            ("a\nb", TokenNameError::Empty),
            ("pkcs11:", TokenNameError::Form(String::new())),
            ("pkcs11:token", TokenNameError::Form("token".into())),
            ("pkcs11:token=", TokenNameError::Form("token=".into())),
            ("pkcs11:token=%4", TokenNameError::Form("token=%4".into())),
            ("pkcs11:token=%zz", TokenNameError::Form("token=%zz".into())),
            ("pkcs11:token=%ff", TokenNameError::Form("token=%ff".into())),
            ("pkcs11:token=%00", TokenNameError::Form("token=%00".into())),
            ("pkcs11:token=a;token=b", TokenNameError::Twice("token".into())),
            ("pkcs11:object=key", TokenNameError::Attribute("object".into())),
            ("pkcs11:token=a?pin-value=1234", TokenNameError::Pin),
            ("pkcs11:token=a;pin-source=x", TokenNameError::Pin),
            (
                "pkcs11:token=a?module-path=/x",
                TokenNameError::Form("token=a?module-path=/x".into()),
            ),
        ] {
            assert_eq!(token_name(text), Err(why), "{text}");
        }
    }
}
