//! PEM (RFC 7468): writing, and strict reading of one block.

use data_encoding::BASE64;
use sealock_core::SecretBytes;
use zeroize::Zeroizing;

/// One block with lines of 64 characters.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(BASE64.encode(der));
    // Sized in advance: a private key must not be left behind in a buffer that grew.
    let mut text = String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 40);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest: &str = &body;
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// One block around secret bytes.
pub(crate) fn encode_secret(label: &str, der: &[u8]) -> SecretBytes {
    SecretBytes::new(encode(label, der).into_bytes())
}

/// Reads the only block in `text`, whose label must be one of `labels`; gives the label's place in them
/// and the bytes. Text before the block is allowed (RFC 7468 §2), a second block is not.
pub(crate) fn decode_one(text: &[u8], labels: &[&str]) -> Option<(usize, Zeroizing<Vec<u8>>)> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines().map(str::trim_end);
    let begin = |line: &str| {
        let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
        labels.iter().position(|known| *known == label)
    };
    let index = lines.by_ref().find(|line| line.starts_with("-----BEGIN ")).and_then(begin)?;
    let end = format!("-----END {}-----", labels.get(index)?);
    let mut body = Zeroizing::new(String::with_capacity(text.len()));
    loop {
        match lines.next()? {
            line if line == end => break,
            line => body.push_str(line.trim()),
        }
    }
    if lines.any(|line| line.starts_with("-----BEGIN ")) {
        return None;
    }
    Some((index, Zeroizing::new(BASE64.decode(body.as_bytes()).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for length in [0, 1, 47, 48, 49, 700] {
            let der = vec![7; length];
            let text = encode("CERTIFICATE", &der);
            assert!(text.lines().all(|line| line.len() <= 64));
            let (index, read) = decode_one(text.as_bytes(), &["X", "CERTIFICATE"]).unwrap();
            assert_eq!((index, &*read), (1, &der));
        }
    }

    #[test]
    fn only_one_block_with_a_known_label() {
        let one = encode("A", b"a");
        let windows = format!("leading text\r\n{}", one.replace('\n', "\r\n"));
        assert!(decode_one(windows.as_bytes(), &["A"]).is_some());
        assert!(decode_one(one.as_bytes(), &["B"]).is_none());
        assert!(decode_one(format!("{one}{one}").as_bytes(), &["A"]).is_none());
        assert!(decode_one(one.replace("END", "EN").as_bytes(), &["A"]).is_none());
        assert!(decode_one(one.replace("YQ==", "Y!==").as_bytes(), &["A"]).is_none());
        assert!(decode_one(b"\xff", &["A"]).is_none());
    }
}
