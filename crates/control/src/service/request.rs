//! Request and transfer ids.

use crate::error::{ErrorCode, ServiceError};

/// 64 random bits in hex: short enough to type, and not to be guessed.
pub fn new_request_id() -> Result<String, ServiceError> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| ServiceError::new(ErrorCode::Fault, "the system gives no random numbers"))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}
