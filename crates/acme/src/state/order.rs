//! Orders (RFC 8555 §7.1.3, §7.4).

use sealock_core::Timestamp;
use sealock_store::{Condition, KeyRange, Transaction};
use serde::{Deserialize, Serialize};

use super::authorization::Wanted;
use super::certificate::{Owned, not_replaced, owned, replaced};
use super::{ATTEMPTS, Acme, Found, Id, KEPT, OPEN, StateError, is_ahead, open, put};
use crate::ari::CertificateId;
use crate::identifier::Identifier;
use crate::wire::{AccountStatus, AuthorizationStatus, OrderStatus};

/// Orders of an account that a page of its list has.
const PAGE: usize = 100;

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its name in URLs.
    pub id: Id,
    /// Whose it is.
    pub account: Id,
    /// What for.
    pub identifiers: Vec<Identifier>,
    /// The authorizations, in the same order.
    pub authorizations: Vec<Id>,
    /// How far it has come.
    pub status: OrderStatus,
    /// When it ends, if nothing comes of it.
    pub expires: Timestamp,
    /// From when the certificate is to be valid, and until when, where that was asked.
    pub validity: (Option<Timestamp>, Option<Timestamp>),
    /// By which profile.
    pub profile: String,
    /// The certificate that it is to replace, as it was named.
    pub replaces: Option<CertificateId>,
    /// The serial of the certificate, in hex.
    pub certificate: Option<String>,
    /// SHA-256 of the CSR that it was issued for.
    pub csr: Option<String>,
}

/// What becomes an order.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// The names; none twice.
    pub wanted: Vec<Wanted>,
    /// From when the certificate is to be valid, and until when.
    pub validity: (Option<Timestamp>, Option<Timestamp>),
    /// By which profile.
    pub profile: String,
    /// The certificate that it is to replace.
    pub replaces: Option<Replaces>,
}

/// A certificate that another is to replace (RFC 9773 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaces {
    /// As the client has named it.
    pub id: CertificateId,
    /// Its serial, in hex.
    pub serial: String,
    /// When it ends.
    pub ends: Timestamp,
}

#[derive(Serialize, Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Row {
    account: Id,
    identifiers: Vec<Identifier>,
    authorizations: Vec<Id>,
    /// Milliseconds.
    expires: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_after: Option<i64>,
    profile: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaces: Option<(String, i64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaces_id: Option<CertificateId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<Done>,
}

#[derive(Serialize, Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Done {
    serial: String,
    csr: String,
}

fn place(id: &Id) -> String {
    format!("acme/order/{id}")
}

fn list_place(account: &Id) -> String {
    format!("acme/of/{account}/order/")
}

/// What a certificate ends an order with.
#[derive(Debug, Clone)]
pub struct Certificate<'a> {
    /// Its serial, in hex.
    pub serial: &'a str,
    /// When it ends.
    pub ends: Timestamp,
    /// SHA-256 of the CSR, in hex.
    pub csr: &'a str,
}

/// An order that may be brought to an end, as long as nobody else does.
#[derive(Debug)]
pub struct Finishing<'a> {
    acme: &'a Acme,
    id: Id,
    row: FoundRow,
    account: Transaction,
    is_vouched: bool,
}

struct FoundRow(Found<Row>);

impl std::fmt::Debug for FoundRow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Found").field(&self.0.version).finish()
    }
}

impl Acme {
    /// Makes an order. What its account has proved lately need not be proved again.
    ///
    /// # Errors
    /// The account is no longer valid, open orders are for too many names, or what the journal says.
    pub fn order_make(&self, account: &Id, new: &NewOrder) -> Result<Order, StateError> {
        let mut has_room = false;
        for _ in 0..ATTEMPTS {
            let owner = self.account_row(account)?;
            if owner.row.status != AccountStatus::Valid {
                return Err(StateError::Status("the account is no longer valid"));
            }
            let as_it_was = Condition::Version {
                key: super::account::place(account).into_bytes(),
                version: owner.version,
            };
            let is_vouched = owner.row.is_vouched();
            if !has_room {
                self.take_room(is_vouched, account, new.wanted.len())?;
                has_room = true;
            }
            let (id, transaction) = self.order_written(account, new, is_vouched)?;
            if self.commit(transaction.when(as_it_was), Vec::new())? {
                return self.order(account, &id);
            }
        }
        Err(StateError::Busy("account"))
    }

    /// What has to be written for an order, with the authorizations that are new.
    fn order_written(
        &self,
        account: &Id,
        new: &NewOrder,
        is_vouched: bool,
    ) -> Result<(Id, Transaction), StateError> {
        let (id, expires) = (Id::new()?, self.now().plus(OPEN));
        let mut transaction = Transaction::new();
        let replaces = new.replaces.as_ref();
        let mut row = Row {
            account: account.clone(),
            identifiers: new.wanted.iter().map(|it| it.identifier.clone()).collect(),
            authorizations: Vec::with_capacity(new.wanted.len()),
            expires: expires.as_millis(),
            not_before: new.validity.0.map(Timestamp::as_millis),
            not_after: new.validity.1.map(Timestamp::as_millis),
            profile: new.profile.clone(),
            replaces: replaces.map(|it| (it.serial.clone(), it.ends.as_millis())),
            replaces_id: replaces.map(|it| it.id.clone()),
            done: None,
        };
        for wanted in &new.wanted {
            let ready = self.authorization_for(account, wanted)?;
            row.authorizations.push(ready.id);
            transaction.operations.extend(ready.operations);
        }
        let listed = format!("{}{id}", list_place(account));
        let transaction = transaction
            .with(put(&place(&id), &row, Some(expires))?)
            .with(put(&listed, &(), Some(expires))?)
            .with(open::opened(is_vouched, account, &id, new.wanted.len(), expires)?);
        Ok((id, transaction))
    }

    /// An order of this account.
    ///
    /// # Errors
    /// There is none, or what the store says.
    pub fn order(&self, account: &Id, id: &Id) -> Result<Order, StateError> {
        let found = self.order_row(account, id)?;
        self.view(id, found.row)
    }

    fn order_row(&self, account: &Id, id: &Id) -> Result<Found<Row>, StateError> {
        let found: Option<Found<Row>> = self.read(&place(id))?;
        found.filter(|found| found.row.account == *account).ok_or(StateError::Unknown("order"))
    }

    fn view(&self, id: &Id, row: Row) -> Result<Order, StateError> {
        let status = self.status(&row)?;
        let millis = |at: Option<i64>| at.map(Timestamp::from_millis);
        Ok(Order {
            id: id.clone(),
            account: row.account,
            identifiers: row.identifiers,
            authorizations: row.authorizations,
            status,
            expires: Timestamp::from_millis(row.expires),
            validity: (millis(row.not_before), millis(row.not_after)),
            profile: row.profile,
            replaces: row.replaces_id,
            certificate: row.done.as_ref().map(|done| done.serial.clone()),
            csr: row.done.map(|done| done.csr),
        })
    }

    fn status(&self, row: &Row) -> Result<OrderStatus, StateError> {
        if row.done.is_some() {
            return Ok(OrderStatus::Valid);
        }
        let now = self.now();
        let expires = Timestamp::from_millis(row.expires);
        if expires <= now || is_ahead(expires, now, OPEN) {
            return Ok(OrderStatus::Invalid);
        }
        let mut status = OrderStatus::Ready;
        for id in &row.authorizations {
            let of = match self.authorization_row(&row.account, id) {
                // It has ended, and was swept.
                Err(StateError::Unknown(_)) => return Ok(OrderStatus::Invalid),
                found => found?.row.status_at(now),
            };
            match of {
                AuthorizationStatus::Valid => {}
                AuthorizationStatus::Pending => status = OrderStatus::Pending,
                _ => return Ok(OrderStatus::Invalid),
            }
        }
        Ok(status)
    }

    /// The orders of an account that have not ended, from behind `after` on, and whether there are more.
    ///
    /// # Errors
    /// What the store says.
    pub fn orders(&self, account: &Id, after: Option<&Id>) -> Result<(Vec<Id>, bool), StateError> {
        let list = list_place(account);
        let mut range = KeyRange::prefix(list.as_bytes());
        if let Some(after) = after {
            range = range.after(format!("{list}{after}").as_bytes());
        }
        let found = self.store().range(&range, PAGE + 1)?;
        let is_more = found.len() > PAGE;
        let ids = found.into_iter().take(PAGE).map(|(key, _)| {
            let text = String::from_utf8_lossy(&key).into_owned();
            let id = text.strip_prefix(&list).and_then(|id| id.parse().ok());
            id.ok_or(StateError::Damaged(text))
        });
        Ok((ids.collect::<Result<_, _>>()?, is_more))
    }

    /// An order that is ready, about to be brought to an end.
    ///
    /// # Errors
    /// It is not there or not ready, another order has replaced the certificate that it was to replace, or what the store says.
    pub fn order_finishing(&self, account: &Id, id: &Id) -> Result<Finishing<'_>, StateError> {
        let found = self.order_row(account, id)?;
        if self.status(&found.row)? != OrderStatus::Ready {
            return Err(StateError::Status("the order is not ready"));
        }
        // It was not yet, when this was ordered; others may have ordered the same (RFC 9773 §5).
        if let Some((before, _)) = &found.row.replaces
            && self.is_replaced(before)?
        {
            return Err(StateError::Replaced);
        }
        let (is_vouched, account) = self.account_used(account)?;
        Ok(Finishing { acme: self, id: id.clone(), row: FoundRow(found), account, is_vouched })
    }
}

impl Finishing<'_> {
    /// What has to be committed together with the certificate: that the order is as it was, and that it has come to this.
    ///
    /// # Errors
    /// A row cannot be written.
    pub fn with(&self, certificate: &Certificate<'_>) -> Result<Transaction, StateError> {
        let (key, Found { row, version }) = (place(&self.id), &self.row.0);
        let Certificate { serial, ends, csr } = certificate;
        let done = Done { serial: (*serial).to_owned(), csr: (*csr).to_owned() };
        let kept = self.acme.now().plus(KEPT);
        let of = Owned { account: row.account.clone(), identifiers: row.identifiers.clone() };
        let listed = format!("{}{}", list_place(&row.account), self.id);
        let mut transaction = self
            .account
            .clone()
            .when(Condition::Version { key: key.clone().into_bytes(), version: *version })
            .with(put(&key, &Row { done: Some(done), ..row.clone() }, Some(kept))?)
            .with(put(&listed, &(), Some(kept))?)
            .with(owned(serial, &of, *ends)?)
            .with(open::closed(self.is_vouched, &row.account, &self.id));
        if let Some((before, ends)) = &row.replaces {
            let ends = Timestamp::from_millis(*ends);
            transaction =
                transaction.when(not_replaced(before)).with(replaced(before, serial, ends)?);
        }
        Ok(transaction)
    }
}
