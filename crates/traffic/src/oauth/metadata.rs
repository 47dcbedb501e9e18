//! Where everything is (RFC 8414 §2, OpenID Connect Discovery 1.0 §3).

use serde_json::json;

use crate::token::Algorithm;

/// The paths of the endpoints: token, introspection, revocation, keys.
pub const ENDPOINTS: [&str; 4] =
    ["/oauth/token", "/oauth/introspect", "/oauth/revoke", "/oauth/jwks"];

/// Where a person's program begins (RFC 8628 §3.1).
pub const DEVICE: &str = "/oauth/device_authorization";
/// Where it gets the certificate.
pub const ENROL: &str = "/oauth/enroll";
/// Where the person reads what to do with the code.
pub const VERIFICATION: &str = "/login";

/// The metadata of an issuer, as JSON: that of an authorization server (RFC 8414), also where OpenID Connect looks for it.
///
/// The broker is no OpenID Provider: nobody logs in at it with a browser, and there are no ID tokens. So there is no
/// `authorization_endpoint`, which OpenID Connect Discovery requires and RFC 8414 does not where no grant uses it, and no
/// RS256 among the algorithms, which it requires too: naming one that is never used would be an invitation to accept it.
/// The document lies under that name for verifiers that find `jwks_uri` there and nowhere else, which read no more than
/// that and `issuer` (Kubernetes publishes the keys of its tokens in the same way).
pub fn metadata(issuer: &str) -> Vec<u8> {
    let issuer = issuer.trim_end_matches('/');
    let [token, introspect, revoke, jwks] = ENDPOINTS.map(|path| format!("{issuer}{path}"));
    let methods =
        ["client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth"];
    // Programs that have no secret begin a login, and nothing else.
    let at_token = [&methods[..], &["none"]].concat();
    let algorithms = [Algorithm::Es256.name(), Algorithm::EdDsa.name()];
    let document = json!({
        "issuer": issuer,
        "token_endpoint": token,
        "introspection_endpoint": introspect,
        "revocation_endpoint": revoke,
        "jwks_uri": jwks,
        "grant_types_supported": [
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:token-exchange",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "device_authorization_endpoint": format!("{issuer}{DEVICE}"),
        // Required, and an empty list is to be left out (RFC 8414 §2, §3.2): the type with which nothing is given.
        "response_types_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
        "token_endpoint_auth_methods_supported": at_token,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "tls_client_certificate_bound_access_tokens": true,
    });
    serde_json::to_vec(&document).unwrap_or_default()
}
