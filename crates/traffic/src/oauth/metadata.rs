//! Where everything is (RFC 8414 §2, OpenID Connect Discovery 1.0 §3).

use serde_json::json;

/// The paths of the endpoints: token, introspection, revocation, keys.
pub const ENDPOINTS: [&str; 4] =
    ["/oauth/token", "/oauth/introspect", "/oauth/revoke", "/oauth/jwks"];

/// The metadata of an issuer, as JSON.
pub fn metadata(issuer: &str) -> Vec<u8> {
    let issuer = issuer.trim_end_matches('/');
    let [token, introspect, revoke, jwks] = ENDPOINTS.map(|path| format!("{issuer}{path}"));
    let methods = ["client_secret_basic", "client_secret_post", "tls_client_auth"];
    let document = json!({
        "issuer": issuer,
        "token_endpoint": token,
        "introspection_endpoint": introspect,
        "revocation_endpoint": revoke,
        "jwks_uri": jwks,
        "grant_types_supported": [
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "EdDSA"],
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "tls_client_certificate_bound_access_tokens": true,
    });
    serde_json::to_vec(&document).unwrap_or_default()
}
