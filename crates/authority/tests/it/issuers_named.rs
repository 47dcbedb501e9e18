//! Constraints on names of a directory (RFC 5280 §4.2.1.10), ours and OpenSSL's verdict side by side.

use sealock_authority::imported::{ImportError, Pile, Wishes};
use sealock_authority::{IssuerError, IssuerWishes, KeyType, Usages};

use crate::common::{Scratch, actor, available, run, succeed};
use crate::issuers::{Company, by_corp, corp, good};
use crate::ocsp::publication;

/// A CA's extensions with these constraints.
fn kind(name: &str, constraints: &str) -> String {
    format!(
        "[{name}]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n\
         subjectKeyIdentifier = hash\nnameConstraints = critical, {constraints}\n"
    )
}

const NAMES: &str = "[dc]\n1.DC = example\n2.DC = corp\n[hosts]\n1.DC = example\n2.DC = corp\nOU = Hosts\n\
                     [org]\nO = Corp\n[spaced]\nO = \" big  CORP \"\n[theirs]\nO = Theirs\n[web]\nCN = web.corp.example\n\
                     [responder]\nO = corp.example\n";

impl Company<'_> {
    /// The company's extensions, and these kinds beside.
    fn with(&self, kinds: &[(&str, &str)]) {
        let path = self.path("ext.cnf");
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str(NAMES);
        for (name, constraints) in kinds {
            text.push_str(&kind(name, constraints));
        }
        std::fs::write(path, text).unwrap();
    }
}

/// Kinds of constraints, each with something inside and something outside among [`SUBJECTS`].
const KINDS: [(&str, &str); 8] = [
    ("p_dc", "permitted;dirName:dc"),
    ("p_hosts", "permitted;dirName:hosts"),
    ("p_org", "permitted;dirName:org"),
    ("p_two", "permitted;dirName:org, permitted;dirName:dc"),
    ("p_spaced", "permitted;dirName:spaced"),
    ("x_org", "excluded;dirName:org"),
    ("x_dc", "permitted;dirName:dc, excluded;dirName:hosts"),
    ("x_dns", "excluded;dirName:org, permitted;DNS:corp.example"),
];

const SUBJECTS: [&str; 11] = [
    "/DC=example/DC=corp/CN=a",
    "/DC=example/DC=corp/OU=Hosts/CN=a",
    "/DC=example/DC=corp",
    "/DC=example/CN=a",
    "/O=Corp/CN=a",
    "/O=corp/CN=a",
    "/O=Corporation/CN=a",
    "/CN=a/O=Corp",
    "/CN=a",
    "/O=Big Corp/CN=a",
    "/O=BigCorp/CN=a",
];

/// Another issuer for each, whose CA is called like this below a CA with these constraints.
fn is_taken(company: &Company<'_>, number: usize, above: &str) -> Result<(), ImportError> {
    let authority = &company.scratch.authority;
    let name = format!("tried-{number}").parse().unwrap();
    let wishes = IssuerWishes { subject: Some("CN=a".parse().unwrap()), ..IssuerWishes::default() };
    let asked = authority.request_issuer(&name, &wishes, false, &actor()).unwrap();
    let csr = company.scratch.file("tried.csr", asked.standing.waiting.unwrap().csr);
    let more = ["-days", "365", "-subj", SUBJECTS[number]];
    company.certify(&csr, above, "issuing", "tried", &more);
    company.in_time();
    let pile = [company.der("tried"), company.der(above)];
    match authority.import_issuer(&name, &pile, &actor()) {
        Ok(_) => Ok(()),
        Err(IssuerError::Import { source, .. }) => Err(source),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_ca_is_within_constraints_on_its_name_where_openssl_says_so() {
    if !available("openssl") {
        return;
    }
    std::thread::scope(|scope| {
        for (above, _) in KINDS {
            scope.spawn(move || agrees_with_openssl(above));
        }
    });
}

fn agrees_with_openssl(above: &str) {
    let scratch = Scratch::new();
    let company = Company::new(&scratch);
    company.with(&KINDS);
    company.trusted("root");
    company.below(above, "root", above);
    let (root, between) = (company.path("root.pem"), company.path(&format!("{above}.pem")));
    let (mut inside, mut outside) = (0, 0);
    for (number, subject) in SUBJECTS.iter().enumerate() {
        let ours = is_taken(&company, number, above);
        let tried = company.path("tried.pem");
        let arguments = ["verify", "-CAfile", &root, "-untrusted", &between, &tried];
        let theirs = run("openssl", &arguments).status.success();
        assert_eq!(ours.is_ok(), theirs, "{subject} under {above}: {ours:?}");
        match ours {
            Ok(()) => inside += 1,
            Err(error) => {
                assert!(matches!(error, ImportError::Constrained { .. }), "{error}");
                assert!(error.to_string().contains("dir:"), "it says which: {error}");
                outside += 1;
            }
        }
    }
    assert!(inside > 0 && outside > 0, "{above}: {inside} {outside}");
}

/// Our CA below the company's root, with these constraints itself.
fn with_constraints<'a>(scratch: &'a Scratch, constraints: &str) -> Company<'a> {
    let company = Company::new(scratch);
    company.with(&[("ours", constraints)]);
    company.trusted("root");
    company.certify(&company.csr(), "root", "ours", "ours", &["-days", "365"]);
    let taken = company.import(&["ours"]).unwrap();
    assert_eq!(taken.standing.held.unwrap().constraints.len(), 1);
    company
}

#[test]
fn what_is_signed_below_such_constraints_has_a_subject_that_fits_or_none() {
    if !available("openssl") {
        return;
    }
    for (constraints, common_name, ocsp) in [
        ("permitted;dirName:org", false, false),
        ("excluded;dirName:theirs", true, true),
        ("excluded;dirName:web", false, true),
        ("permitted;dirName:web, permitted;dirName:responder", true, true),
        ("permitted;dirName:web", true, false),
    ] {
        let scratch = Scratch::new();
        scratch.authority.publish(publication()).unwrap();
        let company = with_constraints(&scratch, constraints);
        let held = scratch.authority.issuer_standing(&corp()).unwrap().held.unwrap();
        // A responder whose name does not fit would not be believed: then there is none, and no URL of one.
        assert_eq!(held.ocsp, ocsp, "{constraints}");
        let issued = scratch.issue(&by_corp(&["web.corp.example"])).unwrap();
        let chain = scratch.file("tls.crt", issued.tls_crt());
        let root = company.path("root.pem");
        good(&root, &chain, &["-purpose", "sslserver", "-verify_hostname", "web.corp.example"]);
        let shown = succeed("openssl", &["x509", "-in", &chain, "-noout", "-text"]);
        assert_eq!(shown.contains("CN = web") || shown.contains("CN=web"), common_name, "{shown}");
        assert_eq!(shown.contains("OCSP - URI"), ocsp, "{constraints}: {shown}");
        if common_name {
            continue;
        }
        // The name is where it must be understood.
        assert!(shown.contains("X509v3 Subject Alternative Name: critical"), "{shown}");
    }
}

#[test]
fn an_imported_certificate_is_held_to_constraints_on_its_subject_and_its_other_names() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let company = Company::new(&scratch);
    company.with(&KINDS);
    let leaf = |name: &str, san: &str| {
        format!(
            "[{name}]\nbasicConstraints = critical, CA:FALSE\nextendedKeyUsage = serverAuth\nsubjectAltName = {san}\n"
        )
    };
    let path = company.path("ext.cnf");
    let text = std::fs::read_to_string(&path).unwrap();
    let kinds = [
        leaf("plain", "critical, DNS:web.corp.example"),
        leaf("inside", "DNS:web.corp.example, dirName:hosts"),
        leaf("outside", "DNS:web.corp.example, dirName:theirs"),
    ];
    std::fs::write(&path, format!("{text}{}", kinds.concat())).unwrap();
    company.trusted("root");
    company.below("p_dc", "root", "p_dc");
    let (root, between) = (company.path("root.pem"), company.path("p_dc.pem"));
    for (number, (subject, kind, good)) in [
        ("/DC=example/DC=corp/CN=web", "plain", true),
        ("/DC=example/DC=corp/CN=web", "inside", true),
        ("/DC=example/DC=corp/CN=web", "outside", false),
        ("/O=Corp/CN=web", "plain", false),
        ("/", "plain", true),
        ("/", "outside", false),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("web-{number}").parse().unwrap();
        let wishes = Wishes {
            subject: "CN=web".parse().unwrap(),
            names: vec![sealock_core::SubjectName::dns("web.corp.example").unwrap()],
            usages: Usages::SERVER,
            key_type: KeyType::P256,
            upstream: None,
        };
        let authority = &scratch.authority;
        let asked = authority.request(&name, &wishes, false, &actor()).unwrap();
        let csr = scratch.file("leaf.csr", asked.standing.waiting.unwrap().csr);
        company.certify(&csr, "p_dc", kind, "leaf", &["-days", "30", "-subj", subject]);
        company.in_time();
        let certificates = vec![company.der("leaf"), company.der("p_dc")];
        let pile = Pile { certificates, key: None, accept_names: true, accept_shorter: false };
        let ours = authority.import(&name, &pile, &actor());
        let leaf = company.path("leaf.pem");
        let arguments = ["verify", "-CAfile", &root, "-untrusted", &between, &leaf];
        assert_eq!(run("openssl", &arguments).status.success(), good, "{subject} {kind}");
        assert_eq!(ours.is_ok(), good, "{subject} {kind}: {:?}", ours.err());
    }
}
