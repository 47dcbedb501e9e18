//! External providers as those who have secrets.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use sealock_core::SecretBytes;
use sealock_injector::provider::{Event, FetchError, Options, fetch};
use sealock_injector::resolve::{Answers, Missing, Provider};

/// A program that is asked.
pub(crate) struct External<'a> {
    program: PathBuf,
    options: Options<'a>,
}

impl<'a> External<'a> {
    pub(crate) fn new(program: PathBuf, options: Options<'a>) -> Self {
        Self { program, options }
    }
}

impl Provider for External<'_> {
    fn fetch(&self, paths: &[String]) -> Answers {
        let all_at_once = AtomicBool::new(false);
        let told = self.options.observer;
        let observer = |event: Event<'_>| {
            if matches!(event, Event::StreamAnswered) {
                all_at_once.store(true, Ordering::Relaxed);
            }
            if let Some(told) = told {
                told(event);
            }
        };
        let options = Options { observer: Some(&observer), ..self.options };
        let values = fetch(&self.program, paths, &options);
        Answers {
            values: values.into_iter().map(|one| one.map_err(|error| missing(&error))).collect(),
            all_at_once: all_at_once.into_inner(),
        }
    }

    fn below(&self, _: &str) -> Result<Vec<(String, SecretBytes)>, Missing> {
        let text = "only the vault can give all secrets below a path";
        Err(Missing { reason: text.to_owned(), hint: Some("add `provider: sealock`".to_owned()) })
    }
}

fn missing(error: &FetchError) -> Missing {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        reason.push_str(": ");
        reason.push_str(&current.to_string());
        cause = current.source();
    }
    Missing { reason, hint: error.hint() }
}
