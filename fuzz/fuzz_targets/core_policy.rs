//! Policy text: any text is loaded or refused with a message that can be shown, and what was loaded
//! denies a stranger unless a rule permits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_core::policy::{Action, PolicySet, Principal, Question, Resource};

fuzz_target!(|text: &str| {
    let sources = [("fuzz.cedar".to_owned(), text.to_owned())];
    match PolicySet::load(&sources, 1) {
        Ok(set) => {
            let stranger = "spiffe://corp.example/human/stranger".parse().expect("an identity");
            let question =
                Question::new(Principal::new(stranger), Action::StatusRead, Resource::Status);
            let decision = set.decide(&question);
            assert!(!decision.allowed || !decision.rules.is_empty(), "allowed by no rule");
            let _ = set.explain(&question);
        }
        Err(error) => {
            let shown = error.render();
            assert!(!shown.contains('\u{1b}'), "a control sequence in {shown:?}");
        }
    }
});
