//! The records of a PAX header: `LENGTH KEY=VALUE` and a line feed, whatever bytes the value has (POSIX.1-2001, pax
//! interchange format).

use super::ContextError;

/// What a header says of the entry after it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    /// Extended attributes, such as capabilities.
    pub(super) attributes: Vec<(String, Vec<u8>)>,
}

/// Reads them. What would make the entry another than its own header says is refused.
pub(super) fn records(mut bytes: &[u8]) -> Result<Records, ContextError> {
    let mut found = Records::default();
    while !bytes.is_empty() {
        let digits = bytes.iter().position(|byte| *byte == b' ').ok_or(ContextError::Entry)?;
        let (length, _) = bytes.split_at_checked(digits).ok_or(ContextError::Entry)?;
        let length = str::from_utf8(length).ok().filter(|text| !text.starts_with('+'));
        let length: usize = length.and_then(|text| text.parse().ok()).ok_or(ContextError::Entry)?;
        let (record, rest) = bytes.split_at_checked(length).ok_or(ContextError::Entry)?;
        let record = record.get(digits + 1..).and_then(|record| record.strip_suffix(b"\n"));
        let record = record.ok_or(ContextError::Entry)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or(ContextError::Entry)?;
        let (key, value) = record.split_at_checked(equals).ok_or(ContextError::Entry)?;
        let key = str::from_utf8(key).map_err(|_| ContextError::Entry)?;
        let value = value.get(1..).unwrap_or_default().to_vec();
        match key {
            // Without a value, it is as if it were not there.
            "path" | "linkpath" if value.is_empty() => {}
            "path" => found.path = Some(value),
            "linkpath" => found.link = Some(value),
            "size" => return Err(ContextError::Entry),
            key if key.starts_with("GNU.sparse.") => return Err(ContextError::Entry),
            key if key.starts_with("SCHILY.xattr.") => {
                found.attributes.push((key.to_owned(), value));
            }
            _ => {}
        }
        bytes = rest;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        let length = (1..).find(|length: &usize| length.to_string().len() + rest.len() == *length);
        [length.unwrap().to_string().as_bytes(), &rest].concat()
    }

    #[test]
    fn records_are_read_by_their_length() {
        let attribute = ("SCHILY.xattr.a.b", &b"\x00\n=\xff\n12345"[..]);
        let text = [
            record("path", b"a b\n"),
            record("linkpath", b"../x/y"),
            record("mtime", b"1.5"),
            record(attribute.0, attribute.1),
        ];
        let found = records(&text.concat()).unwrap();
        assert_eq!(found.path.unwrap(), b"a b\n");
        assert_eq!(found.link.unwrap(), b"../x/y");
        assert_eq!(found.attributes, [(attribute.0.to_owned(), attribute.1.to_vec())]);
        assert_eq!(records(b"").unwrap(), Records::default());
        for bad in [
            b"1".to_vec(),
            b"7 a=b\n".to_vec(),
            b"x a=b\n".to_vec(),
            b"+6 a=b\n".to_vec(),
            b"5 ab\n".to_vec(),
            b"99999999999999999999 a=b\n".to_vec(),
            b"0 a=b\n".to_vec(),
            record("size", b"12"),
            record("GNU.sparse.major", b"1"),
            [record("a", b"b"), b"0".to_vec()].concat(),
        ] {
            assert!(records(&bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
