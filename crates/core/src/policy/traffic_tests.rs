//! Rules about calls between services.

use super::*;

fn load(text: &str) -> PolicySet {
    PolicySet::load(&[("test.cedar".to_owned(), text.to_owned())], 7)
        .unwrap_or_else(|error| panic!("{}", error.render()))
}

fn service(name: &str) -> Principal {
    Principal::new(format!("spiffe://t.sealock/service/{name}").parse().unwrap())
}

fn orders() -> Resource {
    Resource::Service { identity: service("orders").identity, groups: vec!["backends".into()] }
}

fn call(who: Principal, method: &str, path: &str) -> Question {
    Question::new(who, Action::HttpCall, orders()).with("method", method).with("path", path)
}

#[test]
fn a_rule_holds_for_service_method_and_path() {
    let set = load(
        r#"permit(principal == Sealock::Service::"shop", action == Sealock::Action::"Http::Call",
             resource == Sealock::Service::"orders")
           when { context.method == "GET" && context.path like "/v1/*" };
           permit(principal in Sealock::Group::"front", action == Sealock::Action::"Http::Call",
             resource in Sealock::Group::"backends")
           when { context.path == "/health" };"#,
    );
    let may = |who: Principal, method, path| set.decide(&call(who, method, path)).allowed;
    assert!(may(service("shop"), "GET", "/v1/orders"));
    for (method, path) in
        [("POST", "/v1/orders"), ("GET", "/v2/orders"), ("GET", "/v1"), ("GET", "/")]
    {
        assert!(!may(service("shop"), method, path), "{method} {path}");
    }
    assert!(!may(service("shopping"), "GET", "/v1/orders"));
    assert!(may(service("web").in_group("front"), "GET", "/health"), "a group calls a group");
    assert!(!may(service("web"), "GET", "/health"));
    let billing = Resource::Service { identity: service("billing").identity, groups: Vec::new() };
    let mut elsewhere = call(service("shop"), "GET", "/v1/orders");
    elsewhere.resource = billing;
    assert!(!set.decide(&elsewhere).allowed);
}

#[test]
fn a_service_that_calls_itself_is_one_and_the_same() {
    let set = load(
        r#"permit(principal is Sealock::Service, action, resource is Sealock::Service)
           when { principal == resource };"#,
    );
    assert!(set.decide(&call(service("orders"), "GET", "/")).allowed);
    assert!(set.decide(&call(service("orders").in_group("x"), "GET", "/")).allowed);
    assert!(!set.decide(&call(service("shop"), "GET", "/")).allowed);
}

#[test]
fn by_default_nobody_calls_and_a_service_has_its_own_gatekeeper() {
    let set = load(DEFAULT_POLICY);
    assert!(!set.decide(&call(service("shop"), "GET", "/")).allowed);
    assert!(!set.decide(&Question::new(service("shop"), Action::TokenIssue, orders())).allowed);
    for action in [Action::GatekeeperServe, Action::TokenIntrospect] {
        assert!(set.decide(&Question::new(service("orders"), action, orders())).allowed);
        assert!(!set.decide(&Question::new(service("shop"), action, orders())).allowed);
    }
}

#[test]
fn the_suggested_rule_is_for_this_method_and_path_only() {
    let question = call(service("shop"), "GET", "/v1/\"or*ders");
    let rule = load("").explain(&question).suggestion.unwrap();
    let set = load(&rule);
    assert!(set.decide(&question).allowed, "{rule}");
    for other in [
        call(service("shop"), "POST", "/v1/\"or*ders"),
        call(service("shop"), "GET", "/v1/\"or-ders"),
        call(service("web"), "GET", "/v1/\"or*ders"),
    ] {
        assert!(!set.decide(&other).allowed, "{rule}");
    }
}

#[test]
fn what_was_learnt_mixes_no_methods() {
    let seen: Seen = [
        call(service("shop"), "GET", "/v1/orders"),
        call(service("shop"), "GET", "/v1/items"),
        call(service("shop"), "POST", "/v1/orders"),
    ]
    .into_iter()
    .collect();
    let learnt = learn(&seen).unwrap();
    let set = load(&learnt.text);
    let may = |method, path| set.decide(&call(service("shop"), method, path)).allowed;
    assert!(may("GET", "/v1/orders") && may("GET", "/v1/items") && may("POST", "/v1/orders"));
    assert!(!may("POST", "/v1/items") && !may("GET", "/v1/other"), "{}", learnt.text);
}

#[test]
fn a_slice_decides_as_the_whole_and_knows_no_more() {
    let text = r#"
@id("all") permit(principal in Sealock::Group::"ops", action, resource);
@id("orders") permit(principal == Sealock::Service::"shop", action == Sealock::Action::"Http::Call",
   resource == Sealock::Service::"orders") when { context.path like "/v1/*" };
@id("billing") permit(principal == Sealock::Service::"shop", action == Sealock::Action::"Http::Call",
   resource == Sealock::Service::"billing");
@id("group") permit(principal is Sealock::Human, action == Sealock::Action::"Http::Call",
   resource in Sealock::Group::"backends");
@id("secret") permit(principal, action == Sealock::Action::"Secret::Read",
   resource == Sealock::Secret::"prod/db");
@id("token") permit(principal, action == Sealock::Action::"Token::Issue", resource is Sealock::Service);
@id("never") forbid(principal, action == Sealock::Action::"Http::Call", resource)
   when { context.path == "/internal" };
@id("quiet") forbid(principal == Sealock::Service::"shop", action, resource == Sealock::Service::"vault");
"#;
    let whole = PolicySet::load(&[("a.cedar".into(), text.into())], 7).unwrap();
    let sources = whole.about(Action::HttpCall, &orders()).unwrap();
    let slice = PolicySet::load(&sources, 7).unwrap();
    assert_eq!(slice.rules(), 4, "{sources:?}");
    let told = &sources[0].1;
    for (id, is_there) in [
        ("all", true),
        ("orders", true),
        ("group", true),
        ("never", true),
        ("billing", false),
        ("secret", false),
        ("token", false),
        ("quiet", false),
    ] {
        assert_eq!(told.contains(&format!("@id(\"{id}\")")), is_there, "{id}: {told}");
    }
    let human =
        |name: &str| Principal::new(format!("spiffe://t.sealock/human/{name}").parse().unwrap());
    let callers = [
        service("shop"),
        service("till"),
        service("till").in_group("ops"),
        human("alice"),
        human("alice").in_group("ops"),
    ];
    let alone = Resource::Service { identity: service("orders").identity, groups: Vec::new() };
    let mut permitted = 0;
    for caller in callers {
        for method in ["GET", "POST"] {
            for path in ["/", "/v1/x", "/internal", "/v1"] {
                for resource in [orders(), alone.clone()] {
                    let mut question = call(caller.clone(), method, path);
                    question.resource = resource;
                    let decisions = [whole.decide(&question), slice.decide(&question)];
                    assert_eq!(decisions[0].allowed, decisions[1].allowed, "{question:?}");
                    permitted += u32::from(decisions[0].allowed);
                }
            }
        }
    }
    assert!((10..80).contains(&permitted), "{permitted}");
}
