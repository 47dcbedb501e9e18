//! The method of a request.

use hyper::Method;
use thiserror::Error;

/// The longest method that is registered has 17 letters.
const LONGEST: usize = 32;

/// Why a method is refused: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the method is not in capital letters")]
pub struct MethodFault;

/// Refuses what is not in capital letters. Methods are case-sensitive (RFC 9110 §9.1), but some servers take `delete`
/// for DELETE, and a rule about DELETE would not see it.
pub fn check(method: &Method) -> Result<(), MethodFault> {
    let text = method.as_str();
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
    if text.len() <= LONGEST && text.bytes().all(allowed) { Ok(()) } else { Err(MethodFault) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_in_capital_letters() {
        let of = |text: &str| check(&Method::from_bytes(text.as_bytes()).unwrap());
        for text in ["GET", "DELETE", "PROPFIND", "VERSION-CONTROL", "M-SEARCH"] {
            assert_eq!(of(text), Ok(()), "{text}");
        }
        for text in ["get", "Delete", "GET_", "G3T", "GET.", &"A".repeat(LONGEST + 1)] {
            assert_eq!(of(text), Err(MethodFault), "{text}");
        }
    }
}
