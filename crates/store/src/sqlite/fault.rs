//! SQLite's errors as [`StoreError`]s.

use std::path::Path;

use rusqlite::{Error, ErrorCode};

use crate::error::StoreError;

/// Errors that mean the same wherever they come up.
fn known(path: &Path, error: Error) -> Result<StoreError, Error> {
    let path = || path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => {
            Ok(StoreError::Corrupt { path: path(), detail: error.to_string() })
        }
        Some(ErrorCode::NotADatabase) => Ok(StoreError::Foreign { path: path() }),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Ok(StoreError::Busy { path: path() })
        }
        Some(ErrorCode::DiskFull) => Ok(StoreError::Full { path: path(), source: error.into() }),
        Some(ErrorCode::ReadOnly) => {
            Ok(StoreError::ReadOnly { path: path(), source: error.into() })
        }
        _ => Err(error),
    }
}

pub(super) fn opening(path: &Path, error: Error) -> StoreError {
    known(path, error)
        .unwrap_or_else(|error| StoreError::Open { path: path.to_owned(), source: error.into() })
}

pub(super) fn reading(path: &Path, error: Error) -> StoreError {
    known(path, error).unwrap_or_else(|error| match error {
        Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..) => {
            StoreError::Corrupt { path: path.to_owned(), detail: error.to_string() }
        }
        _ => StoreError::Read { path: path.to_owned(), source: error.into() },
    })
}

pub(super) fn writing(path: &Path, error: Error) -> StoreError {
    known(path, error)
        .unwrap_or_else(|error| StoreError::Write { path: path.to_owned(), source: error.into() })
}
