//! Rules about secrets, and which secrets they can tell apart.

use proptest::prelude::*;

use super::*;
use crate::secret_name::SecretName;

fn load(text: &str) -> PolicySet {
    PolicySet::load(&[("test.cedar".to_owned(), text.to_owned())], 7)
        .unwrap_or_else(|error| panic!("{}", error.render()))
}

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

fn may(set: &PolicySet, secret: &str) -> bool {
    let principal = Principal::new("spiffe://t.sealock/service/shop".parse().unwrap());
    let question = Question::new(principal, Action::SecretRead, Resource::Secret(name(secret)));
    set.decide(&question).allowed
}

#[test]
fn a_path_is_itself_and_all_below_it() {
    let set = load(
        r#"permit(principal, action == Sealock::Action::"Secret::Read",
             resource in Sealock::Secret::"prod/db");
           permit(principal, action in Sealock::Action::"Secret",
             resource == Sealock::Secret::"shared");
           forbid(principal, action, resource in Sealock::Secret::"prod/db/root");"#,
    );
    for good in ["prod/db", "prod/db/password", "prod/db/a/b", "shared"] {
        assert!(may(&set, good), "{good}");
    }
    for bad in ["prod", "prod/dbx", "x/prod/db", "prod/db/root", "prod/db/root/a", "shared/a"] {
        assert!(!may(&set, bad), "{bad}");
    }
    for literal in ["/prod", "prod/", "a//b", "a b", "..", ""] {
        let text =
            format!("permit(principal, action, resource in Sealock::Secret::\"{literal}\");");
        let error = PolicySet::load(&[("test.cedar".to_owned(), text)], 1).unwrap_err();
        assert!(error.problems()[0].message.contains("can match no secret"), "{literal:?}");
    }
}

#[test]
fn destroying_and_the_vault_as_a_whole_are_permitted_by_name_only() {
    let set = load(r#"permit(principal, action in Sealock::Action::"Secret", resource);"#);
    let principal = Principal::new("spiffe://t.sealock/human/jo".parse().unwrap());
    let allowed =
        |action, resource| set.decide(&Question::new(principal.clone(), action, resource)).allowed;
    let secret = || Resource::Secret(name("a"));
    for action in
        [Action::SecretRead, Action::SecretList, Action::SecretWrite, Action::SecretDelete]
    {
        assert!(allowed(action, secret()), "{action}");
    }
    assert!(!allowed(Action::SecretPurge, secret()));
    assert!(!allowed(Action::VaultManage, Resource::Vault));
}

#[test]
fn keys_of_the_host_leave_by_its_own_doors_only() {
    let set =
        PolicySet::load(&[(DEFAULT_POLICY_FILE.to_owned(), DEFAULT_POLICY.to_owned())], 1).unwrap();
    let admin =
        Principal::new("spiffe://t.sealock/human/jo".parse().unwrap()).in_group(ADMIN_GROUP);
    let asked = [
        (Action::CaManage, Resource::Authority, "export-root-key"),
        (Action::CaManage, Resource::Authority, "remove-root-key"),
        (Action::CaManage, Resource::Authority, "migrate-key"),
        (Action::CaManage, Resource::Authority, "protect"),
        (Action::CaManage, Resource::Authority, "retry-pin"),
        (Action::VaultManage, Resource::Vault, "export"),
        (Action::VaultManage, Resource::Vault, "import"),
    ];
    for (action, resource, operation) in asked {
        for via in ["socket", "process", "api", "gateway", "workload", "label", "another"] {
            let question = Question::new(admin.clone(), action, resource.clone())
                .with("operation", operation)
                .with("via", via);
            let own = ["socket", "process"].contains(&via);
            assert_eq!(set.decide(&question).allowed, own, "{operation} by {via}");
        }
        let question = Question::new(admin.clone(), action, resource).with("operation", operation);
        assert!(!set.decide(&question).allowed, "{operation} by an unknown door");
    }
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]", 1..4).prop_map(|parts| parts.join("/"))
}

fn rule() -> impl Strategy<Value = String> {
    (any::<bool>(), any::<bool>(), path()).prop_map(|(permit, below, path)| {
        let effect = if permit { "permit" } else { "forbid" };
        let relation = if below { "in" } else { "==" };
        format!("{effect}(principal, action, resource {relation} Sealock::Secret::\"{path}\");")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whoever lists asks once for each class, so all of a class have to have one answer.
    #[test]
    fn secrets_of_a_class_have_one_answer(
        rules in prop::collection::vec(rule(), 1..6),
        secrets in prop::collection::vec(path(), 2..20),
    ) {
        let set = load(&rules.join("\n"));
        for one in &secrets {
            for other in &secrets {
                if set.secret_class(&name(one)) == set.secret_class(&name(other)) {
                    prop_assert_eq!(may(&set, one), may(&set, other), "{} and {}", one, other);
                }
            }
        }
    }
}
