//! `instant-acme`, a client as a library: it gets, renews and revokes a certificate.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, Response};
use instant_acme::{
    Account, AuthorizationStatus, BodyWrapper, BytesResponse, CertificateIdentifier, ChallengeType,
    Error, ExternalAccountKey, HttpClient, Identifier, NewAccount, NewOrder, OrderStatus,
    RetryPolicy, RevocationReason, RevocationRequest,
};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealock_testkit::names::Names;

use crate::acme::World;
use crate::acme_client::{Site, found, web};
use crate::acme_good::certificate_id;
use crate::api::end;
use crate::scratch::call;

const RULES: &str = "permit (principal in Sealock::Group::\"acme\", action == Sealock::Action::\"Cert::Issue\", resource in Sealock::Domain::\"acme.test\");
permit (principal == Sealock::Service::\"web\", action == Sealock::Action::\"Cert::Issue\", resource in Sealock::Domain::\"acme.test\");
";

struct Library(Arc<Site>);

impl HttpClient for Library {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let site = Arc::clone(&self.0);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let body = String::from_utf8(body.to_vec()).unwrap();
            let kind = parts.headers.get("content-type").map(|it| it.to_str().unwrap().to_owned());
            let mut headers = vec![("host", site.host())];
            headers.extend(kind.as_deref().map(|kind| ("content-type", kind)));
            let url = parts.uri.to_string();
            let answer = site.try_ask(parts.method.as_str(), &url, &headers, &body).await;
            let answer = answer.map_err(|error| Error::Other(Box::new(error)))?;
            let mut response = Response::new(Full::new(answer.body));
            *response.status_mut() = answer.status.try_into().unwrap();
            *response.headers_mut() = answer.headers;
            Ok(BytesResponse::from(response))
        })
    }
}

/// The certificate of a new order, by http-01 where that is asked.
async fn certificate(
    account: &Account,
    wanted: &NewOrder<'_>,
    name: &str,
    answers: &Mutex<HashMap<String, String>>,
) -> CertificateDer<'static> {
    let mut order = account.new_order(wanted).await.unwrap();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.unwrap();
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization.challenge(ChallengeType::Http01).unwrap();
        let token = challenge.token.clone();
        answers.lock().insert(token, challenge.key_authorization().as_str().to_owned());
        challenge.set_ready().await.unwrap();
    }
    assert_eq!(order.poll_ready(&RetryPolicy::default()).await.unwrap(), OrderStatus::Ready);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    order.finalize_csr(params.serialize_request(&key).unwrap().der()).await.unwrap();
    let pem = order.poll_certificate(&RetryPolicy::default()).await.unwrap();
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 2);
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_library_gets_renews_and_revokes() {
    let answers: Arc<Mutex<HashMap<String, String>>> = Arc::default();
    let shown = Arc::clone(&answers);
    let http = web(move |_, token| shown.lock().get(token).map(|text| found(text))).await;
    let scratch = tempfile::tempdir().unwrap();
    let names = Names::start(scratch.path().join("names"));
    let resolver = names.address;
    let world = World::with(move |settings| {
        settings.acme.resolvers = vec![resolver];
        settings.acme.allow = vec!["127.0.0.0/8".parse().unwrap()];
        settings.acme.http_port = http;
    })
    .await;
    std::fs::write(world.scratch.rule_file("acme.cedar"), RULES).unwrap();
    call(world.daemon.service(), sealock_control::Command::PolicyReload).await.unwrap();
    let new = NewAccount {
        contact: &["mailto:jo@corp.example"],
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let mac = ExternalAccountKey::new("web".to_owned(), &world.binding("web").await);
    for binding in [None, Some(&mac)] {
        let builder = Account::builder_with_http(Box::new(Library(world.site())));
        let made = builder.create(&new, world.at("directory"), binding).await;
        let (mut account, _) = made.unwrap();
        let name = if binding.is_some() { "bound.acme.test" } else { "library.acme.test" };
        let identifiers = [Identifier::Dns(name.to_owned())];
        let wanted = NewOrder::new(&identifiers);
        let first = certificate(&account, &wanted, name, &answers).await;
        let (authority, serial) = certificate_id(&first);
        let id = CertificateIdentifier::new(authority.into(), serial.into());
        let (info, _) = account.renewal_info(&id).await.unwrap();
        assert!(info.suggested_window.end > info.suggested_window.start);
        let _credentials = account.update_key().await.unwrap();
        let wanted = NewOrder::new(&identifiers).replaces(id.clone()).profile("short");
        let second = certificate(&account, &wanted, name, &answers).await;
        assert_ne!(first, second);
        let again = NewOrder::new(&identifiers).replaces(id);
        match account.new_order(&again).await.err() {
            Some(Error::Api(problem)) => {
                let kind = problem.r#type.unwrap();
                assert!(kind.ends_with(":alreadyReplaced"), "{kind}");
            }
            other => panic!("{other:?}"),
        }
        let reason = Some(RevocationReason::Superseded);
        let request = RevocationRequest { certificate: &second, reason };
        account.revoke(&request).await.unwrap();
        let twice = account.revoke(&request).await.unwrap_err();
        assert!(matches!(twice, Error::Api(_)), "{twice:?}");
        account.deactivate().await.unwrap();
    }
    end(world.daemon).await;
}
