//! Destinations that are called without a token because the owner lets through what nobody has listed.
//!
//! Apps choose them, so nothing is kept for them: the connections to one last as long as the app's own connection is about
//! it.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Forwarder;
use super::destination::Destination;
use super::routes::{Outlet, Routes};
use crate::http::problem::Problem;

/// Where the last request on a connection went.
#[derive(Debug, Default)]
pub(super) struct Elsewhere(Mutex<Option<(Destination, Arc<Outlet>)>>);

impl Forwarder {
    /// The way to a destination that is not listed, if it may be had.
    pub(super) fn elsewhere(
        &self,
        routes: &Routes,
        to: &Destination,
        last: &Elsewhere,
    ) -> Result<Option<Arc<Outlet>>, Problem> {
        if !routes.may_pass(to) {
            return Ok(None);
        }
        self.may_dial_unnamed(to)?;
        let mut last = last.0.lock();
        if let Some((_, outlet)) = last.as_ref().filter(|(known, _)| known == to) {
            return Ok(Some(Arc::clone(outlet)));
        }
        let outlet = Arc::new(Outlet::without_token(to, &self.settings, &self.own));
        *last = Some((to.clone(), Arc::clone(&outlet)));
        Ok(Some(outlet))
    }

    /// An address that stands in a request is named by the app, and not by the owner. Those of names are looked at when
    /// they are dialled.
    pub(super) fn may_dial_unnamed(&self, to: &Destination) -> Result<(), Problem> {
        to.address().map_or(Ok(()), |ip| self.may_dial(SocketAddr::new(ip, to.port())))
    }
}
