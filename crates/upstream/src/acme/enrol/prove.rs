//! How the names of an order are proved, and what stands somewhere meanwhile.

use std::collections::BTreeSet;

use instant_acme::{
    AuthorizationStatus, ChallengeType, Error, Identifier, OrderStatus, RetryPolicy,
};

use super::super::answers::Answering;
use super::super::hook::{Hook, TxtRecord};
use super::super::register::MOST_NONCES;
use super::super::wire::is_token;
use super::{Enrolment, Notes, is_nonce, step};
use crate::error::UpstreamError;
use crate::text::said;

/// What stands somewhere until the names are proved.
#[derive(Default)]
pub(super) struct Standing {
    answering: Vec<Answering>,
    pub(super) records: Vec<TxtRecord>,
}

/// Takes records out of the DNS, one by one, and notes what is left after each: whoever is ended in this has come further
/// all the same. One that cannot be taken out keeps none of the others.
///
/// # Errors
/// It cannot be noted.
pub async fn clean_up(
    hook: &Hook,
    mut records: Vec<TxtRecord>,
    notes: &dyn Notes,
) -> Result<(), UpstreamError> {
    while let Some(record) = records.pop() {
        if let Err(error) = hook.cleanup(&record).await {
            tracing::warn!(%error, "a record stays in the DNS");
        }
        notes.presented(&records).await.map_err(UpstreamError::Notes)?;
    }
    Ok(())
}

impl Enrolment<'_> {
    pub(super) async fn prove(
        &self,
        order: &mut instant_acme::Order,
        policy: &RetryPolicy,
        standing: &mut Standing,
    ) -> Result<(), UpstreamError> {
        let mut begun: BTreeSet<String> = BTreeSet::new();
        let mut names: BTreeSet<(String, bool)> = BTreeSet::new();
        let mut nonces = MOST_NONCES;
        // A nonce that is not taken ends the walk; the next one goes on, for what was read and begun is known.
        'walk: loop {
            let mut all = order.authorizations();
            while let Some(next) = all.next().await {
                let mut authorization = match next {
                    Ok(authorization) => authorization,
                    Err(error) if nonces > 0 && is_nonce(&error) => {
                        nonces -= 1;
                        continue 'walk;
                    }
                    Err(error) => return Err(self.http.error(error)),
                };
                if begun.contains(authorization.url()) {
                    continue;
                }
                let name = authorization.identifier().to_string();
                match authorization.status {
                    AuthorizationStatus::Valid => continue,
                    AuthorizationStatus::Pending => {}
                    other => {
                        let detail = format!("the authorization is {other:?}").to_lowercase();
                        return Err(UpstreamError::NotProved { name: said(&name), detail });
                    }
                }
                let kind = self.chosen(&authorization, &name)?;
                // Each would have our program write into a zone once more.
                if !names.insert((name.clone(), authorization.wildcard)) {
                    return Err(UpstreamError::Nonsense(
                        "an order has two authorizations for one name".into(),
                    ));
                }
                let url = authorization.url().to_owned();
                let Some(mut challenge) = authorization.challenge(kind) else { continue };
                let token = challenge.token.clone();
                if !is_token(&token) {
                    return Err(UpstreamError::Nonsense(
                        "a challenge has a token that is none".into(),
                    ));
                }
                let key = challenge.key_authorization();
                self.present(&challenge, &name, &token, &key, standing).await?;
                step!(self.http, challenge.set_ready())
                    .map_err(|error| not_proved(&name, error))?;
                begun.insert(url);
            }
            break;
        }
        match step!(self.http, order.poll_ready(policy)) {
            Ok(OrderStatus::Invalid) => self.unproved(order).await,
            Ok(_) => Ok(()),
            Err(UpstreamError::Problem { .. }) if order.state().status == OrderStatus::Invalid => {
                self.unproved(order).await
            }
            Err(error) => Err(error),
        }
    }

    /// Which challenge is to be met. Names are proved that were asked for, and no others: for another one the server
    /// would have our program write into a zone.
    fn chosen(
        &self,
        authorization: &instant_acme::AuthorizationState,
        name: &str,
    ) -> Result<ChallengeType, UpstreamError> {
        let asked =
            self.wanted.names.iter().any(|wanted| wanted.to_string().eq_ignore_ascii_case(name));
        if !asked {
            return Err(UpstreamError::OtherName(said(name)));
        }
        let offers =
            |kind: &ChallengeType| authorization.challenges.iter().any(|one| one.r#type == *kind);
        let is_dns = matches!(authorization.identifier().identifier, Identifier::Dns(_));
        let http = self.ways.http01.is_some() && !authorization.wildcard;
        let dns = self.ways.dns.is_some() && is_dns;
        let possible = [(http, ChallengeType::Http01), (dns, ChallengeType::Dns01)];
        let found = possible.into_iter().find(|(possible, kind)| *possible && offers(kind));
        found.map(|(_, kind)| kind).ok_or_else(|| {
            let offered = authorization.challenges.iter().take(8).map(|one| match &one.r#type {
                ChallengeType::Http01 => "http-01".to_owned(),
                ChallengeType::Dns01 => "dns-01".to_owned(),
                ChallengeType::TlsAlpn01 => "tls-alpn-01".to_owned(),
                ChallengeType::Unknown(other) => said(other),
                _ => "another".to_owned(),
            });
            let offered = offered.collect::<Vec<_>>().join(", ");
            UpstreamError::NoChallenge { name: said(name), offered }
        })
    }

    async fn present(
        &self,
        challenge: &instant_acme::ChallengeHandle<'_>,
        name: &str,
        token: &str,
        key: &instant_acme::KeyAuthorization,
        standing: &mut Standing,
    ) -> Result<(), UpstreamError> {
        if challenge.r#type == ChallengeType::Http01 {
            let Some(at) = self.ways.http01 else { return Ok(()) };
            standing.answering.push(self.responders.answer(at, token, key.as_str()).await?);
            return Ok(());
        }
        let Some(hook) = &self.ways.dns else { return Ok(()) };
        let base = name.strip_prefix("*.").unwrap_or(name);
        let record = TxtRecord { name: format!("_acme-challenge.{base}"), value: key.dns_value() };
        standing.records.push(record.clone());
        self.notes.presented(&standing.records).await.map_err(UpstreamError::Notes)?;
        hook.present(&record).await
    }

    /// Whatever came of it, the records go.
    pub(super) async fn clean_up(&self, records: Vec<TxtRecord>) -> Result<(), UpstreamError> {
        match &self.ways.dns {
            Some(hook) => clean_up(hook, records, self.notes).await,
            None => Ok(()),
        }
    }

    async fn unproved(&self, order: &mut instant_acme::Order) -> Result<(), UpstreamError> {
        let mut found = None;
        let mut nonces = MOST_NONCES;
        let mut all = order.authorizations();
        while let Some(next) = all.next().await {
            let Ok(mut authorization) = next else { continue };
            loop {
                match authorization.refresh().await {
                    Err(error) if nonces > 0 && is_nonce(&error) => nonces -= 1,
                    _ => break,
                }
            }
            if authorization.status != AuthorizationStatus::Invalid {
                continue;
            }
            let said_why = authorization.challenges.iter().find_map(|one| one.error.clone());
            let detail = said_why.map(|problem| self.http.error(Error::Api(problem)));
            found = Some((authorization.identifier().to_string(), detail));
            break;
        }
        self.note_order(None).await?;
        let (name, detail) = found.unwrap_or_default();
        let detail = match detail {
            Some(UpstreamError::Problem { detail, .. }) => detail,
            _ => "it does not say why".to_owned(),
        };
        Err(UpstreamError::NotProved { name: said(&name), detail })
    }
}

fn not_proved(name: &str, error: UpstreamError) -> UpstreamError {
    match error {
        UpstreamError::Problem { detail, .. } => {
            UpstreamError::NotProved { name: said(name), detail }
        }
        other => other,
    }
}
