//! Asks another authorization server about a token, over HTTPS.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use sealock_net::tls::{LiveClient, client_config};
use sealock_traffic::gatekeeper::{Answer, Asked, IntrospectSettings, Introspector};
use sealock_traffic::token::MAXIMUM_INTROSPECTION;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::IdentityFolder;
use crate::client::link::{IdentityFiles, roots_in};
use crate::daemon::blocking;
use crate::error::{ErrorCode, ServiceError};

/// For its answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The server that knows tokens which are not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntrospectOptions {
    /// `https://…`; `http://` on this host's loopback only, for tokens go there.
    pub url: String,
    /// The roots to trust.
    pub ca: Option<PathBuf>,
    /// Who we are there, with the file of the secret.
    pub client: Option<(String, PathBuf)>,
    /// Or by which certificate.
    pub identity: Option<IdentityFolder>,
    /// How its tokens are taken.
    pub settings: IntrospectSettings,
}

impl IntrospectOptions {
    /// The usual deadline for its answer.
    pub const DEADLINE: Duration = DEADLINE;
}

/// Why there is no answer. It holds no token.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("it cannot be reached: {0}")]
    Unreachable(#[from] std::io::Error),
    #[error("the exchange broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("its answer is too long, or broke off")]
    Body,
    #[error("{0}")]
    Files(ServiceError),
    #[error("the request cannot be written")]
    Request,
}

pub(super) struct Server {
    /// `host:port`.
    address: String,
    host: HeaderValue,
    path: Uri,
    is_tls: bool,
    options: IntrospectOptions,
}

impl Server {
    /// What is wrong with the options is said now, their files included.
    pub(super) async fn new(options: IntrospectOptions) -> Result<Self, ServiceError> {
        let wrong = |text: &str| {
            ServiceError::new(ErrorCode::Usage, format!("`{}` {text}", options.url))
                .hint("--introspect https://HOST[:PORT]/PATH")
        };
        let uri: Uri = options.url.parse().map_err(|_| wrong("is no URL"))?;
        let authority = uri.authority().ok_or_else(|| wrong("is no URL"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("has a user in it"));
        }
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_loopback(authority.host()) => false,
            Some("http") => return Err(wrong("would send tokens in clear text to another host")),
            _ => return Err(wrong("is not https")),
        };
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("is no URL"))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = path.parse().map_err(|_| wrong("is no URL"))?;
        let address = format!("{}:{port}", authority.host());
        if is_tls && options.ca.is_none() && options.identity.is_none() {
            return Err(ServiceError::new(ErrorCode::Usage, "nobody is trusted to be that server")
                .hint("--introspect-ca FILE, its roots as PEM"));
        }
        let server = Self { address, host, path, is_tls, options };
        server.files().await?;
        Ok(server)
    }

    /// They are read anew for each question, because they are renewed.
    async fn files(
        &self,
    ) -> Result<(Option<rustls::ClientConfig>, Option<HeaderValue>), ServiceError> {
        let (options, is_tls) = (self.options.clone(), self.is_tls);
        blocking(move || {
            let files = options.identity.map(|identity| identity.read_any()).transpose()?;
            let config = if is_tls {
                let (roots, own) = match (files, &options.ca) {
                    (Some(IdentityFiles { chain, key, roots }), ca) => {
                        let roots = ca.as_deref().map(roots_in).transpose()?.unwrap_or(roots);
                        (roots, Some((chain, key)))
                    }
                    (None, Some(ca)) => (roots_in(ca)?, None),
                    (None, None) => (Vec::new(), None),
                };
                let config = client_config(&roots, own);
                Some(config.map_err(|error| ServiceError::of(ErrorCode::Failed, &error))?)
            } else {
                None
            };
            let basic = options.client.map(|(name, file)| {
                let secret = fs::read_to_string(&file).map(Zeroizing::new).map_err(|error| {
                    let text = format!("cannot read {}", file.display());
                    ServiceError::new(ErrorCode::Failed, text).caused_by(&error)
                })?;
                basic(&name, secret.trim())
            });
            Ok((config, basic.transpose()?))
        })
        .await
    }

    fn request(
        &self,
        token: &str,
        basic: Option<HeaderValue>,
    ) -> Result<Request<Full<Bytes>>, NoAnswer> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", token).append_pair("token_type_hint", "access_token");
        let mut request = Request::builder()
            .method("POST")
            .uri(self.path.clone())
            .header(HOST, self.host.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(basic) = basic {
            request = request.header(AUTHORIZATION, basic);
        }
        request.body(Full::new(Bytes::from(form.finish()))).map_err(|_| NoAnswer::Request)
    }
}

/// What is shared by the questions.
pub(super) struct Questions(pub(super) std::sync::Arc<Server>);

impl Introspector for Questions {
    fn ask(&self, token: Zeroizing<String>) -> Asked {
        let server = std::sync::Arc::clone(&self.0);
        Box::pin(async move {
            let (config, basic) = server.files().await.map_err(NoAnswer::Files)?;
            let request = server.request(&token, basic)?;
            let stream = TcpStream::connect(&server.address).await.map_err(NoAnswer::from)?;
            stream.set_nodelay(true).map_err(NoAnswer::from)?;
            let answer = match config {
                Some(config) => {
                    let client = LiveClient::new(config);
                    let stream = client.connect(&server.address, stream).await;
                    exchange(stream.map_err(NoAnswer::from)?, request).await
                }
                None => exchange(stream, request).await,
            };
            Ok(answer?)
        })
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, NoAnswer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asking = async {
        let response = sender.send_request(request).await?;
        // Redirects are not followed: they would take the token elsewhere.
        if response.status() != hyper::StatusCode::OK {
            return Ok(Answer::Status(response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), MAXIMUM_INTROSPECTION).collect().await;
        Ok(Answer::Body(body.map_err(|_| NoAnswer::Body)?.to_bytes().to_vec()))
    };
    tokio::pin!(asking);
    tokio::select! {
        answer = &mut asking => answer,
        // It may have ended behind the answer.
        _ = connection => asking.await,
    }
}

/// RFC 6749 §2.3.1: both parts are form-encoded before.
fn basic(name: &str, secret: &str) -> Result<HeaderValue, ServiceError> {
    let encoded =
        |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let both = Zeroizing::new(format!("{}:{}", encoded(name), encoded(secret)));
    let value = Zeroizing::new(format!("Basic {}", BASE64.encode(both.as_bytes())));
    let value = HeaderValue::from_str(&value);
    let mut value = value.map_err(|error| ServiceError::of(ErrorCode::Usage, &error))?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> IntrospectOptions {
        let settings = IntrospectSettings {
            audience: None,
            issuer: None,
            identities: vec!["human/{username}".parse().unwrap()],
            keep: DEADLINE,
            deadline: DEADLINE,
        };
        IntrospectOptions { url: url.to_owned(), ca: None, client: None, identity: None, settings }
    }

    #[tokio::test]
    async fn tokens_go_nowhere_in_clear_text() {
        for (url, why) in [
            ("http://idp.example/introspect", "in clear text"),
            ("http://127.0.0.1.example/", "in clear text"),
            ("http://10.0.0.1/", "in clear text"),
            ("https://idp.example/introspect", "nobody is trusted"),
            ("https://a:b@idp.example/", "has a user"),
            ("ftp://idp.example/", "not https"),
            ("idp.example", "is"),
            ("", "is no URL"),
        ] {
            let error = Server::new(options(url)).await.err().unwrap();
            assert!(error.to_string().contains(why), "{url}: {error}");
        }
        for url in ["http://127.0.0.1:1/i", "http://localhost/", "http://[::1]:8080/a?b=c"] {
            assert!(Server::new(options(url)).await.is_ok(), "{url}");
        }
    }

    #[test]
    fn a_secret_is_encoded_and_not_shown() {
        let value = basic("a b", "p:w%").unwrap();
        let expected = format!("Basic {}", BASE64.encode(b"a+b:p%3Aw%25"));
        assert_eq!(value.as_bytes(), expected.as_bytes());
        assert_eq!(format!("{value:?}"), "Sensitive");
    }
}
