//! One publication: read, plan, change; and again where somebody else was faster.

use crate::client::{Connection, Target};
use crate::dn::Dn;
use crate::entry::Create;
use crate::error::{BoxedError, DirectoryError, WHOLE};
use crate::plan::{Plan, Standing};
use crate::wire::{self, Ended, code};

/// How often an entry that others change is read.
const ATTEMPTS: usize = 4;

/// What an entry should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The entry.
    pub dn: Dn,
    /// The certificate that should be there (DER); none where only what is no longer good is to go.
    pub wanted: Option<Vec<u8>>,
    /// As what the entry is made where it is not there; otherwise that is an error.
    pub create: Option<Create>,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the entry was made.
    pub created: bool,
    /// What was put in.
    pub added: Option<Vec<u8>>,
    /// What was taken out.
    pub removed: Vec<Vec<u8>>,
    /// How many certificates stand there beside the one that was wanted: of others, or ours of other names.
    pub others: usize,
}

impl Outcome {
    /// Whether everything was as it should be.
    pub fn is_unchanged(&self) -> bool {
        !self.created && self.added.is_none() && self.removed.is_empty()
    }
}

/// What one round came to.
enum Round {
    Done(Outcome),
    Again,
}

/// Makes an entry have what it should. `standing` says where a certificate (DER, as the directory has it) stands in the
/// inventory.
///
/// # Errors
/// [`DirectoryError`]. Unless the connection broke while a change was under way, nothing was changed then.
pub async fn publish(
    target: &Target,
    publication: &Publication,
    standing: &(dyn Fn(&[u8]) -> Result<Standing, BoxedError> + Send + Sync),
) -> Result<Outcome, DirectoryError> {
    if let Some(create) = publication.create {
        // Before anything is asked: this cannot be mended by what is there.
        create.attributes(&publication.dn)?;
    }
    let work = async {
        let mut connection = Connection::open(target).await?;
        let outcome = rounds(&mut connection, target, publication, standing).await;
        connection.close().await;
        outcome
    };
    let done = tokio::time::timeout(target.deadlines.whole, work).await;
    done.unwrap_or(Err(DirectoryError::Late { during: WHOLE }))
}

async fn rounds(
    connection: &mut Connection,
    target: &Target,
    publication: &Publication,
    standing: &(dyn Fn(&[u8]) -> Result<Standing, BoxedError> + Send + Sync),
) -> Result<Outcome, DirectoryError> {
    let dn = publication.dn.to_string();
    let seconds = u32::try_from(target.deadlines.operation.as_secs().max(1)).unwrap_or(u32::MAX);
    for _ in 0..ATTEMPTS {
        let request = wire::read(connection.next(), &dn, seconds);
        let mut found = None;
        let ended = connection.ask(&request, Some(&mut found)).await?;
        let round = match (ended.code, found) {
            (code::SUCCESS, Some(values)) => {
                change(connection, publication, values, standing).await?
            }
            (code::SUCCESS, None) => {
                return Err(DirectoryError::Protocol { why: "the entry is missing in it" });
            }
            (code::NO_SUCH_OBJECT, _) => create(connection, publication).await?,
            _ => return Err(refused("the reading", publication, &ended)),
        };
        if let Round::Done(outcome) = round {
            return Ok(outcome);
        }
    }
    Err(DirectoryError::Contended(publication.dn.clone()))
}

async fn change(
    connection: &mut Connection,
    publication: &Publication,
    values: Vec<Vec<u8>>,
    standing: &(dyn Fn(&[u8]) -> Result<Standing, BoxedError> + Send + Sync),
) -> Result<Round, DirectoryError> {
    let there = values
        .into_iter()
        .map(|value| standing(&value).map(|standing| (value, standing)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(DirectoryError::Inventory)?;
    let wanted = publication.wanted.as_deref();
    let plan = Plan::of(&there, wanted);
    let stays = |value: &Vec<u8>| wanted != Some(value.as_slice()) && !plan.remove.contains(value);
    let others = there.iter().filter(|(value, _)| stays(value)).count();
    if plan.is_empty() {
        return Ok(Round::Done(Outcome { others, ..Outcome::default() }));
    }
    let dn = publication.dn.to_string();
    let request = wire::modify(connection.next(), &dn, &plan);
    let ended = connection.ask(&request, None).await?;
    match ended.code {
        code::SUCCESS => {
            let Plan { add, remove } = plan;
            Ok(Round::Done(Outcome { created: false, added: add, removed: remove, others }))
        }
        // The attribute is not what it was a moment ago.
        code::NO_SUCH_ATTRIBUTE | code::ATTRIBUTE_OR_VALUE_EXISTS | code::NO_SUCH_OBJECT => {
            tracing::debug!(code = ended.code, "the entry was changed meanwhile; reading it again");
            Ok(Round::Again)
        }
        _ => Err(refused("the change", publication, &ended)),
    }
}

async fn create(
    connection: &mut Connection,
    publication: &Publication,
) -> Result<Round, DirectoryError> {
    let Some(wanted) = &publication.wanted else {
        // Where there is no entry there is nothing to be taken out of it.
        return Ok(Round::Done(Outcome::default()));
    };
    let Some(kind) = publication.create else {
        return Err(DirectoryError::NoEntry(publication.dn.clone()));
    };
    let attributes = kind.attributes(&publication.dn)?;
    let dn = publication.dn.to_string();
    let request = wire::add(connection.next(), &dn, &attributes, wanted);
    let ended = connection.ask(&request, None).await?;
    match ended.code {
        code::SUCCESS => {
            let added = Some(wanted.clone());
            Ok(Round::Done(Outcome { created: true, added, ..Outcome::default() }))
        }
        code::ENTRY_ALREADY_EXISTS => Ok(Round::Again),
        _ => Err(refused("the making", publication, &ended)),
    }
}

fn refused(during: &'static str, publication: &Publication, ended: &Ended) -> DirectoryError {
    let dn = publication.dn.clone();
    if ended.code == code::REFERRAL {
        return DirectoryError::Referral { dn };
    }
    DirectoryError::Refused { during, dn, code: ended.code, said: wire::explained(ended) }
}
