//! Measures decisions with 100 rules, taken anew and remembered: `cargo run --release -p sealock-core --example decide`.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use sealock_core::policy::{
    Action, ContainerFacts, DEFAULT_POLICY, PolicySet, Principal, Question, Resource,
};
use sealock_core::{Identity, SubjectName};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut spread = String::new();
    let mut piled = String::new();
    for number in 0..97 {
        spread.push_str(&format!(
            "permit(principal == Sealock::Service::\"s{number}\", \
             action == Sealock::Action::\"Cert::Issue\", \
             resource in Sealock::Domain::\"d{number}.example\");\n"
        ));
        piled.push_str(&format!(
            "permit(principal == Sealock::Service::\"s{number}\", \
             action == Sealock::Action::\"Cert::Issue\", resource) \
             when {{ context has ttl && context.ttl <= {number} }};\n"
        ));
    }
    let facts = ContainerFacts {
        id: "a".repeat(64),
        name: "shop".into(),
        image: "shop:1".into(),
        labels: BTreeMap::from([("env".into(), "prod".into())]),
        own_names: BTreeSet::from(["shop".into(), "api".into(), "shop-1".into()]),
        ..ContainerFacts::default()
    };
    let identity: Identity = "spiffe://bench.sealock/service/s50".parse()?;
    let question = Question::new(
        Principal::new(identity).of_container(facts),
        Action::CertIssue,
        Resource::Name(SubjectName::dns("a.b.d50.example")?),
    )
    .with("ttl", 86_400)
    .with("via", "label")
    .with("keyType", "p256");
    for (name, text) in [("spread over domains", spread), ("all on one action", piled)] {
        let sources = [
            ("default.cedar".to_owned(), DEFAULT_POLICY.to_owned()),
            ("bench.cedar".to_owned(), text),
        ];
        let began = Instant::now();
        let set = PolicySet::load(&sources, 1)?;
        let loaded = began.elapsed();
        let anew = best_and_median(|| set.decide(black_box(&question)));
        let again = best_and_median(|| set.decide_again(black_box(&question)));
        let rules = set.rules();
        writeln!(
            std::io::stdout(),
            "{rules} rules {name}: {anew} per decision, {again} when remembered, loaded in {loaded:?}"
        )?;
    }
    Ok(())
}

/// Other work on the machine only ever adds time: the fastest batch is the figure.
fn best_and_median<T>(mut work: impl FnMut() -> T) -> String {
    let rounds = 200_u32;
    let mut batches: Vec<_> = (0..200)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..rounds {
                black_box(work());
            }
            began.elapsed() / rounds
        })
        .collect();
    batches.sort_unstable();
    let (best, median) = (batches.first().copied(), batches.get(100).copied());
    format!("{:?} (median {:?})", best.unwrap_or_default(), median.unwrap_or_default())
}
