//! Many who want something of the ACME server at once.

use std::collections::BTreeSet;
use std::time::Instant;

use futures_util::future::join_all;
use sealock_control::command::List;
use sealock_control::{Command, Reply};
use sealock_core::audit::Fact;
use sealock_store::KeyRange;

use crate::acme::World;
use crate::acme_client::{Answer, Key, csr, csr_of, order};
use crate::api::end;
use crate::scratch::{call, records};

/// How many certificates there are of names below this one.
async fn certificates(world: &World, below: &str) -> usize {
    let list = List { all: true, ..List::default() };
    let Reply::Certificates(found) =
        call(world.daemon.service(), Command::CertList(list)).await.unwrap()
    else {
        panic!("no list")
    };
    found.certificates.iter().filter(|it| it.name.ends_with(below)).count()
}

/// As after a connection that broke off, or a kill: the client sends what it has sent before.
#[tokio::test]
async fn of_many_who_finalize_one_order_all_have_the_one_certificate() {
    let world = World::new().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    let name = "one.web.example";
    let made = world.signed(&key, Some(&kid), &world.at("new-order"), &order(&[name])).await;
    let finalize = made.document()["finalize"].as_str().unwrap().to_owned();
    let csr = csr(&[name]);
    let asked = (0..12).map(|_| world.signed(&key, Some(&kid), &finalize, &csr));
    let answers = join_all(asked).await;
    let urls: BTreeSet<String> = answers
        .iter()
        .map(|answer| {
            assert_eq!(answer.status, 200, "{:?}", answer.document());
            answer.document()["certificate"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!((urls.len(), certificates(&world, name).await), (1, 1));
    end(world.daemon).await;
}

/// Orders of one account.
const MANY: usize = 10_000;
/// Clients of it, each with a connection that stays open.
const CLIENTS: usize = 64;

/// One of the clients: a request with the nonce of the answer before, as clients do it.
struct Applicant<'a> {
    world: &'a World,
    key: &'a Key,
    kid: &'a str,
    nonce: String,
}

impl Applicant<'_> {
    async fn say(&mut self, url: &str, payload: &str) -> Answer {
        let body = self.key.jws(Some(self.kid), url, &self.nonce, payload);
        let answer = self.world.post(url, &body).await;
        self.nonce = answer.header("replay-nonce").unwrap().to_owned();
        answer
    }

    /// Orders the names of these numbers, and leaves the orders open: each with where it is brought to its end.
    async fn order(&mut self, numbers: impl Iterator<Item = usize>) -> Vec<(String, String)> {
        let (mut open, at) = (Vec::new(), self.world.at("new-order"));
        for number in numbers {
            let name = format!("n{number}.many.web.example");
            let made = self.say(&at, &order(&[&name])).await;
            assert_eq!((made.status, made.text("status").as_str()), (201, "ready"));
            open.push((name, made.text("finalize")));
        }
        open
    }

    /// Brings them to their ends; gives the URLs of the certificates.
    async fn finalize(&mut self, open: &[(String, String)]) -> Vec<String> {
        let (pair, mut urls) = (rcgen::KeyPair::generate().unwrap(), Vec::new());
        for (name, at) in open {
            let done = self.say(at, &csr_of(&pair, &[name])).await;
            assert_eq!(done.status, 200, "{}", done.document());
            urls.push(done.text("certificate"));
        }
        urls
    }
}

/// smallstep/certificates#341.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_orders_at_once_on_one_account_stay_apart() {
    let world = World::new().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    let opens = |client: usize| {
        let (world, key, kid) = (&world, &key, kid.as_str());
        async move {
            let nonce = world.nonce().await;
            let mut applicant = Applicant { world, key, kid, nonce };
            let numbers = (0..MANY).filter(move |number| number % CLIENTS == client);
            let open = applicant.order(numbers).await;
            (applicant, open)
        }
    };
    let began = Instant::now();
    let mut all = join_all((0..CLIENTS).map(opens)).await;
    let opened = began.elapsed().as_millis();
    // All of them are open at once, before the first ends.
    let store = world.daemon.service().journal().store();
    let are_open = || {
        let range = KeyRange::prefix(b"acme/open/vouched/");
        store.range(&range, 2 * MANY).unwrap().len()
    };
    assert_eq!(are_open(), MANY);
    let ends = all.iter_mut().map(async |(applicant, open)| applicant.finalize(open).await);
    let all = join_all(ends).await;
    let ended = began.elapsed().as_millis();
    eprintln!(
        "{MANY} orders by {CLIENTS} clients: open in {opened} ms, at their ends in {ended} ms"
    );
    assert_eq!(are_open(), 0);
    let all: BTreeSet<String> = all.into_iter().flatten().collect();
    assert_eq!(all.len(), MANY, "each has a certificate of its own");
    // One event for each, and no name twice.
    let issued: Vec<String> = records(world.daemon.service())
        .into_iter()
        .filter_map(|record| match record.event.fact {
            Fact::CertIssued { name, .. } => Some(name),
            _ => None,
        })
        .filter(|name| name.ends_with(".many.web.example"))
        .collect();
    let names: BTreeSet<&String> = issued.iter().collect();
    assert_eq!((issued.len(), names.len()), (MANY, MANY));
    let mut listed = BTreeSet::new();
    let mut next = Some(format!("{kid}/orders"));
    while let Some(url) = next {
        let page = world.signed(&key, Some(&kid), &url, "").await;
        let orders = page.document()["orders"].as_array().unwrap().clone();
        listed.extend(orders.iter().map(|it| it.as_str().unwrap().to_owned()));
        next = page.next();
    }
    assert_eq!(listed.len(), MANY, "the list of orders is whole");
    end(world.daemon).await;
}
