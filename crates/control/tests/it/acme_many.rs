//! Many who want something of the ACME server at once.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use sealock_control::command::List;
use sealock_control::{Command, Reply};

use crate::acme::World;
use crate::acme_client::{Key, csr, order};
use crate::api::end;
use crate::scratch::call;

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

/// smallstep/certificates#341.
#[tokio::test]
async fn orders_at_once_on_one_account_stay_apart() {
    let world = World::new().await;
    let key = Key::new();
    let kid = world.bound(&key).await;
    const MANY: usize = 200;
    let one = |number: usize| {
        let (world, key, kid) = (&world, &key, &kid);
        async move {
            let name = format!("n{number}.many.web.example");
            let at = world.at("new-order");
            let made = world.signed(key, Some(kid), &at, &order(&[&name])).await;
            assert_eq!(made.status, 201, "{}", made.problem());
            let finalize = made.document()["finalize"].as_str().unwrap().to_owned();
            let done = world.signed(key, Some(kid), &finalize, &csr(&[&name])).await;
            assert_eq!(done.status, 200, "{}", done.problem());
            done.document()["certificate"].as_str().unwrap().to_owned()
        }
    };
    let all: BTreeSet<String> = join_all((0..MANY).map(one)).await.into_iter().collect();
    assert_eq!((all.len(), certificates(&world, ".many.web.example").await), (MANY, MANY));
    let mut listed = 0;
    let mut next = Some(format!("{kid}/orders"));
    while let Some(url) = next {
        let page = world.signed(&key, Some(&kid), &url, "").await;
        listed += page.document()["orders"].as_array().unwrap().len();
        next = page.next();
    }
    assert_eq!(listed, MANY);
    end(world.daemon).await;
}
