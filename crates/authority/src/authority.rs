//! The authority itself: made once, opened at every start, shared by many threads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sealock_core::audit::{Actor, Fact};
use sealock_core::{IssuerName, SubjectName, Timestamp, TrustDomain};
use sealock_store::{
    Change, Committed, Condition, Journal, JournalError, Keyring, Store, Transaction,
};

use crate::certificate;
use crate::chain::Chain;
use crate::constraints::NameConstraints;
use crate::crl;
use crate::device::{DeviceError, KeyDevice, KeyHome, Shared, unwanted};
use crate::error::AuthorityError;
use crate::imported::Known;
use crate::inventory::{Inventory, IssuerId};
use crate::key::{AuthorityKey, KeyType};
use crate::lists;
use crate::make::{self, Home, Made, MadeKey};
use crate::ocsp::Answers;
use crate::order::Usages;
use crate::own::OwnProfiles;
use crate::publication::{Publication, check_url};
use crate::signer::AuditSigner;
use crate::state::{FORMAT, IssuerRecord, KeyPlace, STATE, SignerRecord, State, key_name};

/// How long a root lives: ten years.
pub const ROOT_LIFE: Duration = Duration::from_secs(3650 * 86_400);
/// How long an intermediate lives: a year, or what its root has left.
pub const INTERMEDIATE_LIFE: Duration = Duration::from_secs(365 * 86_400);
/// How far a certificate's beginning lies before its issue, for verifiers whose clock is behind.
pub const BACKDATE: Duration = Duration::from_secs(60);
/// What begins later than this from now was made by a clock that was ahead, and is made anew.
const AHEAD: Duration = Duration::from_secs(300);
/// How often a change is tried again when another one came in between.
pub(crate) const ATTEMPTS: usize = 8;

/// What a new authority is to be.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// The name under which all its identities live.
    pub trust_domain: TrustDomain,
    /// The kind of its own keys.
    pub key_type: KeyType,
    /// What its intermediates may certify. Permanent.
    pub name_constraints: NameConstraints,
    /// Under which URL its CRLs will be found; `/<issuer id>.crl` is appended for each issuer.
    pub crl_url: Option<String>,
    /// Where others find what it publishes.
    pub publication: Publication,
    /// What its own certificates below the root are like.
    pub own: OwnProfiles,
    /// Where the root's key is made.
    pub root_key: KeyHome,
    /// Where the intermediate's key is made.
    pub intermediate_key: KeyHome,
    /// The device for those that are made in one, and for all that are in one later.
    pub device: Option<Arc<dyn KeyDevice>>,
}

impl CreateOptions {
    /// P-256 keys, no constraints, no CRL URL.
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            key_type: KeyType::default(),
            name_constraints: NameConstraints::default(),
            crl_url: None,
            publication: Publication::default(),
            own: OwnProfiles::default(),
            root_key: KeyHome::Store,
            intermediate_key: KeyHome::Store,
            device: None,
        }
    }
}

/// The private certificate authority.
///
/// Every method may be called from any thread. They sign and wait for the disk: from an async runtime,
/// call them through `spawn_blocking` (or use [`Authority::issue_async`]).
#[derive(Debug)]
pub struct Authority {
    pub(crate) journal: Arc<Journal>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) inventory: Inventory,
    /// What issuing needs, ready; replaced as a whole after a rotation.
    pub(crate) loaded: ArcSwap<Loaded>,
    /// Held while the authority's own state or a CRL changes. Issuing does not take it.
    pub(crate) changing: Mutex<()>,
    pub(crate) publication: ArcSwap<Publication>,
    /// What the next certificates of its own are like.
    pub(crate) own: ArcSwap<OwnProfiles>,
    pub(crate) answers: Answers,
    /// What others have signed or are to sign, and their roots.
    pub(crate) known: ArcSwap<Known>,
    /// Where keys are that are not in the store.
    pub(crate) device: Shared,
    /// Until when it is not asked for lists, since it was away.
    pub(crate) left_alone: Mutex<Option<Timestamp>>,
    /// Whose full list lacked a revocation when this was opened; it is made anew before it is given to anybody.
    pub(crate) left_behind: Mutex<BTreeSet<IssuerId>>,
}

/// The state as read, and what is made from it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) state: State,
    pub(crate) version: u64,
    pub(crate) chain: Chain,
    /// Those of issuers under roots of others, by their names.
    pub(crate) others: BTreeMap<IssuerName, Chain>,
    pub(crate) signer: Arc<AuditSigner>,
}

impl Loaded {
    /// The chain of an issuer that signs now; ours, where none is named.
    pub(crate) fn chain_of(&self, name: Option<&IssuerName>) -> Result<&Chain, AuthorityError> {
        let Some(name) = name.filter(|name| !name.is_own()) else { return Ok(&self.chain) };
        let line = self
            .state
            .line(name)
            .ok_or_else(|| AuthorityError::NoSuchIssuer { issuer: name.clone() })?;
        if line.disabled {
            return Err(AuthorityError::IssuerDisabled { issuer: name.clone() });
        }
        self.others.get(name).ok_or_else(|| AuthorityError::IssuerWaits { issuer: name.clone() })
    }
}

/// Whether something was made by a clock that was ahead of what it says now.
pub(crate) fn is_ahead(begins: Timestamp, now: Timestamp) -> bool {
    begins > now.plus(AHEAD)
}

impl Authority {
    /// Whether there is an authority in this store.
    pub fn exists(store: &dyn Store) -> Result<bool, AuthorityError> {
        Ok(store.get(STATE)?.is_some())
    }

    /// Makes the authority: root, intermediate, audit signer, first CRLs, in one commit. When there is
    /// one already (also when another process has just made it), that one is opened and nothing changes;
    /// one for another trust domain is an error.
    pub fn create(
        journal: Arc<Journal>,
        keyring: Arc<Keyring>,
        options: &CreateOptions,
        actor: &Actor,
    ) -> Result<Arc<Self>, AuthorityError> {
        if let Some(url) = &options.crl_url {
            check_url(url)?;
        }
        options.publication.check()?;
        if !Self::exists(journal.store().as_ref())? {
            let change = new_authority(&journal, &keyring, options, actor)?;
            match journal.commit_blocking(change) {
                Ok(_) | Err(JournalError::Conflict(_)) => {}
                Err(source) => {
                    return Err(AuthorityError::Commit { what: "the new authority", source });
                }
            }
        }
        let opened = Self::open_with(journal, keyring, options.device.clone())?;
        // Keys of an attempt that did not get to its end.
        opened.try_remove_unwanted();
        opened.publish(options.publication.clone())?;
        opened.set_own_profiles(options.own);
        let existing = opened.trust_domain();
        if existing != options.trust_domain {
            let asked = options.trust_domain.clone();
            return Err(AuthorityError::OtherTrustDomain { existing, asked });
        }
        Ok(opened)
    }

    /// Opens the authority. From then on the journal's checkpoints are signed by it.
    pub fn open(journal: Arc<Journal>, keyring: Arc<Keyring>) -> Result<Arc<Self>, AuthorityError> {
        Self::open_with(journal, keyring, None)
    }

    /// The same with the device in which keys of CAs may be. It is not asked now.
    pub fn open_with(
        journal: Arc<Journal>,
        keyring: Arc<Keyring>,
        device: Option<Arc<dyn KeyDevice>>,
    ) -> Result<Arc<Self>, AuthorityError> {
        let store = Arc::clone(journal.store());
        let loaded = load(store.as_ref(), &keyring, &device)?;
        let known = Known::load(store.as_ref())?;
        let left_behind = lists::behind(store.as_ref(), &loaded.state)?;
        journal.set_signer(Arc::clone(&loaded.signer) as _);
        let authority = Self {
            journal,
            keyring,
            inventory: Inventory::new(store),
            loaded: ArcSwap::from_pointee(loaded),
            changing: Mutex::new(()),
            publication: ArcSwap::default(),
            own: ArcSwap::default(),
            answers: Answers::default(),
            known: ArcSwap::from_pointee(known),
            device,
            left_alone: Mutex::new(None),
            left_behind: Mutex::new(left_behind),
        };
        authority.settle_retired()?;
        Ok(Arc::new(authority))
    }

    /// Says what the next certificates of its own are like.
    pub fn set_own_profiles(&self, own: OwnProfiles) {
        self.own.store(Arc::new(own));
    }

    /// Says where others find what it publishes. From then on certificates have the URLs.
    pub fn publish(&self, publication: Publication) -> Result<(), AuthorityError> {
        publication.check()?;
        self.publication.store(Arc::new(publication));
        Ok(())
    }

    /// The name under which all identities live.
    pub fn trust_domain(&self) -> TrustDomain {
        self.loaded.load().state.trust_domain.clone()
    }

    /// Signs the checkpoints of the audit chain.
    pub fn audit_signer(&self) -> Arc<AuditSigner> {
        Arc::clone(&self.loaded.load().signer)
    }

    /// Our roots, as DER: the active one first, then old ones until the last leaf below them has expired. By these
    /// alone, clients come in at doors of ours; what is handed out to others is [`Authority::distributed_bundle`].
    pub fn trust_bundle(&self) -> Vec<Vec<u8>> {
        let loaded = self.loaded.load();
        loaded.chain.roots(self.now()).into_iter().map(|root| root.der.to_vec()).collect()
    }

    /// The same as PEM, as `ca.crt` has it.
    pub fn trust_bundle_pem(&self) -> String {
        let loaded = self.loaded.load();
        loaded.chain.roots(self.now()).iter().map(|root| &*root.pem).collect()
    }

    /// Whether a certificate with these names and usages could be made by this issuer now, as far as its chain goes.
    pub fn could_issue(
        &self,
        issuer: Option<&IssuerName>,
        names: &[SubjectName],
        usages: Usages,
    ) -> Result<(), AuthorityError> {
        let loaded = self.loaded.load();
        let chain = loaded.chain_of(issuer)?;
        self.check_root(chain)?;
        chain.check_usages(usages)?;
        names.iter().try_for_each(|name| chain.check_name(name))
    }

    /// Checks that the root of somebody else above an issuer is still one that is handed out: below one that was taken
    /// away nothing is signed any more.
    pub(crate) fn check_root(&self, chain: &Chain) -> Result<(), AuthorityError> {
        let Some((issuer, root)) = chain.foreign() else { return Ok(()) };
        match self.is_anchor(root) {
            true => Ok(()),
            false => Err(AuthorityError::IssuerRootGone { issuer: issuer.clone() }),
        }
    }

    /// Checks a name against the constraints of every CA in the chain that leaves get now, as issuing
    /// does.
    pub fn check_name(&self, name: &SubjectName) -> Result<(), AuthorityError> {
        self.loaded.load().chain.check_name(name)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.journal.clock().now()
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.journal.store().as_ref()
    }

    /// Reads the state again, after a commit said that it had changed.
    pub(crate) fn reload(&self) -> Result<(), AuthorityError> {
        let loaded = load(self.store(), &self.keyring, &self.device)?;
        self.journal.set_signer(Arc::clone(&loaded.signer) as _);
        self.loaded.store(Arc::new(loaded));
        Ok(())
    }

    pub(crate) fn commit(
        &self,
        what: &'static str,
        change: Change,
    ) -> Result<Committed, AuthorityError> {
        self.journal
            .commit_blocking(change)
            .map_err(|source| AuthorityError::Commit { what, source })
    }

    /// The key of one of the authority's certificates, unsealed.
    pub(crate) fn unseal(&self, id: IssuerId, title: &str) -> Result<AuthorityKey, AuthorityError> {
        unseal(self.store(), &self.keyring, id, title)
    }
}

impl AuthorityError {
    /// The condition that failed, if that is what went wrong.
    pub(crate) fn conflict(&self) -> Option<&Condition> {
        match self {
            Self::Commit { source: JournalError::Conflict(conflict), .. } => {
                Some(&conflict.condition)
            }
            _ => None,
        }
    }
}

fn unseal(
    store: &dyn Store,
    keyring: &Keyring,
    id: IssuerId,
    title: &str,
) -> Result<AuthorityKey, AuthorityError> {
    let name = key_name(id);
    let corrupt = || AuthorityError::Corrupt { record: format!("the key of the {title}") };
    let sealed = store.get(name.as_bytes())?.ok_or_else(corrupt)?;
    let key = format!("key of the {title}");
    let pkcs8 = keyring
        .open_sealed(&name, &sealed.value)
        .map_err(|source| AuthorityError::Unseal { key, source })?;
    Ok(AuthorityKey::from_pkcs8(&pkcs8)?)
}

pub(crate) fn read_state(store: &dyn Store) -> Result<(State, u64), AuthorityError> {
    let stored = store.get(STATE)?.ok_or(AuthorityError::Missing)?;
    let corrupt = || AuthorityError::Corrupt { record: "the certificate authority".into() };
    let state: State = serde_json::from_slice(&stored.value).map_err(|_| corrupt())?;
    if state.format != FORMAT {
        return Err(corrupt());
    }
    Ok((state, stored.version))
}

fn load(store: &dyn Store, keyring: &Keyring, device: &Shared) -> Result<Loaded, AuthorityError> {
    let (state, version) = read_state(store)?;
    let key_of = |record: &IssuerRecord| match &record.key {
        KeyPlace::Device(at) => certificate::key_in_device(record, at, device.clone()),
        _ => unseal(store, keyring, record.id, &record.title()),
    };
    let active = state
        .issuer(state.intermediate)
        .ok_or_else(|| AuthorityError::Corrupt { record: "the active intermediate".into() })?;
    let chain = Chain::new(&state, key_of(active)?)?;
    let key = unseal(store, keyring, state.signer.id, "audit signer")?;
    let signer = Arc::new(AuditSigner::new(key, &state.signer.der.0));
    let mut others = BTreeMap::new();
    for line in &state.lines {
        let Some(record) = line.active.and_then(|id| state.issuer(id)) else { continue };
        others.insert(line.name.clone(), Chain::under(&state, record, key_of(record)?)?);
    }
    Ok(Loaded { state, version, chain, others, signer })
}

/// Everything of a new authority as one change.
fn new_authority(
    journal: &Journal,
    keyring: &Keyring,
    options: &CreateOptions,
    actor: &Actor,
) -> Result<Change, AuthorityError> {
    let now = journal.clock().now();
    let homes = [options.root_key, options.intermediate_key];
    let [root_home, home] = make_homes(journal, &options.device, homes)?;
    let key_type = options.key_type;
    let root = make::root(&options.trust_domain, (key_type, &root_home), 1, now, None)?;
    let root_issuer = root.issuer()?;
    let new = make::NewIntermediate {
        trust_domain: &options.trust_domain,
        key_type: options.own.intermediate.key_type.unwrap_or(key_type),
        life: options.own.intermediate.life,
        home: &home,
        number: 1,
        constraints: &options.name_constraints,
        urls: &options.publication.urls(root.record.id, options.crl_url.as_deref()),
    };
    let intermediate = make::intermediate(&new, &root.record, &root_issuer, now)?;
    let signer = make::signer(&options.trust_domain, &root.record, &root_issuer, now)?;
    let (root_crl, _) = root.first_crl(None, now, intermediate.record.not_after)?;
    let delta = options.publication.delta(intermediate.record.id);
    let (crl, _) = intermediate.first_crl(delta.as_deref(), now, now.plus(crl::LIFE))?;
    let fact = Fact::CaCreated {
        trust_domain: options.trust_domain.to_string(),
        root: root.record.serial.to_string(),
        intermediate: intermediate.record.serial.to_string(),
    };
    let mut transaction = Transaction::new();
    for made in [&root, &intermediate, &signer] {
        transaction = seal(keyring, made, transaction)?;
    }
    let state = State {
        format: FORMAT,
        trust_domain: options.trust_domain.clone(),
        created: now,
        key_type: options.key_type,
        crl_url: options.crl_url.clone(),
        name_constraints: options.name_constraints.clone(),
        root: root.record.id,
        intermediate: intermediate.record.id,
        issuers: vec![root.record, intermediate.record],
        signer: SignerRecord { id: signer.record.id, der: signer.record.der },
        lines: Vec::new(),
    };
    let transaction = transaction
        .create(STATE, serde_json::to_vec(&state)?)
        .put(root_crl.key, root_crl.value)
        .put(crl.key, crl.value);
    Ok(Change::new(transaction, actor.event(now, fact)))
}

/// Places for new keys; those in the device are noted before they are made.
pub(crate) fn make_homes<const N: usize>(
    journal: &Journal,
    device: &Shared,
    wanted: [KeyHome; N],
) -> Result<[Home; N], AuthorityError> {
    let count = wanted.iter().filter(|home| **home == KeyHome::Device).count();
    let mut places = match count {
        0 => Vec::new(),
        count => {
            let device = device.as_ref().ok_or_else(DeviceError::none)?;
            unwanted::reserve(journal, device, count, None)?
        }
    };
    Ok(wanted.map(|home| match (home, device) {
        (KeyHome::Device, Some(device)) => match places.pop() {
            Some(at) => Home::Device { device: Arc::clone(device), at },
            None => Home::Store,
        },
        _ => Home::Store,
    }))
}

/// Adds the key of something made to `transaction`: sealed, or as one in the device that is wanted from now on.
pub(crate) fn seal(
    keyring: &Keyring,
    made: &Made,
    transaction: Transaction,
) -> Result<Transaction, AuthorityError> {
    let pkcs8 = match &made.key {
        MadeKey::Here(pkcs8) => pkcs8,
        MadeKey::InDevice { at, .. } => return Ok(transaction.delete(unwanted::note(at))),
    };
    let name = key_name(made.record.id);
    let sealed = keyring
        .seal(&name, pkcs8.expose())
        .map_err(|source| AuthorityError::Seal { key: "new key".into(), source })?;
    Ok(transaction.create(name.into_bytes(), sealed))
}
