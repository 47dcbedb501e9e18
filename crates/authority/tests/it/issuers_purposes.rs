//! E-mail and code below a company's root: what every CA of the chain lets be signed, and OpenSSL's word on what is.

use sealock_authority::imported::ImportError;
use sealock_authority::{AuthorityError, IssuerError, KeySource, KeyType, Order, Renewal, Usages};
use sealock_core::SubjectName;
use sealock_store::{Change, Transaction};

use crate::common::{Scratch, actor, available, order, succeed};
use crate::issuers::{Company, bad, by_corp, corp, good, with_issuer};

/// Where the authority's one record is.
const STATE: &[u8] = b"ca/state";

/// What CAs of these tests have beside the usual.
const KINDS: [(&str, &str); 5] = [
    ("mail", "extendedKeyUsage = emailProtection"),
    ("software", "extendedKeyUsage = codeSigning"),
    ("both", "extendedKeyUsage = serverAuth, clientAuth"),
    (
        "addresses",
        "nameConstraints = critical, permitted;email:corp.example, excluded;email:boss@corp.example",
    ),
    ("hosts", "nameConstraints = critical, permitted;DNS:corp.example"),
];

impl Company<'_> {
    /// The company's extensions, and a CA's of these kinds beside.
    fn with_kinds(&self) {
        let path = self.path("ext.cnf");
        let mut text = std::fs::read_to_string(&path).unwrap();
        for (name, more) in KINDS {
            text.push_str(&format!(
                "[{name}]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n\
                 subjectKeyIdentifier = hash\n{more}\n"
            ));
        }
        std::fs::write(path, text).unwrap();
    }

    /// Our CA of this kind, below the company's root or below one of another kind.
    fn issuer_of(&self, kind: &str, above: Option<&str>) -> Result<(), ImportError> {
        self.with_kinds();
        self.trusted("root");
        let csr = self.csr();
        let Some(above) = above else {
            self.certify(&csr, "root", kind, "ours", &["-days", "365"]);
            return self.tried(&["ours"]);
        };
        self.below("policy", "root", above);
        self.certify(&csr, "policy", kind, "ours", &["-days", "365"]);
        self.tried(&["ours", "policy"])
    }

    fn tried(&self, names: &[&str]) -> Result<(), ImportError> {
        match self.import(names) {
            Ok(_) => Ok(()),
            Err(IssuerError::Import { source, .. }) => Err(source),
            Err(other) => panic!("{other}"),
        }
    }
}

fn mail(address: &str) -> Order {
    let names = vec![SubjectName::email(address).unwrap()];
    Order { name: "jo".into(), names, usages: Usages::EMAIL, ..by_corp(&[]) }
}

fn code() -> Order {
    Order { usages: Usages::CODE, ..by_corp(&["release.corp.example"]) }
}

fn server() -> Order {
    Order { usages: Usages::SERVER, ..by_corp(&["web.corp.example"]) }
}

fn usage_lacking(scratch: &Scratch, order: &Order) -> Option<&'static str> {
    match scratch.issue(order) {
        Ok(_) => None,
        Err(AuthorityError::IssuerUsage { usage, .. }) => Some(usage),
        Err(other) => panic!("{other}"),
    }
}

fn permitted(scratch: &Scratch) -> Usages {
    scratch.authority.issuer_standing(&corp()).unwrap().held.unwrap().usages
}

#[test]
fn e_mail_and_code_are_signed_below_a_companys_root_and_nothing_else_is_said() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let company = with_issuer(&scratch);
    let all = Usages { server: true, client: true, code: true, email: true };
    assert_eq!(permitted(&scratch), all, "a CA without purposes has all of them");
    let root = company.path("root.pem");
    // Of keys on curves OpenSSL does not say that e-mail can be encrypted to them, whoever has signed that.
    let mut chain = String::new();
    for (kind, purpose) in [(KeyType::Rsa3072, "smimeencrypt"), (KeyType::P256, "smimesign")] {
        let order = Order { key: KeySource::Generate(kind), ..mail("jo@corp.example") };
        let signed = scratch.issue(&order).unwrap();
        chain = scratch.file("mail.crt", signed.tls_crt());
        good(&root, &chain, &["-purpose", purpose, "-verify_email", "jo@corp.example"]);
    }
    bad(&root, &chain, &["-verify_email", "al@corp.example"]);
    bad(&root, &chain, &["-purpose", "sslserver"]);
    bad(&root, &chain, &["-purpose", "sslclient"]);
    let signed = scratch.issue(&code()).unwrap();
    let chain = scratch.file("code.crt", signed.tls_crt());
    good(&root, &chain, &[]);
    for purpose in ["sslserver", "sslclient", "smimesign"] {
        bad(&root, &chain, &["-purpose", purpose]);
    }
    let shown = succeed("openssl", &["x509", "-in", &chain, "-noout", "-text"]);
    assert!(shown.contains("Code Signing") && !shown.contains("TLS Web"), "{shown}");
    // What is for nothing but e-mail or code is for no server below the company's root either.
    let mixed =
        Order { usages: Usages { server: true, ..Usages::EMAIL }, ..mail("a@corp.example") };
    assert!(matches!(scratch.issue(&mixed), Err(AuthorityError::Order(_))));
    // A renewal is by the same issuer, and for the same.
    let old = scratch.authority.show("jo").unwrap().summary;
    let renewed = scratch.authority.renew(old.serial, &Renewal::default(), &actor()).unwrap();
    let chain = scratch.file("renewed.crt", renewed.tls_crt());
    good(&root, &chain, &["-purpose", "smimesign"]);
}

#[test]
fn the_purposes_of_any_ca_of_the_chain_leave_out_what_they_do_not_name() {
    if !available("openssl") {
        return;
    }
    let tls = Usages::BOTH;
    for (kind, above, wanted) in [
        ("both", None, tls),
        ("issuing", Some("both"), tls),
        ("mail", None, Usages::EMAIL),
        ("issuing", Some("mail"), Usages::EMAIL),
        ("software", None, Usages::CODE),
    ] {
        let scratch = Scratch::new();
        let company = Company::new(&scratch);
        company.issuer_of(kind, above).unwrap();
        assert_eq!(permitted(&scratch), wanted, "{kind} below {above:?}");
        let orders = [(server(), "server"), (code(), "code"), (mail("jo@corp.example"), "email")];
        for (order, usage) in orders {
            let lacking = (!wanted.names().contains(&usage)).then_some(usage);
            assert_eq!(usage_lacking(&scratch, &order), lacking, "{kind} below {above:?}");
        }
        if wanted.email {
            let signed = scratch.issue(&mail("jo@corp.example")).unwrap();
            let chain = scratch.file("mail.crt", signed.tls_crt());
            good(&company.path("root.pem"), &chain, &["-purpose", "smimesign"]);
        }
        // The refusal says why, and it is so.
        let other = if wanted.email { code() } else { mail("a@corp.example") };
        let error = scratch.issue(&other).unwrap_err().to_string();
        assert!(error.contains("extended key usage of a CA"), "{error}");
        // Restarted it is the same.
        assert_eq!(permitted(&scratch.reopen()), wanted);
    }
    // One purpose above, another one below: nothing is left.
    let scratch = Scratch::new();
    let error = Company::new(&scratch).issuer_of("software", Some("mail")).unwrap_err();
    assert!(matches!(error, ImportError::NoPurpose { .. }), "{error}");
    let scratch = Scratch::new();
    let error = Company::new(&scratch).issuer_of("mail", Some("both")).unwrap_err();
    assert!(matches!(error, ImportError::NoPurpose { .. }), "{error}");
}

#[test]
fn constraints_on_addresses_are_kept_below_a_companys_root() {
    if !available("openssl") {
        return;
    }
    for (kind, above) in [("addresses", None), ("issuing", Some("addresses"))] {
        let scratch = Scratch::new();
        let company = Company::new(&scratch);
        company.issuer_of(kind, above).unwrap();
        let signed = scratch.issue(&mail("jo@corp.example")).unwrap();
        let chain = scratch.file("mail.crt", signed.tls_crt());
        good(&company.path("root.pem"), &chain, &["-purpose", "smimesign"]);
        for outside in ["jo@evil.example", "jo@mail.corp.example", "boss@corp.example"] {
            let error = scratch.issue(&mail(outside)).unwrap_err();
            assert!(matches!(error, AuthorityError::NotPermitted { .. }), "{outside}: {error}");
        }
        // Code in the name of an address is in that name, too.
        let names = vec![SubjectName::email("jo@evil.example").unwrap()];
        let error = scratch.issue(&Order { names, ..code() }).unwrap_err();
        assert!(matches!(error, AuthorityError::NotPermitted { .. }), "{error}");
    }
    // Constraints on hosts say nothing of addresses, and openssl agrees.
    let scratch = Scratch::new();
    let company = Company::new(&scratch);
    company.issuer_of("hosts", None).unwrap();
    let signed = scratch.issue(&mail("jo@elsewhere.example")).unwrap();
    let chain = scratch.file("mail.crt", signed.tls_crt());
    good(&company.path("root.pem"), &chain, &["-purpose", "smimesign"]);
}

/// As it was written before there were `code` and `email` in it.
fn written_before(scratch: &Scratch) {
    let record = scratch.journal.store().get(STATE).unwrap().unwrap();
    let mut state: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
    let mut found = 0;
    let issuers = state["issuers"].as_array_mut().unwrap().iter_mut();
    for under in issuers.filter_map(|one| one.get_mut("under")?.as_object_mut()) {
        assert!(under.remove("code").is_some() && under.remove("email").is_some());
        found += 1;
    }
    assert_eq!(found, 1, "there is one record of such an issuer");
    let value = serde_json::to_vec(&state).unwrap();
    let transaction = Transaction::new().put(STATE, value);
    let change = Change { transaction, events: Vec::new() };
    scratch.journal.commit_blocking(change).unwrap();
}

#[test]
fn a_record_of_before_permits_what_the_certificates_do_and_is_good_as_it_is() {
    if !available("openssl") {
        return;
    }
    for (kind, above, wanted) in [
        ("issuing", None, Usages { server: true, client: true, code: true, email: true }),
        ("both", None, Usages::BOTH),
        ("issuing", Some("both"), Usages::BOTH),
    ] {
        let scratch = Scratch::new();
        Company::new(&scratch).issuer_of(kind, above).unwrap();
        let before = scratch.issue(&server()).unwrap();
        written_before(&scratch);
        let scratch = scratch.reopen();
        assert_eq!(permitted(&scratch), wanted, "{kind} below {above:?}");
        let lacking = (!wanted.email).then_some("email");
        assert_eq!(usage_lacking(&scratch, &mail("jo@corp.example")), lacking);
        assert!(scratch.authority.show_serial(before.serial).is_ok());
        assert!(scratch.issue(&server()).is_ok());
        // The same certificate again is the same.
        let company = Company { scratch: &scratch };
        let names: &[&str] = if above.is_some() { &["ours", "policy"] } else { &["ours"] };
        assert!(!company.import(names).unwrap().new);
    }
}

#[test]
fn our_own_chain_signs_both_as_before() {
    let scratch = Scratch::new();
    let own = Order { issuer: None, ..mail("jo@corp.example") };
    assert!(scratch.issue(&own).is_ok());
    assert!(scratch.issue(&Order { usages: Usages::CODE, ..order(&["release"]) }).is_ok());
}
