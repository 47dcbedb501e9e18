//! What has to hold of every request, whatever it is. For the fuzz target and the tests.

use super::{
    Credentials, DeviceRequest, EnrolRequest, Form, Grant, OauthError, TokenQuestion, TokenRequest,
};

/// The first line is the Authorization header, the rest the body.
///
/// # Panics
/// When something does not hold.
pub fn fuzz(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (header, body) = data.split_at(at);
    let body = body.get(1..).unwrap_or_default();
    let header = Some(header).filter(|header| !header.is_empty());
    if let Ok(form) = Form::parse(body) {
        let shown = format!("{form:?}");
        for name in ["client_secret", "client_assertion", "token", "subject_token", "device_code"] {
            if let Some(value) = form.get(name).filter(|value| value.len() > 64) {
                assert!(!shown.contains(value), "a secret is shown");
            }
        }
    }
    let request = TokenRequest::read(header, body);
    let question = TokenQuestion::read(header, body);
    if let Ok(request) = &request {
        let is_device = matches!(request.grant, Grant::Device { .. });
        assert_eq!(request.audience.is_empty(), is_device);
        assert!(!request.audience.chars().any(char::is_control));
    }
    let (device, enrol) = (DeviceRequest::read(header, body), EnrolRequest::read(header, body));
    if let Ok(device) = &device {
        assert!(!device.client.is_empty() && !device.client.chars().any(char::is_control));
    }
    let basic = Credentials::basic(header.unwrap_or_default());
    if let Ok(Some(basic)) = &basic {
        assert!(
            !basic.client.contains(char::is_control) && !basic.secret.contains(char::is_control)
        );
    }
    let errors = [
        basic.as_ref().err(),
        request.as_ref().err(),
        question.as_ref().err(),
        device.as_ref().err(),
        enrol.as_ref().err(),
    ];
    for error in errors.into_iter().flatten() {
        well_formed(error);
    }
}

/// RFC 6749 §5.2: `error_description` has no quotes, backslashes and control characters.
fn well_formed(error: &OauthError) {
    assert!(error.description.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    assert!(!error.description.contains(['"', '\\']));
    assert!(serde_json::from_slice::<serde_json::Value>(&error.body()).is_ok());
}
