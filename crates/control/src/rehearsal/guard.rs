//! The gateway's guard of a rehearsal: it decides as the daemon would in `enforce`, and notes what it was asked.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use sealock_core::policy::{Action, Defaults, PolicySet, Question, Resource};
use sealock_docker::gateway::{
    Allowance, Ask, Client, Guard, Over, Quotas, Refused, Session, Sight,
};
use sealock_net::proxy::Cut;
use serde::Serialize;

/// What policy was asked, and said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// To do what.
    pub action: Action,
    /// To what, for people.
    pub resource: String,
    /// What it said.
    pub allowed: bool,
    /// By which rules; none for the default denial.
    pub rules: Vec<String>,
    /// Why the question could not be put to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Decides by one policy, for one request.
pub(super) struct Deciding {
    policy: Arc<PolicySet>,
    decided: Mutex<Vec<Decided>>,
}

impl Deciding {
    pub(super) fn new(policy: Arc<PolicySet>) -> Self {
        Self { policy, decided: Mutex::default() }
    }

    /// What was asked.
    pub(super) fn taken(&self) -> Vec<Decided> {
        std::mem::take(&mut self.decided.lock())
    }

    fn ask(&self, question: &Question) -> bool {
        let decided = super::decide(&self.policy, question);
        let allowed = decided.allowed;
        self.decided.lock().push(decided);
        allowed
    }
}

/// There are no connections in a rehearsal.
pub(super) struct NoSession(Arc<Client>);

impl Session for NoSession {
    fn client(&self) -> Arc<Client> {
        Arc::clone(&self.0)
    }

    fn cut(&self) -> Cut {
        Cut::default()
    }
}

impl Guard for Deciding {
    type Session = NoSession;

    async fn identify(&self, _: CertificateDer<'static>) -> Result<NoSession, Refused> {
        Err(Refused::Unknown("there are no certificates in a rehearsal".to_owned()))
    }

    async fn decide(&self, client: &Client, _: &str, asks: Vec<Ask>) -> Result<(), Refused> {
        let mut denied = None;
        for Ask { action, resource, context } in asks {
            let question =
                Question { principal: client.principal.clone(), action, resource, context }
                    .with("via", "gateway");
            if !self.ask(&question) {
                denied
                    .get_or_insert_with(|| format!("{action} on {} is denied", question.resource));
            }
        }
        match denied {
            Some(denied) => Err(Refused::Denied(denied)),
            None => Ok(()),
        }
    }

    fn permits(&self, client: &Client, action: Action, resource: Option<&Resource>) -> bool {
        match resource {
            None => self.policy.permits_all(&client.principal, action),
            Some(resource) => self.policy.decide(&seeing(client, action, resource)).allowed,
        }
    }

    fn may_ever(&self, _: &Client, _: Action) -> bool {
        // So that what is refused whatever policy says is told from what policy denies.
        true
    }

    fn records(&self, _: Action) -> bool {
        // So that the gateway finds out what every request is about.
        true
    }

    fn read_freely(&self, _: Action) {}

    fn sight(&self, client: &Client) -> Sight {
        match self.policy.permits_all(&client.principal, Action::DockerSeeOthers) {
            true => Sight::All,
            false => Sight::Own,
        }
    }

    async fn note_others(&self, client: &Client, _: &str, resource: Resource) {
        self.ask(&seeing(client, Action::DockerSeeOthers, &resource));
    }

    fn defaults(&self, client: &Client, action: Action) -> Defaults {
        self.policy.defaults(&client.principal, action)
    }

    fn allowance(&self, _: &Client) -> Allowance {
        Quotas::default().of("rehearsal", &[])
    }

    async fn over(&self, _: &Client, _: &Over) {}

    fn request_id(&self) -> Option<String> {
        Some("rehearsal".to_owned())
    }
}

fn seeing(client: &Client, action: Action, resource: &Resource) -> Question {
    Question::new(client.principal.clone(), action, resource.clone()).with("via", "gateway")
}
