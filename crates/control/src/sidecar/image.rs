//! The image of sidecars: this very program and nothing else, without a registry.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use sealock_engine::{Engine, Listed};
use sealock_store::{Operation, Transaction};
use serde::{Deserialize, Serialize};

use crate::daemon::blocking;
use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;

/// Where the program is in the image.
pub(super) const PROGRAM: &str = "/sealock";
/// The label of our images; its value is the installation's scope.
const LABEL: &str = "sealock.sidecar-image";
const REPOSITORY: &str = "sealock-sidecar";
const KEY: &str = "control/sidecar-image";

/// Which image was made of which program. The id names the content, so nobody can put another in its place; a tag is for
/// people.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    program: String,
    image: String,
}

/// The image of this program, made where it is not there.
pub(super) async fn ensure(
    service: &std::sync::Arc<Service>,
    engine: &Engine,
) -> Result<String, ServiceError> {
    let own = std::sync::Arc::clone(service);
    let (program, made) = blocking(move || Ok((program()?, known(&own)?))).await?;
    let sum = HEXLOWER.encode(digest(&SHA256, &program).as_ref());
    if let Some(made) = made.filter(|made| made.program == sum)
        && engine.has_image(&made.image).await.map_err(|error| of_engine(&error))?
    {
        return Ok(made.image);
    }
    let archive = blocking(move || archive(&program)).await?;
    let scope = service.config().settings.watch.scope.clone().unwrap_or_default();
    let labels = HashMap::from([(LABEL.to_owned(), scope)]);
    let tag: String = sum.chars().take(12).collect();
    let image = engine
        .import_image(REPOSITORY, &tag, archive, &labels)
        .await
        .map_err(|error| of_engine(&error))?;
    let (own, made) = (std::sync::Arc::clone(service), Made { program: sum, image });
    blocking(move || remember(&own, &made).map(|()| made.image)).await
}

/// Removes the images of earlier programs that nothing is made of any more.
pub(super) async fn tidy(engine: &Engine, scope: &str, current: &str, all: &[Listed]) {
    let Ok(images) = engine.labelled_images(LABEL).await else { return };
    for (id, labels) in images {
        let ours = labels.get(LABEL).is_some_and(|of| of == scope) && id != current;
        if ours && !all.iter().any(|container| container.image_id == id) {
            // One that somebody else needs stays.
            let _ = engine.remove_image(&id).await;
        }
    }
}

fn program() -> Result<Vec<u8>, ServiceError> {
    // What runs, even when the file was replaced meanwhile.
    std::fs::read("/proc/self/exe").map_err(|error| {
        ServiceError::new(ErrorCode::Fault, "our own program cannot be read").caused_by(&error)
    })
}

fn archive(program: &[u8]) -> Result<Bytes, ServiceError> {
    let mut archive = tar::Builder::new(Vec::with_capacity(program.len() + 4096));
    let mut header = tar::Header::new_gnu();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    let made = archive
        .append_data(&mut header, PROGRAM.trim_start_matches('/'), program)
        .and_then(|()| archive.into_inner());
    made.map(Bytes::from).map_err(|error| ServiceError::of(ErrorCode::Fault, &error))
}

fn known(service: &Service) -> Result<Option<Made>, ServiceError> {
    let found = service.journal().store().get(KEY.as_bytes());
    let found = found.map_err(|error| ServiceError::of(ErrorCode::State, &error))?;
    Ok(found.and_then(|entry| serde_json::from_slice(&entry.value).ok()))
}

fn remember(service: &Service, made: &Made) -> Result<(), ServiceError> {
    let value =
        serde_json::to_vec(made).map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
    let transaction = Transaction::new().with(Operation::put(KEY.as_bytes(), value));
    let change = sealock_store::Change { transaction, events: Vec::new() };
    let written = service.journal().commit_blocking(change);
    written.map(|_| ()).map_err(|error| ServiceError::of(ErrorCode::State, &error))
}

pub(super) fn of_engine(error: &sealock_engine::EngineError) -> ServiceError {
    ServiceError::of(ErrorCode::Unavailable, error).maybe_hint(error.hint())
}
