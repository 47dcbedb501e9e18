//! What an authorization server answers about a token that is not ours (RFC 7662 §2.2). Read strictly: what is not of the
//! form is no answer, and never a good token.

use sealock_core::json::{self, JsonFault, Members, Value};
use thiserror::Error;

use super::claims::binding;

/// The longest answer, in bytes.
pub const MAXIMUM_INTROSPECTION: usize = 64 * 1024;

/// Why an answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IntrospectionFault {
    /// It is too long.
    #[error("the answer is longer than {MAXIMUM_INTROSPECTION} bytes")]
    TooLong,
    /// It is no JSON object.
    #[error("the answer is not of the form")]
    Json(#[source] JsonFault),
    /// `active` is not true or false.
    #[error("the answer does not say whether the token is active")]
    NoActive,
    /// A member is of another type than RFC 7662 says.
    #[error("`{member}` of the answer is not of its form")]
    Member {
        /// Which.
        member: &'static str,
    },
}

/// What is said of a token that is active. All times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Introspected {
    /// `sub`.
    pub subject: Option<String>,
    /// `username`.
    pub username: Option<String>,
    /// `client_id`.
    pub client: Option<String>,
    /// `iss`.
    pub issuer: Option<String>,
    /// `aud`, be it one or several.
    pub audiences: Vec<String>,
    /// `exp`.
    pub expires_at: Option<u64>,
    /// `nbf`.
    pub not_before: Option<u64>,
    /// `iat`.
    pub issued_at: Option<u64>,
    /// `jti`.
    pub id: Option<String>,
    /// `cnf`: what must come with it.
    pub binding: Binding,
}

/// What must come with a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Binding {
    /// Nothing.
    #[default]
    None,
    /// The certificate with this SHA-256 (RFC 8705 §3.2).
    Certificate([u8; 32]),
    /// Something that we cannot check.
    Unknown,
}

/// Reads an answer; none if the token is not active.
pub fn introspected(bytes: &[u8]) -> Result<Option<Introspected>, IntrospectionFault> {
    if bytes.len() > MAXIMUM_INTROSPECTION {
        return Err(IntrospectionFault::TooLong);
    }
    let mut members = json::read(bytes).map_err(IntrospectionFault::Json)?;
    match members.take("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Ok(None),
        _ => return Err(IntrospectionFault::NoActive),
    }
    let cnf = members
        .take("cnf")
        .map(|value| binding(value).map_or(Binding::Unknown, Binding::Certificate));
    Ok(Some(Introspected {
        subject: text(&mut members, "sub")?,
        username: text(&mut members, "username")?,
        client: text(&mut members, "client_id")?,
        issuer: text(&mut members, "iss")?,
        audiences: audiences(&mut members)?,
        expires_at: time(&mut members, "exp")?,
        not_before: time(&mut members, "nbf")?,
        issued_at: time(&mut members, "iat")?,
        id: text(&mut members, "jti")?,
        binding: cnf.unwrap_or_default(),
    }))
}

/// Who a token says that it is from, if it is a JWT. Nobody has checked that: it decides only who is to check.
pub fn claimed_issuer(token: &str) -> Option<String> {
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).ok()?;
    match json::read(&claims).ok()?.take("iss")? {
        Value::Text(issuer) => Some(issuer),
        _ => None,
    }
}

fn text(members: &mut Members, member: &'static str) -> Result<Option<String>, IntrospectionFault> {
    match members.take(member) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(IntrospectionFault::Member { member }),
    }
}

fn time(members: &mut Members, member: &'static str) -> Result<Option<u64>, IntrospectionFault> {
    match members.take(member) {
        None => Ok(None),
        Some(Value::Number(seconds)) => Ok(Some(seconds)),
        // One that is passed over would be one that never ends.
        Some(_) => Err(IntrospectionFault::Member { member }),
    }
}

fn audiences(members: &mut Members) -> Result<Vec<String>, IntrospectionFault> {
    let wrong = IntrospectionFault::Member { member: "aud" };
    let list = match members.take("aud") {
        None => return Ok(Vec::new()),
        Some(Value::Text(one)) => return Ok(vec![one]),
        Some(Value::List(list)) => list,
        Some(_) => return Err(wrong),
    };
    let texts = list.into_iter().map(|value| match value {
        Value::Text(text) => Ok(text),
        _ => Err(wrong),
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_one_reading() {
        let answer = br#"{"active":true,"sub":"7","username":"alice","client_id":"web","iss":"https://idp",
            "aud":["orders","billing"],"exp":1700000300,"nbf":1,"iat":2,"jti":"x","scope":"a b","other":1.5}"#;
        let said = introspected(answer).unwrap().unwrap();
        assert_eq!((said.subject.as_deref(), said.username.as_deref()), (Some("7"), Some("alice")));
        assert_eq!(said.audiences, ["orders", "billing"]);
        assert_eq!((said.expires_at, said.binding), (Some(1_700_000_300), Binding::None));
        assert_eq!(introspected(br#"{"active":false,"sub":"7"}"#), Ok(None));
        for (answer, fault) in [
            (&br#"{}"#[..], IntrospectionFault::NoActive),
            (br#"{"active":"true"}"#, IntrospectionFault::NoActive),
            (br#"{"active":1}"#, IntrospectionFault::NoActive),
            (br#"{"active":null}"#, IntrospectionFault::NoActive),
            (
                br#"{"active":true,"exp":"1700000300"}"#,
                IntrospectionFault::Member { member: "exp" },
            ),
            (br#"{"active":true,"exp":1.5e9}"#, IntrospectionFault::Member { member: "exp" }),
            (br#"{"active":true,"exp":-1}"#, IntrospectionFault::Member { member: "exp" }),
            (br#"{"active":true,"sub":7}"#, IntrospectionFault::Member { member: "sub" }),
            (
                br#"{"active":true,"username":["a"]}"#,
                IntrospectionFault::Member { member: "username" },
            ),
            (br#"{"active":true,"aud":[1]}"#, IntrospectionFault::Member { member: "aud" }),
            (br#"[{"active":true}]"#, IntrospectionFault::Json(JsonFault::Syntax)),
            (br#"{"active":true} x"#, IntrospectionFault::Json(JsonFault::Syntax)),
            (
                br#"{"active":true,"sub":"a","sub":"b"}"#,
                IntrospectionFault::Json(JsonFault::Duplicate),
            ),
            (br#"{"active":false,"active":true}"#, IntrospectionFault::Json(JsonFault::Duplicate)),
            (b"", IntrospectionFault::Json(JsonFault::Syntax)),
        ] {
            let text = String::from_utf8_lossy(answer);
            assert_eq!(introspected(answer), Err(fault), "{text}");
        }
        assert_eq!(
            introspected(&vec![b' '; MAXIMUM_INTROSPECTION + 1]),
            Err(IntrospectionFault::TooLong)
        );
    }

    #[test]
    fn a_binding_that_is_not_known_is_not_none() {
        let hash = "A".repeat(43);
        for (cnf, binding) in [
            (format!(r#"{{"x5t#S256":"{hash}"}}"#), Binding::Certificate([0; 32])),
            (r#"{"jkt":"abc"}"#.to_owned(), Binding::Unknown),
            (format!(r#"{{"x5t#S256":"{hash}","jkt":"a"}}"#), Binding::Unknown),
            ("{}".to_owned(), Binding::Unknown),
            ("null".to_owned(), Binding::Unknown),
        ] {
            let answer = format!(r#"{{"active":true,"cnf":{cnf}}}"#);
            assert_eq!(introspected(answer.as_bytes()).unwrap().unwrap().binding, binding, "{cnf}");
        }
    }

    #[test]
    fn only_a_jwt_says_who_it_is_from() {
        let jwt = |claims: &str| {
            format!("e30.{}.AA", data_encoding::BASE64URL_NOPAD.encode(claims.as_bytes()))
        };
        assert_eq!(claimed_issuer(&jwt(r#"{"iss":"https://a"}"#)).as_deref(), Some("https://a"));
        for token in [
            "",
            "abc",
            "a.b",
            "e30.e30.AA",
            &jwt(r#"{"iss":1}"#),
            &jwt(r#"{"iss":"a","iss":"b"}"#),
            &jwt("x"),
        ] {
            assert_eq!(claimed_issuer(token), None, "{token}");
        }
    }
}
