//! `sealock forwarder`: a Forwarder in a process of its own, beside the apps whose calls it takes, or on a laptop.
//!
//! It has no state. Tokens come from brokers: by attestation where the host gives a socket, by certificate, or by a
//! client's secret. Each site has its broker, its roots and its services; what belongs to one is not shown to another.

mod figures;
mod learn;
mod options;
mod own;
mod site;
mod source;
mod taking;
mod way;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealock_core::{Clock, SystemClock, TrustDomain};
use sealock_net::Shutdown;
use sealock_traffic::forwarder::{Access, Entry, Forwarder, Report, Settings, TokenSettings};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::daemon::blocking;
use crate::error::{ErrorCode, ServiceError};
use crate::guard::{AccessLog, Room, drained, observe};
use crate::state::write_atomically;
pub use figures::ForwardMetrics;
pub use options::{
    Asker, Exempt, ForwardOptions, IdentityFolder, Intercept, Link, ServiceAt, Site, Transparent,
};
use own::Own;
use site::Seen;
use source::Brokers;
pub use taking::rules;

/// Tokens are fetched anew at this part of their life, in percent: what is left, over four minutes, is how long the
/// broker may be away at the worst moment before a call fails.
const RENEW_PERCENT: u8 = 15;
/// Between two looks at the files of the identities, and at the certificate for tunnels.
const LOOK: Duration = Duration::from_secs(2);

/// A Forwarder that serves.
#[derive(Debug)]
pub struct Forwarding {
    /// Where it is a proxy, with the port that was taken.
    pub proxy: Option<SocketAddr>,
    /// Its local ports.
    pub routes: Vec<(SocketAddr, String)>,
    /// Where the kernel brings connections.
    pub transparent: Vec<SocketAddr>,
    /// Where its figures are shown.
    pub metrics: Option<SocketAddr>,
    shutdown: Shutdown,
    /// Given when nothing more is shown.
    unseen: Shutdown,
    tasks: JoinSet<()>,
}

struct Log(AccessLog);

impl Report for Log {
    fn access(&self, access: &Access) {
        self.0.line(|| access.to_json());
    }
}

/// Starts a Forwarder on the current runtime. It serves when this returns.
///
/// # Errors
/// An address is taken, a certificate cannot be read, a service cannot be called so, or rules cannot be set.
pub async fn forward(options: ForwardOptions) -> Result<Forwarding, ServiceError> {
    let listeners = listeners(&options).await?;
    let shown_at = match options.metrics {
        Some(address) => Some(bound(address).await?),
        None => None,
    };
    // What is wrong with it is said now, and not when a broker has answered; that is waited for.
    let checked: Vec<_> =
        (0..options.sites.len()).map(|n| TrustDomain::for_host(&format!("checked{n}"))).collect();
    site::directory(&options, &checked)?;
    check(&options)?;
    let mut domains: Vec<TrustDomain> = Vec::new();
    for site in &options.sites {
        let domain = site::domain(site).await?;
        if domains.contains(&domain) {
            let text = format!("two sites are in the trust domain {domain}");
            return Err(ServiceError::new(ErrorCode::Usage, text)
                .hint("one broker gives the tokens of a trust domain: make them one site"));
        }
        domains.push(domain);
    }
    let directory = site::directory(&options, &domains)?;
    let written_down = directory.clone();
    let sites: Vec<_> = domains.into_iter().zip(options.sites.iter().cloned()).collect();
    let (trusts, seen) = site::trusts(&sites).await?;
    let brokers = Brokers::new(sites.iter().map(|(domain, site)| (domain.clone(), site)));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let log = Arc::new(Log(AccessLog::start(options.access_log)));
    let tokens = TokenSettings { renew_percent: RENEW_PERCENT, ..TokenSettings::default() };
    let mark = match options.transparent.as_ref().and_then(|it| it.exempt) {
        Some(Exempt::Mark(mark)) => Some(mark),
        _ => None,
    };
    let settings = within_reach(Settings { tokens, mark, ..Settings::default() });
    let forwarder = Forwarder::new(settings, directory, trusts, Arc::new(brokers), log, clock)
        .map_err(|error| ServiceError::of(ErrorCode::Failed, &error))?;
    let mut own = Own::of(&sites);
    own.look(&forwarder).await;
    let shutdown = Shutdown::default();
    let mut forwarding = Forwarding {
        proxy: None,
        routes: Vec::new(),
        transparent: Vec::new(),
        metrics: None,
        shutdown: shutdown.clone(),
        unseen: Shutdown::default(),
        tasks: JoinSet::new(),
    };
    forwarding.listen(&forwarder, listeners)?;
    if let Some(listener) = shown_at {
        forwarding.show(&forwarder, listener)?;
    }
    if let Some(file) = options.intercept.authority.clone() {
        let written = write_authority(&forwarder, file.clone()).await?;
        let work = keep_authority(Arc::clone(&forwarder), file, written, shutdown.clone());
        forwarding.tasks.spawn(work);
    }
    if let Some(transparent) = options.transparent.filter(|it| it.set_rules) {
        let port = forwarding.transparent.first().map_or(0, SocketAddr::port);
        taking::set(&rules(&transparent, port)?).await?;
        forwarding.tasks.spawn(taking::remove_at_end(shutdown.clone()));
    }
    forwarding.tasks.spawn(own.keep(Arc::clone(&forwarder), shutdown.clone()));
    learn::start(&forwarder, written_down, &sites, &shutdown, &mut forwarding.tasks);
    if sites.iter().any(|(_, site)| site.identity.is_some()) {
        forwarding.tasks.spawn(keep_fresh(forwarder, sites, seen, shutdown));
    }
    Ok(forwarding)
}

/// As much as there is room for in this process.
fn within_reach(settings: Settings) -> Settings {
    let Settings { mut limits, concurrent, idle, .. } = settings;
    let room = Room::here(limits.connections, 1);
    limits.connections = room.connections;
    let (concurrent, idle) = (concurrent.min(room.running), idle.min(room.idle));
    Settings { limits, concurrent, idle, ..settings }
}

/// What contradicts itself.
fn check(options: &ForwardOptions) -> Result<(), ServiceError> {
    let usage = |text: &str, hint: &str| {
        Err(ServiceError::new(ErrorCode::Usage, text).hint(hint.to_owned()))
    };
    let Intercept { hosts, authority } = &options.intercept;
    match (hosts.is_empty(), authority) {
        (false, None) => {
            return usage(
                "tunnels are to end here, and nobody could trust us for that",
                "name the file that apps read the certificate from: --intercept-ca-out FILE",
            );
        }
        (true, Some(_)) => {
            return usage("no tunnel is to end here", "--intercept HOST[:PORT]=SERVICE");
        }
        _ => {}
    }
    if let Some(transparent) = &options.transparent {
        taking::check_mark(transparent, &options.sites)?;
        if transparent.set_rules {
            rules(transparent, transparent.listen.port())?;
        }
    }
    Ok(())
}

async fn listeners(options: &ForwardOptions) -> Result<Vec<(TcpListener, Entry)>, ServiceError> {
    let mut all = Vec::new();
    let services = options.sites.iter().flat_map(|site| &site.services);
    let learns = options.sites.iter().any(|site| site.learn);
    for (address, service) in &options.routes {
        if !learns && !services.clone().any(|known| known.name == *service) {
            let text = format!("the route at {address} leads to {service}, which is not listed");
            return Err(ServiceError::new(ErrorCode::Usage, text)
                .hint(format!("list it with --service {service}=HOST:PORT")));
        }
        all.push((bound(*address).await?, Entry::Service(service.clone())));
    }
    if let Some(address) = options.proxy {
        all.push((bound(address).await?, Entry::Proxy));
    }
    if let Some(transparent) = &options.transparent {
        let taken = taking::listeners(transparent).await?;
        all.extend(taken.into_iter().map(|listener| (listener, Entry::Transparent)));
    }
    if all.is_empty() {
        return Err(ServiceError::new(ErrorCode::Usage, "the Forwarder is to listen nowhere")
            .hint(
                "--listen ADDRESS:PORT as a proxy, --route ADDRESS:PORT=SERVICE, or --transparent",
            ));
    }
    Ok(all)
}

async fn bound(address: SocketAddr) -> Result<TcpListener, ServiceError> {
    TcpListener::bind(address).await.map_err(|error| {
        ServiceError::new(ErrorCode::Failed, format!("cannot listen on {address}"))
            .caused_by(&error)
            .hint("name another address")
    })
}

/// Writes the certificate that apps have to trust for tunnels that end here, if it is another than was written.
async fn write_authority(
    forwarder: &Arc<Forwarder>,
    file: PathBuf,
) -> Result<Option<String>, ServiceError> {
    let certificate = forwarder.interception_authority();
    if let Some(text) = certificate.clone() {
        blocking(move || {
            write_atomically(&file, text.as_bytes(), 0o644).map_err(|error| {
                let text = format!("cannot write {}", file.display());
                ServiceError::new(ErrorCode::Failed, text).caused_by(&error)
            })
        })
        .await?;
    }
    Ok(certificate)
}

/// Looks until the end whether there is another one.
async fn keep_authority(
    forwarder: Arc<Forwarder>,
    file: PathBuf,
    mut written: Option<String>,
    shutdown: Shutdown,
) {
    loop {
        tokio::select! {
            () = shutdown.triggered() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        if forwarder.interception_authority() != written {
            match write_authority(&forwarder, file.clone()).await {
                Ok(now) => written = now,
                Err(error) => {
                    tracing::warn!(%error, causes = ?error.causes, "apps cannot know of the new certificate")
                }
            }
        }
    }
}

/// Looks until the end. Files that cannot be used leave everything as it is.
async fn keep_fresh(
    forwarder: Arc<Forwarder>,
    sites: Vec<(TrustDomain, Site)>,
    mut seen: Seen,
    shutdown: Shutdown,
) {
    loop {
        tokio::select! {
            () = shutdown.triggered() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        match site::trusts(&sites).await {
            Ok((_, now)) if now == seen => {}
            Ok((trusts, now)) => match forwarder.renew(trusts) {
                Ok(()) => {
                    seen = now;
                    tracing::info!("another certificate is shown");
                }
                Err(error) => tracing::warn!(%error, "the certificate stays as it was"),
            },
            Err(error) => tracing::debug!(%error, "the certificate stays as it was"),
        }
    }
}

impl Forwarding {
    fn listen(
        &mut self,
        forwarder: &Arc<Forwarder>,
        listeners: Vec<(TcpListener, Entry)>,
    ) -> Result<(), ServiceError> {
        for (listener, entry) in listeners {
            let address = listener.local_addr();
            let address = address.map_err(|error| ServiceError::of(ErrorCode::Failed, &error))?;
            match &entry {
                Entry::Proxy => self.proxy = Some(address),
                Entry::Service(name) => self.routes.push((address, name.clone())),
                Entry::Transparent => self.transparent.push(address),
            }
            let (forwarder, end) = (Arc::clone(forwarder), self.shutdown.clone());
            self.tasks.spawn(async move {
                if let Err(error) = forwarder.serve(listener, entry, end).await {
                    tracing::error!(%error, "a listener ends");
                }
            });
        }
        Ok(())
    }

    /// Shows what those may see who watch it, until nothing runs any more.
    fn show(
        &mut self,
        forwarder: &Arc<Forwarder>,
        listener: TcpListener,
    ) -> Result<(), ServiceError> {
        let address = listener.local_addr();
        self.metrics = Some(address.map_err(|error| ServiceError::of(ErrorCode::Failed, &error))?);
        let (metrics, watched) = (ForwardMetrics::new(), Arc::clone(forwarder));
        let shutdown = self.shutdown.clone();
        let shown = observe::Shown {
            figures: Box::new(move || metrics.text(&watched.figures())),
            unready: Box::new(move || shutdown.is_triggered().then_some("draining")),
            keys: None,
        };
        // Not one of the tasks that the end waits for: it shows that, too.
        tokio::spawn(observe::serve(listener, Arc::new(shown), self.unseen.clone()));
        Ok(())
    }

    /// Makes [`Forwarding::run`] end.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Runs until SIGTERM, SIGINT or [`Forwarding::shutdown`], then drains.
    ///
    /// # Errors
    /// Signals cannot be received.
    pub async fn run(self) -> Result<(), ServiceError> {
        let ended = drained(self.shutdown, self.tasks).await;
        self.unseen.trigger();
        ended
    }
}
