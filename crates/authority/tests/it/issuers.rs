//! Issuing CAs under the root of a company, which is openssl here: what it signs, what is refused, and what verifiers say to
//! what is signed below it.

use std::time::Duration;

use sealock_authority::imported::ImportError;
use sealock_authority::{
    AuthorityError, ImportedIssuer, IssuerError, IssuerWishes, KeyType, Order, OrderError, Reason,
    Renewal, Usages,
};
use sealock_core::{Clock as _, IssuerName, SubjectName, SystemClock};

use crate::common::{Scratch, actor, available, order, refuse, succeed};
use crate::ocsp::{Question, publication};

const EXTENSIONS: &str = "\
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[shallow]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[issuing]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
[nolists]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[nocerts]
basicConstraints = critical, CA:TRUE
keyUsage = critical, cRLSign
[nopurpose]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
extendedKeyUsage = timeStamping
[servers]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
extendedKeyUsage = serverAuth
[odd]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
1.2.3.4 = critical, ASN1:NULL
[constrained]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
nameConstraints = critical, permitted;DNS:corp.example, excluded;DNS:secret.corp.example
[named]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
nameConstraints = critical, excluded;RID:1.2.3.4
[req]
distinguished_name = none
[none]
";

/// A company's CA in the scratch folder.
pub(crate) struct Company<'a> {
    pub(crate) scratch: &'a Scratch,
}

impl<'a> Company<'a> {
    pub(crate) fn new(scratch: &'a Scratch) -> Self {
        scratch.file("ext.cnf", EXTENSIONS);
        let company = Self { scratch };
        company.root("root", "root", &["-days", "3650"]);
        company
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.scratch.place.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn key(&self, name: &str) -> String {
        let key = self.path(&format!("{name}.key"));
        if !std::path::Path::new(&key).exists() {
            let curve = ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key];
            succeed("openssl", &curve);
        }
        key
    }

    pub(crate) fn root(&self, name: &str, kind: &str, more: &[&str]) {
        let (key, out) = (self.key(name), self.path(&format!("{name}.pem")));
        let (config, subject) = (self.path("ext.cnf"), format!("/DC=example/DC=corp/CN={name}"));
        let make = ["req", "-x509", "-new", "-key", &key, "-subj", &subject, "-config", &config];
        let as_ = ["-extensions", kind, "-out", &out];
        succeed("openssl", &[&make[..], &as_, more].concat());
    }

    /// A CA of the company's below another one.
    pub(crate) fn below(&self, name: &str, above: &str, kind: &str) {
        let (key, csr) = (self.key(name), self.path(&format!("{name}.csr")));
        let (config, subject) = (self.path("ext.cnf"), format!("/DC=example/DC=corp/CN={name}"));
        let ask =
            ["req", "-new", "-key", &key, "-subj", &subject, "-config", &config, "-out", &csr];
        succeed("openssl", &ask);
        self.certify(&csr, above, kind, name, &["-days", "3000"]);
    }

    pub(crate) fn certify(&self, csr: &str, above: &str, kind: &str, out: &str, more: &[&str]) {
        let (ca, key) = (self.path(&format!("{above}.pem")), self.path(&format!("{above}.key")));
        let (config, out) = (self.path("ext.cnf"), self.path(&format!("{out}.pem")));
        let sign = ["x509", "-req", "-in", csr, "-CA", &ca, "-CAkey", &key, "-CAcreateserial"];
        let as_ = ["-extfile", &config, "-extensions", kind, "-out", &out];
        succeed("openssl", &[&sign[..], &as_, more].concat());
    }

    pub(crate) fn der(&self, name: &str) -> Vec<u8> {
        let (pem, der) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.der")));
        succeed("openssl", &["x509", "-in", &pem, "-outform", "DER", "-out", &der]);
        std::fs::read(der).unwrap()
    }

    pub(crate) fn trusted(&self, name: &str) {
        let anchor = Some(name.parse().unwrap());
        self.scratch.authority.add_anchor(&self.der(name), anchor, false, &actor()).unwrap();
    }

    /// The CSR of `corp`, written out.
    pub(crate) fn csr(&self) -> String {
        self.csr_of(KeyType::P256)
    }

    pub(crate) fn csr_of(&self, key_type: KeyType) -> String {
        let wishes = IssuerWishes {
            subject: Some("CN=Docker Issuing CA,OU=Hosts,DC=corp,DC=example".parse().unwrap()),
            key_type: Some(key_type),
            home: None,
        };
        let made = self.scratch.authority.request_issuer(&corp(), &wishes, false, &actor());
        self.scratch.file("ours.csr", made.unwrap().standing.waiting.unwrap().csr)
    }

    pub(crate) fn import(&self, names: &[&str]) -> Result<ImportedIssuer, IssuerError> {
        let pile: Vec<Vec<u8>> = names.iter().map(|name| self.der(name)).collect();
        self.in_time();
        self.scratch.authority.import_issuer(&corp(), &pile, &actor())
    }

    /// openssl's certificates begin by the clock of the machine; ours stands, and is seconds behind by now.
    pub(crate) fn in_time(&self) {
        let (clock, now) = (&self.scratch.place.clock, SystemClock.now());
        if now.since(clock.now()) < Duration::from_secs(600) {
            clock.set(now.max(clock.now()));
        }
    }

    pub(crate) fn refused(&self, names: &[&str]) -> ImportError {
        match self.import(names).unwrap_err() {
            IssuerError::Import { source, .. } => source,
            other => panic!("{other}"),
        }
    }
}

pub(crate) fn corp() -> IssuerName {
    "corp".parse().unwrap()
}

pub(crate) fn by_corp(names: &[&str]) -> Order {
    Order { issuer: Some(corp()), ..order(names) }
}

/// A scratch authority with an issuer under a company's root; the company has signed it in between.
pub(crate) fn with_issuer(scratch: &Scratch) -> Company<'_> {
    let company = Company::new(scratch);
    company.trusted("root");
    let csr = company.csr();
    company.certify(&csr, "root", "issuing", "ours", &["-days", "365"]);
    let taken = company.import(&["ours"]).unwrap();
    assert!(taken.new && taken.asked.is_none(), "{taken:?}");
    company
}

fn verify(root: &str, chain: &str, more: &[&str]) -> Vec<String> {
    let fixed = ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile", root];
    let all = [&fixed[..], &["-untrusted", chain], more, &[chain]].concat();
    all.into_iter().map(ToOwned::to_owned).collect()
}

pub(crate) fn good(root: &str, chain: &str, more: &[&str]) {
    let arguments = verify(root, chain, more);
    succeed("openssl", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
}

pub(crate) fn bad(root: &str, chain: &str, more: &[&str]) -> String {
    let arguments = verify(root, chain, more);
    refuse("openssl", &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn what_an_issuer_under_the_companys_root_signs_verifies_with_that_root_alone() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let company = with_issuer(&scratch);
    let asked = succeed(
        "openssl",
        &["req", "-in", &company.path("ours.csr"), "-noout", "-text", "-verify"],
    );
    assert!(asked.contains("CA:TRUE, pathlen:0"), "{asked}");
    assert!(asked.contains("Certificate Sign, CRL Sign"), "{asked}");
    let root = company.path("root.pem");
    let issued = scratch.issue(&by_corp(&["web.corp.example"])).unwrap();
    let chain = scratch.file("tls.crt", issued.tls_crt());
    for more in [&["-purpose", "sslserver"], &["-verify_hostname", "web.corp.example"]] {
        good(&root, &chain, more);
    }
    bad(&root, &chain, &["-verify_hostname", "other.corp.example"]);
    // The company's root is the first that is handed out, and ours is there, too; ours verifies nothing of this.
    let bundle = issued.ca_crt();
    assert!(bundle.contains(std::fs::read_to_string(&root).unwrap().trim()));
    let first = format!("{}-----END CERTIFICATE-----\n", bundle.split("-----END").next().unwrap());
    good(&scratch.file("first.pem", first), &chain, &[]);
    let ours = scratch.file("ours-only.pem", scratch.authority.trust_bundle_pem());
    bad(&ours, &chain, &[]);
    // The inventory knows whose it is, and a list of its issuer says when it is revoked.
    let held = scratch.authority.issuer_standing(&corp()).unwrap().held.unwrap();
    let shown = scratch.authority.show("web.corp.example").unwrap();
    assert_eq!(shown.summary.issuer, held.id);
    assert_eq!(
        scratch.authority.find_der(&issued.leaf_der).unwrap().unwrap().serial,
        issued.serial
    );
    let list = || scratch.authority.crl_of(held.id).unwrap().unwrap().pem();
    let crl = scratch.file("corp.crl", list());
    good(&root, &chain, &["-crl_check", "-CRLfile", &crl]);
    scratch.authority.revoke(issued.serial, Reason::KeyCompromise, &actor()).unwrap();
    let crl = scratch.file("corp.crl", list());
    let said = bad(&root, &chain, &["-crl_check", "-CRLfile", &crl]);
    assert!(said.contains("certificate revoked"), "{said}");
    // Restarted, it is all there.
    let scratch = scratch.reopen();
    assert!(scratch.issue(&by_corp(&["again.corp.example"])).is_ok());
}

#[test]
fn gnutls_takes_what_an_issuer_under_the_companys_root_signs() {
    if !available("openssl") || !available("certtool") {
        return;
    }
    let scratch = Scratch::new();
    let company = with_issuer(&scratch);
    let issued = scratch.issue(&by_corp(&["web.corp.example"])).unwrap();
    let chain = scratch.file("tls.crt", issued.tls_crt());
    let root = company.path("root.pem");
    let trust = ["--verify", "--load-ca-certificate", &root, "--infile", &chain];
    succeed("certtool", &[&trust[..], &["--verify-hostname", "web.corp.example"]].concat());
}

#[test]
fn what_is_no_issuing_ca_is_refused_for_what_it_is() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let company = Company::new(&scratch);
    let csr = company.csr();
    company.certify(&csr, "root", "issuing", "ours", &["-days", "365"]);
    // Its root lies in the pile, and is nobody's whom we know.
    assert!(matches!(company.refused(&["ours", "root"]), ImportError::UnknownRoot { .. }));
    company.trusted("root");
    for (kind, what) in [
        ("leaf", "AuthorityWanted"),
        ("nolists", "NoListSign"),
        ("nocerts", "NoCertSign"),
        ("nopurpose", "NoPurpose"),
        ("odd", "Critical"),
        ("named", "Constraints"),
    ] {
        company.certify(&csr, "root", kind, kind, &["-days", "365"]);
        let error = company.refused(&[kind]);
        assert!(format!("{error:?}").starts_with(what), "{kind}: {error:?}");
    }
    company.certify(&csr, "root", "issuing", "brief", &["-days", "2"]);
    let clock = &scratch.place.clock;
    clock.advance(Duration::from_secs(3 * 86_400));
    assert!(matches!(company.refused(&["brief"]), ImportError::Expired { .. }));
    clock.set(clock.now().minus(Duration::from_secs(4 * 86_400)));
    assert!(matches!(company.refused(&["brief"]), ImportError::NotYetValid { .. }));
    clock.advance(Duration::from_secs(86_400));
    // A CA in between that permits none below it, and one that is not there.
    company.below("shallow", "root", "shallow");
    company.certify(&csr, "shallow", "issuing", "deep", &["-days", "365"]);
    assert!(matches!(company.refused(&["deep", "shallow"]), ImportError::PathLength { .. }));
    assert!(matches!(company.refused(&["deep"]), ImportError::Missing { .. }));
    // A leaf of the company stands in between.
    company.below("aleaf", "root", "leaf");
    company.certify(&csr, "aleaf", "issuing", "belowleaf", &["-days", "365"]);
    assert!(matches!(company.refused(&["belowleaf", "aleaf"]), ImportError::NotAuthority { .. }));
    // One in between whose constraints cannot be checked.
    company.below("named-ca", "root", "named");
    company.certify(&csr, "named-ca", "issuing", "belownamed", &["-days", "365"]);
    let error = company.refused(&["belownamed", "named-ca"]);
    assert!(matches!(error, ImportError::Constraints { .. }), "{error}");
    // Somebody else's.
    company.below("other", "root", "issuing");
    assert!(matches!(company.refused(&["other"]), ImportError::OtherKey { .. }));
    assert!(matches!(company.refused(&["root"]), ImportError::OtherKey { .. }));
    // Two that certify each other.
    company.below("one", "root", "root");
    company.below("two", "one", "root");
    let again = company.path("one.csr");
    company.certify(&again, "two", "root", "one-by-two", &["-days", "3000"]);
    company.certify(&csr, "one", "issuing", "round", &["-days", "365"]);
    assert!(matches!(company.refused(&["round", "one-by-two", "two"]), ImportError::Loop { .. }));
    // Too many.
    let pile = vec![company.der("ours"); 65];
    let error = scratch.authority.import_issuer(&corp(), &pile, &actor()).unwrap_err();
    let IssuerError::Import { source, .. } = error else { panic!("{error}") };
    assert_eq!(source, ImportError::TooMany(65));
    // After all that it waits as before, and takes what is good.
    let standing = scratch.authority.issuer_standing(&corp()).unwrap();
    assert!(standing.held.is_none() && standing.waiting.is_some());
    let error = scratch.issue(&by_corp(&["a.example"])).unwrap_err();
    assert!(matches!(error, AuthorityError::IssuerWaits { .. }), "{error}");
    assert!(company.import(&["root", "shallow", "ours", "other"]).unwrap().new);
    assert!(!company.import(&["ours"]).unwrap().new, "taken twice is taken once");
    assert!(scratch.issue(&by_corp(&["a.example"])).is_ok());
}

#[test]
fn constraints_and_purposes_of_every_ca_above_are_kept() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let company = Company::new(&scratch);
    company.trusted("root");
    company.below("policy", "root", "constrained");
    let csr = company.csr();
    company.certify(&csr, "policy", "servers", "ours", &["-days", "365"]);
    let taken = company.import(&["ours", "policy"]).unwrap();
    let held = taken.standing.held.unwrap();
    assert_eq!(held.constraints.len(), 1, "{held:?}");
    assert!(held.usages == Usages::SERVER && !held.ocsp, "{held:?}");
    let server = |names: &[&str]| Order { usages: Usages::SERVER, ..by_corp(names) };
    let issued = scratch.issue(&server(&["web.corp.example"])).unwrap();
    let chain = scratch.file("tls.crt", issued.tls_crt());
    good(&company.path("root.pem"), &chain, &["-purpose", "sslserver"]);
    for names in
        [&["web.other.example"][..], &["a.secret.corp.example"], &["web.corp.example", "x"]]
    {
        let error = scratch.issue(&server(names)).unwrap_err();
        assert!(matches!(error, AuthorityError::NotPermitted { .. }), "{error}");
    }
    let error = scratch.issue(&by_corp(&["web.corp.example"])).unwrap_err();
    assert!(matches!(error, AuthorityError::IssuerUsage { usage: "client", .. }), "{error}");
    // Our own chain has nothing against any of this.
    assert!(scratch.issue(&order(&["web.other.example"])).is_ok());
}

#[test]
fn an_identity_is_never_in_what_another_issuer_signs() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let _company = with_issuer(&scratch);
    let identity = "spiffe://corp.example/human/admin";
    let asked = Order { identity: Some(identity.parse().unwrap()), ..by_corp(&["a.example"]) };
    let error = scratch.issue(&asked).unwrap_err();
    let order_error = |error: AuthorityError| match error {
        AuthorityError::Order(error) => error,
        other => panic!("{other}"),
    };
    assert!(matches!(order_error(error), OrderError::IdentityElsewhere { .. }));
    let names = vec![SubjectName::uri(identity).unwrap()];
    let error = scratch.issue(&Order { names, ..by_corp(&[]) }).unwrap_err();
    assert!(matches!(order_error(error), OrderError::IdentityAsName(_)));
    // Nor by renewing ours under it.
    let ours = Order { identity: Some(identity.parse().unwrap()), ..order(&["a.example"]) };
    let ours = scratch.issue(&ours).unwrap();
    let renewal = Renewal { issuer: Some(corp()), ..Renewal::default() };
    let renewed = scratch.authority.renew(ours.serial, &renewal, &actor()).unwrap();
    let shown = scratch.authority.show_serial(renewed.serial).unwrap().summary;
    assert_eq!((shown.identity, shown.names.len()), (None, 1));
    let text = scratch.file("renewed.crt", renewed.tls_crt());
    let text = succeed("openssl", &["x509", "-in", &text, "-noout", "-text"]);
    assert!(!text.contains("spiffe"), "{text}");
}

#[test]
fn a_companys_new_root_is_reached_by_those_who_know_only_the_old_one_too() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let company = with_issuer(&scratch);
    let before = scratch.issue(&by_corp(&["before.corp.example"])).unwrap();
    // The new root, the same certified by the old one, and our CA anew below it.
    company.root("root2", "root", &["-days", "7300"]);
    let csr = company.path("root2.csr");
    let (key, config) = (company.path("root2.key"), company.path("ext.cnf"));
    let subject = "/DC=example/DC=corp/CN=root2";
    succeed(
        "openssl",
        &["req", "-new", "-key", &key, "-subj", subject, "-config", &config, "-out", &csr],
    );
    company.certify(&csr, "root", "root", "bridge", &["-days", "3000"]);
    company.certify(&company.path("ours.csr"), "root2", "issuing", "ours2", &["-days", "730"]);
    let error = company.refused(&["ours2", "root2"]);
    assert!(matches!(error, ImportError::UnknownRoot { .. }), "{error}");
    company.trusted("root2");
    let taken = company.import(&["bridge", "ours2", "root2"]).unwrap();
    assert!(taken.new);
    assert_eq!(taken.chain.len(), 2, "{:?}", taken.chain);
    assert!(taken.chain[1].contains("root2"), "{:?}", taken.chain);
    let after = scratch.issue(&by_corp(&["after.corp.example"])).unwrap();
    assert_eq!(after.issuer, before.issuer, "the key is the same");
    let chain = scratch.file("after.crt", after.tls_crt());
    for root in ["root.pem", "root2.pem"] {
        good(&company.path(root), &chain, &["-purpose", "sslserver"]);
    }
    // What was signed before goes on, with the chain that it was handed out with; one list is good for both.
    let old_chain = scratch.file("before.crt", before.tls_crt());
    let crl =
        scratch.file("corp.crl", scratch.authority.crl_of(after.issuer).unwrap().unwrap().pem());
    good(&company.path("root.pem"), &old_chain, &["-crl_check", "-CRLfile", &crl]);
    good(&company.path("root2.pem"), &chain, &["-crl_check", "-CRLfile", &crl]);
    let found = scratch
        .authority
        .list(&sealock_authority::ListFilter { issuer: Some(after.issuer), ..Default::default() });
    assert_eq!(found.unwrap().len(), 2);
    // The old root stays until nothing ends at it; the new one does now.
    let removed = scratch.authority.remove_anchor("root2", false, &actor());
    assert!(removed.is_err());
    scratch.authority.remove_anchor("root", false, &actor()).unwrap();
    // Under another name the same key would leave its lists with a name that its leaves have not.
    let renamed = ["-days", "365", "-subj", "/CN=Renamed"];
    company.certify(&company.path("ours.csr"), "root2", "issuing", "renamed", &renamed);
    let error = company.refused(&["renamed"]);
    assert!(matches!(error, ImportError::OtherSubject { .. }), "{error}");
}

#[test]
fn a_successors_key_takes_over_and_the_lists_of_the_one_before_are_kept_up() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let company = with_issuer(&scratch);
    let before = scratch.issue(&by_corp(&["web.corp.example"])).unwrap();
    let nothing = IssuerWishes::default();
    let next = scratch.authority.request_issuer(&corp(), &nothing, false, &actor()).unwrap();
    assert!(next.new && next.standing.held.is_some());
    let again = scratch.authority.request_issuer(&corp(), &nothing, false, &actor()).unwrap();
    assert!(!again.new);
    assert_eq!(again.standing.waiting, next.standing.waiting);
    // Until it is signed, the one before signs.
    assert_eq!(scratch.issue(&by_corp(&["b.corp.example"])).unwrap().issuer, before.issuer);
    let csr = scratch.file("next.csr", next.standing.waiting.unwrap().csr);
    company.certify(
        &csr,
        "root",
        "issuing",
        "next",
        &["-days", "365", "-subj", "/CN=Chosen by them"],
    );
    let taken = company.import(&["next"]).unwrap();
    assert!(taken.asked.is_some(), "the certificate's subject is what counts");
    let renewed = scratch.authority.renew(before.serial, &Renewal::default(), &actor()).unwrap();
    assert_ne!(renewed.issuer, before.issuer, "the newest of the line renews");
    let root = company.path("root.pem");
    good(&root, &scratch.file("renewed.crt", renewed.tls_crt()), &[]);
    let standing = scratch.authority.issuer_standing(&corp()).unwrap();
    assert_eq!(standing.retired.len(), 1, "{standing:?}");
    scratch.authority.revoke(before.serial, Reason::Superseded, &actor()).unwrap();
    let crl =
        scratch.file("old.crl", scratch.authority.crl_of(before.issuer).unwrap().unwrap().pem());
    let chain = scratch.file("before.crt", before.tls_crt());
    let said = bad(&root, &chain, &["-crl_check", "-CRLfile", &crl]);
    assert!(said.contains("certificate revoked"), "{said}");
    // Our own rotation has nothing to do with it.
    scratch.authority.rotate(sealock_authority::Rotate::Root, None, &actor()).unwrap();
    assert_eq!(scratch.issue(&by_corp(&["c.corp.example"])).unwrap().issuer, renewed.issuer);
    // When all of its leaves have expired, so has the need for its key.
    scratch.place.clock.advance(Duration::from_secs(12 * 86_400));
    let done = scratch.authority.maintain(&actor()).unwrap();
    assert!(done.keys_removed >= 1, "{done:?}");
    assert_eq!(scratch.authority.issuer_standing(&corp()).unwrap().retired, []);
    assert!(scratch.issue(&by_corp(&["d.corp.example"])).is_ok());
}

#[test]
fn a_disabled_issuer_signs_nothing_and_goes_on_listing() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let _company = with_issuer(&scratch);
    let issued = scratch.issue(&by_corp(&["web.corp.example"])).unwrap();
    scratch.authority.disable_issuer(&corp(), true, &actor()).unwrap();
    for refused in [
        scratch.issue(&by_corp(&["b.corp.example"])).unwrap_err(),
        scratch.authority.renew(issued.serial, &Renewal::default(), &actor()).unwrap_err(),
    ] {
        assert!(matches!(refused, AuthorityError::IssuerDisabled { .. }), "{refused}");
    }
    scratch.authority.revoke(issued.serial, Reason::Superseded, &actor()).unwrap();
    assert_eq!(scratch.authority.crl_of(issued.issuer).unwrap().unwrap().entries, 1);
    scratch.authority.disable_issuer(&corp(), false, &actor()).unwrap();
    assert!(scratch.issue(&by_corp(&["b.corp.example"])).is_ok());
    let unknown = Order { issuer: Some("nobody".parse().unwrap()), ..order(&["a"]) };
    let error = scratch.issue(&unknown).unwrap_err();
    assert!(matches!(error, AuthorityError::NoSuchIssuer { .. }), "{error}");
}

#[test]
fn below_a_root_that_was_taken_away_nothing_is_signed() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let _company = with_issuer(&scratch);
    let issued = scratch.issue(&by_corp(&["web.corp.example"])).unwrap();
    let root = scratch.authority.anchors().remove(0);
    assert!(scratch.authority.remove_anchor(root.name.as_str(), false, &actor()).is_err());
    scratch.authority.remove_anchor(root.name.as_str(), true, &actor()).unwrap();
    for refused in [
        scratch.issue(&by_corp(&["b.corp.example"])).unwrap_err(),
        scratch.authority.renew(issued.serial, &Renewal::default(), &actor()).unwrap_err(),
        scratch.authority.could_issue(Some(&corp()), &[], Usages::SERVER).unwrap_err(),
    ] {
        assert!(matches!(refused, AuthorityError::IssuerRootGone { .. }), "{refused}");
    }
    assert!(scratch.issue(&order(&["b.corp.example"])).is_ok(), "our own goes on");
}

#[test]
fn a_responder_of_its_own_answers_for_what_it_signs() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    scratch.authority.publish(publication()).unwrap();
    let _company = with_issuer(&scratch);
    let issued = scratch.issue(&by_corp(&["web.corp.example"])).unwrap();
    let question = Question::about(&scratch, &issued);
    let ask = || scratch.authority.ocsp(&question.request(&["-no_nonce"])).unwrap();
    let said = question.read(&ask());
    assert!(said.contains("leaf.pem: good"), "{said}");
    scratch.authority.revoke(issued.serial, Reason::Superseded, &actor()).unwrap();
    let said = question.read(&ask());
    assert!(said.contains("leaf.pem: revoked"), "{said}");
    let shown = succeed("openssl", &["x509", "-in", &question_leaf(&scratch), "-noout", "-text"]);
    for url in
        ["/ocsp", &format!("/crl/{}.crl", issued.issuer), &format!("/ca/{}.crt", issued.issuer)]
    {
        assert!(shown.contains(url), "{url}: {shown}");
    }
}

fn question_leaf(scratch: &Scratch) -> String {
    scratch.place.path().join("leaf.pem").to_str().unwrap().to_owned()
}

#[test]
fn a_leaf_lives_no_longer_than_the_first_ca_of_its_chain_to_end() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let company = Company::new(&scratch);
    company.trusted("root");
    // The one between ends before ours does.
    let (key, csr) = (company.key("short"), company.path("short.csr"));
    let config = company.path("ext.cnf");
    succeed(
        "openssl",
        &["req", "-new", "-key", &key, "-subj", "/CN=short", "-config", &config, "-out", &csr],
    );
    company.certify(&csr, "root", "root", "short", &["-days", "30"]);
    company.certify(&company.csr(), "short", "issuing", "ours", &["-days", "365"]);
    company.import(&["short", "ours"]).unwrap();
    let days = |days: u64| Order { ttl: Duration::from_secs(days * 86_400), ..by_corp(&["a"]) };
    assert!(scratch.issue(&days(29)).is_ok());
    let error = scratch.issue(&days(31)).unwrap_err();
    assert!(matches!(error, AuthorityError::OutlivesIssuer { .. }), "{error}");
    scratch.place.clock.advance(Duration::from_secs(31 * 86_400));
    let error = scratch.issue(&days(1)).unwrap_err();
    assert!(matches!(error, AuthorityError::IssuerExpired(_)), "{error}");
    assert!(scratch.issue(&order(&["a"])).is_ok(), "our own goes on");
}

#[test]
fn requests_are_refused_for_what_would_be_taken_for_ours() {
    let scratch = Scratch::new();
    let ask = |name: &str, subject: Option<&str>| {
        let subject = subject.map(|text| text.parse().unwrap());
        let wishes = IssuerWishes { subject, ..IssuerWishes::default() };
        scratch.authority.request_issuer(&name.parse().unwrap(), &wishes, false, &actor())
    };
    assert!(matches!(ask("own", Some("CN=a")), Err(IssuerError::Own)));
    assert!(matches!(ask("corp", None), Err(IssuerError::NoSubject)));
    let ours = Some("CN=Sealock Issuing CA 7,O=corp.example");
    assert!(matches!(ask("corp", ours), Err(IssuerError::OwnSubject(_))));
    assert!(ask("corp", Some("CN=a")).unwrap().new);
    assert!(matches!(ask("corp", Some("CN=b")), Err(IssuerError::OtherWishes(_))));
    for number in 1..32 {
        assert!(ask(&format!("corp-{number}"), Some("CN=a")).unwrap().new);
    }
    assert!(matches!(ask("corp-32", Some("CN=a")), Err(IssuerError::TooMany)));
    let dropped = scratch.authority.cancel_issuer(&corp(), &actor()).unwrap();
    assert!(dropped.waiting.is_none());
    assert!(scratch.authority.issuer_standing(&corp()).is_none());
    assert!(ask("corp-32", Some("CN=a")).unwrap().new);
}
