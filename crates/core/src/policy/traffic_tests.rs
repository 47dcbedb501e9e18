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
