//! The scene of a company with a CA of its own: a request goes out, what comes back is served, and then the next one,
//! without a restart. The company's CA is made here, in memory: it knows nothing of Sealock but the request.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use sealock_formats::{Material, Target, certificate_to_pem, write};
use time::{Duration, OffsetDateTime};

use super::scenes::{Teller, check, handshake, plain_serial, served, short};
use super::stage::Stage;
use crate::printer::Failure;

/// The request, and the certificate that comes of it.
const REQUEST: &str = "portal";

/// Plays it.
pub(super) async fn play(stage: &mut Stage, teller: &mut Teller) -> Result<(), Failure> {
    let portal = format!("portal-{}", std::process::id());
    let company = Company::found()?;
    let root = stage.folder("company-root.pem");
    put(&root, certificate_to_pem(&company.root).as_bytes())?;
    stage.output(&["trust", "add", &shown(&root), "--name", "company"]).await?;
    let rule = format!(
        "permit (principal == Sealock::Service::\"{portal}\", action == Sealock::Action::\"Cert::Use\", resource == Sealock::ImportedCertificate::\"{REQUEST}\");\n"
    );
    put(&stage.state().join("policy/demo-company.cedar"), rule.as_bytes())?;
    stage.output(&["policy", "reload"]).await?;

    let first = asked(stage, &company, &portal, &[]).await?;
    teller.tell(&format!(
        "a key was made here for {portal}, its request went to the company's CA, and came back as {first}"
    ))?;
    let labels = [
        ("sealock.cert.web.imported", REQUEST),
        ("sealock.cert.web.reload", "signal:HUP"),
        ("sealock.cert.web.verify", "tls:8443"),
    ];
    let id = stage.start_container(&portal, &labels).await?;
    let serial = served(stage, &portal, None).await?;
    let seen = handshake(stage, &id, &portal).await?;
    check(seen.chain.is_ok(), "the served chain does not lead to the company's root")?;
    check(seen.serial == plain_serial(&serial), "another serial was served than delivered")?;
    let started = stage.engine.inspect(&id).await.map_err(|error| Failure::from_error(&error))?;
    teller
        .tell(&format!("{portal} serves the company's certificate: serial {}", short(&serial)))?;

    asked(stage, &company, &portal, &["--replace"]).await?;
    let next = served(stage, &portal, Some(&serial)).await?;
    let now = stage.engine.inspect(&id).await.map_err(|error| Failure::from_error(&error))?;
    check(now.started_at == started.started_at, "the container was restarted")?;
    teller.tell(&format!(
        "the company signed the next one, which is served without a restart: serial {}",
        short(&next)
    ))
}

/// Requests, has it signed, and imports what came back. Gives the name of the file that it came in.
async fn asked(
    stage: &Stage,
    company: &Company,
    name: &str,
    more: &[&str],
) -> Result<String, Failure> {
    let out = shown(&stage.folder("requests"));
    let asked = ["cert", "request", REQUEST, "--dns", name, "--usage", "server", "--out", &out];
    stage.output(&[&asked[..], more].concat()).await?;
    let csr = std::fs::read_to_string(stage.folder("requests").join(format!("{REQUEST}.csr")))
        .map_err(|error| Failure::fault("the request is not there").caused_by(&error))?;
    let file = format!("{REQUEST}.p7b");
    let path = stage.folder(&file);
    put(&path, &company.signed(&csr)?)?;
    stage.output(&["cert", "import", REQUEST, &shown(&path)]).await?;
    Ok(file)
}

fn shown(path: &std::path::Path) -> String {
    path.display().to_string()
}

fn put(path: &PathBuf, content: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, content).map_err(|error| {
        Failure::refused(format!("cannot write {}", path.display())).caused_by(&error)
    })
}

/// A CA that is not ours.
struct Company {
    root: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Company {
    fn found() -> Result<Self, Failure> {
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::OrganizationName, "Company");
        parameters.distinguished_name.push(DnType::CommonName, "Company Root");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = parameters.self_signed(&key).map_err(|error| failed(&error))?;
        let root = root.der().to_vec();
        let issuer = Issuer::new(parameters, key);
        Ok(Self { root, issuer })
    }

    /// Signs what is asked for, and hands the chain back as PKCS#7, as many companies' CAs do.
    fn signed(&self, csr: &str) -> Result<Vec<u8>, Failure> {
        let mut asked =
            CertificateSigningRequestParams::from_pem(csr).map_err(|error| failed(&error))?;
        let now = OffsetDateTime::now_utc();
        asked.params.not_before = now - Duration::minutes(5);
        asked.params.not_after = now + Duration::days(90);
        asked.params.is_ca = IsCa::ExplicitNoCa;
        asked.params.use_authority_key_identifier_extension = true;
        asked.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        asked.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = asked.signed_by(&self.issuer).map_err(|error| failed(&error))?;
        let material = Material {
            key: None,
            leaf: Some(leaf.der().to_vec()),
            intermediates: Vec::new(),
            roots: vec![self.root.clone()],
            alias: REQUEST.to_owned(),
        };
        let target = Target::Pkcs7 { with_root: true };
        let made = write(&material, target, None).map_err(|error| Failure::from_error(&error))?;
        Ok(made.expose().to_vec())
    }
}

fn failed(error: &rcgen::Error) -> Failure {
    Failure::fault("the company's CA does not work").caused_by(error)
}
