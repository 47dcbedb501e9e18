//! dns-01, and what resolvers do.

use super::resolver::Mood;
use super::*;

const PLACE: &str = "_acme-challenge.a.test";

fn digest() -> String {
    let digest = question(Method::Dns01, "a.test").digest();
    data_encoding::BASE64URL_NOPAD.encode(&digest)
}

async fn dns(zone: Zone) -> Result<(), Failure> {
    let resolver = Resolver::start(zone).await;
    ask(settings(&resolver, 1), Method::Dns01, "a.test").await
}

#[tokio::test]
async fn who_has_the_digest_in_the_dns_controls_the_name() {
    let digest = digest();
    let (before, after) = digest.split_at(20);
    for texts in [
        &[digest.as_str()][..],
        &["v=spf1 -all", "", &digest, "other"],
        &[&format!("{before}|{after}")],
    ] {
        dns(Zone::default().txt(PLACE, texts)).await.unwrap();
    }
    let alias = |to: &str| Zone::default().cname(PLACE, to);
    dns(alias("x.dns.test").txt("x.dns.test", &[&digest])).await.unwrap();
    let long = alias("x.test").cname("x.test", "y.test").cname("y.test", "z.test");
    dns(long.txt("z.test", &[&digest])).await.unwrap();
}

#[tokio::test]
async fn who_has_not_does_not() {
    let digest = digest();
    let wrong = [&format!("{digest}="), &digest.to_ascii_lowercase(), KEY_AUTHORIZATION, "", " "];
    for text in wrong {
        assert_eq!(kind(dns(Zone::default().txt(PLACE, &[text])).await), "unauthorized", "{text}");
    }
    assert_eq!(kind(dns(Zone::default().txt("a.test", &[&digest])).await), "dns");
    assert_eq!(kind(dns(Zone::default().a(PLACE, &["127.0.0.1"])).await), "dns");
    assert_eq!(kind(dns(Zone::default()).await), "dns");
    let circle = Zone::default().cname(PLACE, "x.test").cname("x.test", PLACE);
    assert_eq!(kind(dns(circle).await), "dns");
    let dangling = Zone::default().cname(PLACE, "x.test");
    assert_eq!(kind(dns(dangling).await), "dns");
    let resolver = Resolver::start(Zone::default()).await;
    let long = ["a"; 120].join(".");
    let answer = ask(settings(&resolver, 1), Method::Dns01, &long).await;
    assert_eq!(kind(answer), "dns", "no room for the label before it");
    let answer = ask(settings(&resolver, 1), Method::Dns01, "127.0.0.1").await;
    assert_eq!(kind(answer), "unauthorized");
}

#[tokio::test]
async fn an_answer_that_is_too_long_comes_over_tcp() {
    let digest = digest();
    let zone = Zone::default().txt(PLACE, &[&digest]).mood(PLACE, Mood::Truncates);
    let resolver = Resolver::start(zone).await;
    ask(settings(&resolver, 1), Method::Dns01, "a.test").await.unwrap();
    assert_eq!(resolver.asked(), [format!("UDP TXT {PLACE}"), format!("TCP TXT {PLACE}")]);
    // Without being asked again in that way nobody is shown to control anything, nor to have no records.
    let zone = Zone::default().mood(PLACE, Mood::Truncates);
    assert_eq!(kind(dns(zone).await), "dns");
}

#[tokio::test]
async fn a_resolver_that_misbehaves_shows_nothing() {
    for mood in [
        Mood::WrongId,
        Mood::WrongOwner,
        Mood::ServFail,
        Mood::Refused,
        Mood::Silent,
        Mood::Garbage,
    ] {
        let zone = Zone::default().txt(PLACE, &[&digest()]).mood(PLACE, mood);
        let resolver = Resolver::start(zone).await;
        let settings = ValidateSettings { deadline: SHORT, ..settings(&resolver, 1) };
        assert_eq!(kind(ask(settings, Method::Dns01, "a.test").await), "dns", "{mood:?}");
    }
    let gone = resolver().await.address;
    let settings = ValidateSettings {
        resolvers: vec![gone],
        deadline: SHORT,
        ..settings(&resolver().await, 1)
    };
    for method in [Method::Dns01, Method::Http01, Method::TlsAlpn01] {
        assert_eq!(kind(ask(settings.clone(), method, "a.test").await), "dns");
    }
}

#[tokio::test]
async fn the_next_resolver_is_asked_only_where_one_says_nothing() {
    let good = Resolver::start(Zone::default().txt(PLACE, &[&digest()])).await;
    for mood in [Mood::ServFail, Mood::Refused, Mood::Silent, Mood::WrongId, Mood::Garbage] {
        let bad = Resolver::start(Zone::default().mood(PLACE, mood)).await;
        let settings = ValidateSettings {
            resolvers: vec![bad.address, good.address],
            deadline: Duration::from_secs(3),
            ..settings(&good, 1)
        };
        let answer = ask(settings, Method::Dns01, "a.test").await;
        answer.unwrap_or_else(|error| panic!("{mood:?} {error}"));
    }
    let asked = good.asked().len();
    let empty = Resolver::start(Zone::default()).await;
    let settings =
        ValidateSettings { resolvers: vec![empty.address, good.address], ..settings(&good, 1) };
    assert_eq!(kind(ask(settings, Method::Dns01, "a.test").await), "dns");
    assert_eq!(good.asked().len(), asked, "that there is nothing is an answer");
}

#[tokio::test]
async fn a_question_is_asked_anew_each_time() {
    let zone = Zone::default().txt(PLACE, &["old"]).txt(PLACE, &[&digest()]);
    let resolver = Resolver::start(zone).await;
    let validator = Validator::new(settings(&resolver, 1)).unwrap();
    let asked = question(Method::Dns01, "a.test");
    assert_eq!(kind(validator.ask(&asked).await), "unauthorized");
    validator.ask(&asked).await.unwrap();
}
