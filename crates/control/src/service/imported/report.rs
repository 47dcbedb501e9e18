//! What is told of a certificate that another authority signs.

use std::fmt::Write as _;

use sealock_authority::imported::{Held, Standing};
use sealock_core::Timestamp;

use crate::command::{HeldReport, RequestReport, WaitingReport};
use crate::service::{Service, convert};

impl Service {
    pub(super) fn request_report(&self, standing: &Standing) -> RequestReport {
        let now = self.journal.clock().now();
        let wishes = &standing.wishes;
        let waiting = standing.waiting.as_ref().map(|waiting| WaitingReport {
            renewal: waiting.renewal,
            key_sha256: waiting.key.clone(),
            csr: waiting.csr.clone(),
            csr_file: self.request_file(standing.name.as_str(), "csr"),
            text: self.request_text(standing),
        });
        let (state, since) = state(standing, now);
        RequestReport {
            name: standing.name.to_string(),
            state: state.to_owned(),
            since,
            subject: wishes.subject.to_string(),
            names: wishes.names.clone(),
            usages: convert::usage_names(wishes.usages),
            key_type: wishes.key_type.to_string(),
            todo: self.what_to_do(standing),
            waiting,
            held: standing.held.as_ref().map(held),
            enrolment: self.enrolment_report(standing),
        }
    }

    fn what_to_do(&self, standing: &Standing) -> String {
        let name = &standing.name;
        if let Some(text) = self.enrolment_text(standing) {
            return text;
        }
        match (&standing.waiting, &standing.held) {
            (Some(_), _) => format!(
                "have {} signed by your CA, then: sealock cert import {name} FILE…",
                self.request_file(name.as_str(), "csr").display()
            ),
            (None, Some(held)) => {
                format!("nothing; its successor is asked for at {}", held.renewal_due())
            }
            (None, None) => format!("sealock cert request {name} --replace …"),
        }
    }

    /// `NAME.txt`.
    pub(super) fn request_text(&self, standing: &Standing) -> String {
        let mut text = String::new();
        let mut field = |heading: &str, value: &str| {
            let _ = writeln!(text, "{heading:<13} {value}");
        };
        let wishes = &standing.wishes;
        field("Request", standing.name.as_str());
        field("Subject", wishes.subject.as_str());
        for name in &wishes.names {
            field("Name", &format!("{}:{name}", name.kind()));
        }
        field("Usage", &convert::usage_names(wishes.usages).join(", "));
        field("Key", wishes.key_type.as_str());
        if let Some(waiting) = &standing.waiting {
            field("Key SHA-256", &waiting.key);
            field("Made", &waiting.since.to_string());
        }
        if let Some(held) = standing.held.as_ref().filter(|_| standing.waiting.is_some()) {
            field("Follows", &format!("{} (until {})", held.serial, held.not_after));
        }
        let name = &standing.name;
        let _ = write!(
            text,
            "\nWhat to do: have {name}.csr signed by your CA, with these names and usages. Then, with the certificate \
             and\nits chain in whatever files they come (PEM, DER, .p7b):\n\n    sealock cert import {name} FILE…\n\n\
             The private key does not leave this host: do not look for it here.\n"
        );
        text
    }
}

fn state(standing: &Standing, now: Timestamp) -> (&'static str, Timestamp) {
    match (&standing.waiting, &standing.held) {
        (Some(waiting), _) if waiting.renewal => ("waiting for signature (renewal)", waiting.since),
        (Some(waiting), _) => ("waiting for signature", waiting.since),
        (None, Some(held)) if now > held.not_after => ("expired", held.not_after),
        (None, Some(held)) => ("in use", held.imported),
        (None, None) => ("nothing", now),
    }
}

fn held(held: &Held) -> HeldReport {
    HeldReport {
        serial: held.serial.clone(),
        fingerprint: held.fingerprint.clone(),
        subject: held.subject.clone(),
        issuer: held.issuer.clone(),
        names: held.names.clone(),
        not_before: held.not_before,
        not_after: held.not_after,
        renewal_due: held.renewal_due(),
        imported: held.imported,
    }
}
