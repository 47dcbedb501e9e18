//! Files of any size whose bytes do not compress.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::Result;

/// Writes one.
pub(crate) fn write_noise(path: &Path, size: u64) -> Result<()> {
    let mut file = File::create(path)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(1 << 20);
    let mut left = size;
    while left > 0 {
        block.clear();
        while block.len() < 1 << 20 {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        let length = left.min(block.len() as u64);
        file.write_all(block.get(..length as usize).unwrap_or_default())?;
        left -= length;
    }
    Ok(())
}

/// `1 GiB`, `16 MiB`.
pub(crate) fn mebibytes(size: u64) -> String {
    if size >= 1 << 30 { format!("{} GiB", size >> 30) } else { format!("{} MiB", size >> 20) }
}
