//! CAA.

use super::resolver::Mood;
use super::*;

async fn may(zone: Zone, name: &str, is_wildcard: bool) -> Result<(), Failure> {
    within(ValidateSettings::default().deadline, zone, name, is_wildcard).await
}

async fn within(
    deadline: Duration,
    zone: Zone,
    name: &str,
    is_wildcard: bool,
) -> Result<(), Failure> {
    let resolver = Resolver::start(zone).await;
    let settings = ValidateSettings {
        caa_identities: vec!["ca.test".parse().unwrap(), "ca.example".parse().unwrap()],
        deadline,
        ..settings(&resolver, 1)
    };
    let validator = Validator::new(settings).unwrap();
    let name = name.parse().unwrap();
    let is_account = |uri: &str| uri == "https://ca.test/acct/1";
    validator.check_caa(&name, is_wildcard, Some(Method::Http01), &is_account).await
}

#[tokio::test]
async fn the_owner_of_a_domain_says_who_issues() {
    let ca = "0 issue ca.test";
    for (records, host, wildcard) in [
        (&[][..], true, true),
        (&[ca], true, true),
        (&["0 issue ca.example; x=y"], true, true),
        (&["0 issue other.test", ca], true, true),
        (&["128 ISSUE ca.test"], true, true),
        (&["0 issue other.test"], false, false),
        (&["0 issue ;"], false, false),
        (&["0 issue %%%%"], false, false),
        // What is below the name has a rule of its own, where there is one.
        (&[ca, "0 issuewild ;"], true, false),
        (&["0 issue ;", "0 issuewild ca.test"], false, true),
        (&["0 issuewild ;"], true, false),
        (&["0 issuewild other.test", "0 issuewild ca.test"], true, true),
        // Other properties restrict nothing, unless they are critical and nobody knows them.
        (&["0 iodef mailto:a@a.test"], true, true),
        (&["128 iodef mailto:a@a.test"], true, true),
        (&["0 future x"], true, true),
        (&["128 future x"], false, false),
        (&["128 future x", ca], false, false),
        (&["0 issue ca.test; accounturi=https://ca.test/acct/1"], true, true),
        (&["0 issue ca.test; accounturi=https://ca.test/acct/2"], false, false),
        (&["0 issue ca.test; validationmethods=dns-01"], false, false),
    ] {
        for (is_wildcard, expected) in [(false, host), (true, wildcard)] {
            let zone = || Zone::default().caa("a.test", records);
            let answer = may(zone(), "a.test", is_wildcard).await;
            if expected {
                answer.unwrap_or_else(|error| panic!("{records:?} {is_wildcard} {error}"));
            } else {
                assert_eq!(kind(answer), "caa", "{records:?} {is_wildcard}");
            }
        }
    }
}

#[tokio::test]
async fn the_nearest_records_up_the_tree_count() {
    let zone = || {
        Zone::default()
            .caa("a.test", &["0 issue other.test"])
            .caa("b.a.test", &["0 issue ca.test"])
            .a("x.c.a.test", &["127.0.0.1"])
    };
    for name in ["b.a.test", "deep.down.b.a.test", "elsewhere", "x.example", "test"] {
        may(zone(), name, false).await.unwrap();
    }
    for name in ["a.test", "c.a.test", "x.c.a.test", "new.a.test"] {
        assert_eq!(kind(may(zone(), name, false).await), "caa", "{name}");
    }
    may(zone(), "*.b.a.test", true).await.unwrap();
    let top = || Zone::default().caa("test", &["0 issue ;"]);
    assert_eq!(kind(may(top(), "x.a.test", false).await), "caa");
    // Of an alias it is the other name's records, and then those above the alias.
    let alias = || zone().cname("alias.b.a.test", "a.test").cname("www.b.a.test", "x.c.a.test");
    assert_eq!(kind(may(alias(), "alias.b.a.test", false).await), "caa");
    may(alias(), "www.b.a.test", false).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_asked_for_may_forbid() {
    for mood in [Mood::ServFail, Mood::Refused, Mood::Silent, Mood::WrongId, Mood::Garbage] {
        for at in ["x.a.test", "a.test", "test"] {
            let zone = Zone::default().a("x.a.test", &["127.0.0.1"]).mood(at, mood);
            let answer = within(SHORT, zone, "x.a.test", false).await;
            assert_eq!(kind(answer), "dns", "{mood:?} {at}");
        }
    }
}

#[tokio::test]
async fn without_a_name_of_ours_nobody_is_asked() {
    let resolver = Resolver::start(Zone::default().caa("a.test", &["0 issue ;"])).await;
    let validator = Validator::new(settings(&resolver, 1)).unwrap();
    let name = "a.test".parse().unwrap();
    validator.check_caa(&name, false, Some(Method::Dns01), &|_| false).await.unwrap();
    assert!(resolver.asked().is_empty());
}
