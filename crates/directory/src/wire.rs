//! The messages of LDAP (RFC 4511) that a publication needs, sans-I/O: six requests written, their answers read.

use zeroize::Zeroizing;

use crate::ber::{self, Malformed, Reader, Writer};
use crate::error::DirectoryError;
use crate::plan::Plan;

/// A message of a directory is not longer than this, in bytes.
pub const LONGEST_MESSAGE: usize = 1 << 20;
/// An entry has at most so many certificates.
pub const MOST_VALUES: usize = 1000;
/// What of a directory's own words is repeated, in characters.
const LONGEST_WORDS: usize = 200;

/// What a certificate is called (RFC 4523 §2.1, in the encoding that RFC 4522 names).
pub(crate) const CERTIFICATE: &str = "userCertificate;binary";
/// StartTLS (RFC 4511 §4.14).
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";

pub(crate) mod code {
    pub(crate) const SUCCESS: u32 = 0;
    pub(crate) const REFERRAL: u32 = 10;
    pub(crate) const NO_SUCH_ATTRIBUTE: u32 = 16;
    pub(crate) const ATTRIBUTE_OR_VALUE_EXISTS: u32 = 20;
    pub(crate) const NO_SUCH_OBJECT: u32 = 32;
    pub(crate) const ENTRY_ALREADY_EXISTS: u32 = 68;
}

/// One request: what it is called in errors, its bytes, and the tag of the answer that ends it.
pub(crate) struct Request {
    pub(crate) during: &'static str,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) answer: u8,
}

const BIND: u8 = 0x60;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const MODIFY: u8 = 0x66;
const ADD: u8 = 0x68;
const EXTENDED: u8 = 0x77;
const BIND_ANSWER: u8 = 0x61;
const FOUND_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const MODIFY_ANSWER: u8 = 0x67;
const ADD_ANSWER: u8 = 0x69;
const FOUND_REFERENCE: u8 = 0x73;
const EXTENDED_ANSWER: u8 = 0x78;

/// What a bind shows.
pub(crate) enum Credentials<'a> {
    Simple { dn: &'a str, password: &'a [u8] },
    External,
}

fn message(
    during: &'static str,
    id: u32,
    tag: u8,
    answer: u8,
    fill: impl FnOnce(&mut Writer),
) -> Request {
    let mut writer = Writer::default();
    writer.within(ber::SEQUENCE, |message| {
        message.number(ber::INTEGER, id).within(tag, fill);
    });
    Request { during, bytes: writer.into_bytes(), answer }
}

pub(crate) fn bind(id: u32, credentials: &Credentials<'_>) -> Request {
    message("the bind", id, BIND, BIND_ANSWER, |bind| {
        bind.number(ber::INTEGER, 3);
        match credentials {
            Credentials::Simple { dn, password } => {
                bind.text(dn).bytes(0x80, password);
            }
            Credentials::External => {
                // Empty credentials, which is not the same as none: as whom the TLS layer says (RFC 4422 appendix A).
                bind.text("").within(0xa3, |sasl| {
                    sasl.text("EXTERNAL").text("");
                });
            }
        }
    })
}

pub(crate) fn start_tls(id: u32) -> Request {
    message("StartTLS", id, EXTENDED, EXTENDED_ANSWER, |extended| {
        extended.bytes(0x80, START_TLS.as_bytes());
    })
}

/// The certificates of this very entry.
pub(crate) fn read(id: u32, dn: &str, seconds: u32) -> Request {
    message("the reading", id, SEARCH, SEARCH_DONE, |search| {
        search
            .text(dn)
            // only this object, aliases not followed, one entry, so much time, values too
            .number(ber::ENUMERATED, 0)
            .number(ber::ENUMERATED, 0)
            .number(ber::INTEGER, 1)
            .number(ber::INTEGER, seconds)
            .bytes(ber::BOOLEAN, &[0])
            // (objectClass=*): every entry has one
            .bytes(0x87, b"objectClass")
            .within(ber::SEQUENCE, |attributes| {
                attributes.text(CERTIFICATE);
            });
    })
}

/// What the plan says, in one operation: all of it is done, or nothing.
pub(crate) fn modify(id: u32, dn: &str, plan: &Plan) -> Request {
    message("the change", id, MODIFY, MODIFY_ANSWER, |modify| {
        modify.text(dn).within(ber::SEQUENCE, |changes| {
            if !plan.remove.is_empty() {
                change(changes, 1, &plan.remove);
            }
            if let Some(add) = &plan.add {
                change(changes, 0, std::slice::from_ref(add));
            }
        });
    })
}

fn change(changes: &mut Writer, kind: u32, values: &[Vec<u8>]) {
    changes.within(ber::SEQUENCE, |change| {
        change.number(ber::ENUMERATED, kind).within(ber::SEQUENCE, |attribute| {
            attribute.text(CERTIFICATE).within(ber::SET, |set| {
                for value in values {
                    set.bytes(ber::OCTETS, value);
                }
            });
        });
    });
}

pub(crate) fn add(
    id: u32,
    dn: &str,
    attributes: &[(String, Vec<String>)],
    certificate: &[u8],
) -> Request {
    message("the making", id, ADD, ADD_ANSWER, |add| {
        add.text(dn).within(ber::SEQUENCE, |list| {
            for (name, values) in attributes {
                list.within(ber::SEQUENCE, |attribute| {
                    attribute.text(name).within(ber::SET, |set| {
                        for value in values {
                            set.text(value);
                        }
                    });
                });
            }
            list.within(ber::SEQUENCE, |attribute| {
                attribute.text(CERTIFICATE).within(ber::SET, |set| {
                    set.bytes(ber::OCTETS, certificate);
                });
            });
        });
    })
}

/// Good-bye; nothing answers.
pub(crate) fn unbind(id: u32) -> Zeroizing<Vec<u8>> {
    let mut writer = Writer::default();
    writer.within(ber::SEQUENCE, |message| {
        message.number(ber::INTEGER, id).bytes(UNBIND, &[]);
    });
    writer.into_bytes()
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: u32,
    /// The directory's words, shortened and without control characters.
    pub(crate) said: String,
}

/// What a message of the directory says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Certificates of the entry.
    Entry(Vec<Vec<u8>>),
    /// Look elsewhere.
    Reference,
    /// The operation with this tag's answer has ended.
    Ended(u8, Ended),
    /// The directory ends the connection.
    Notice(Ended),
}

/// Reads one message, in answer to the request `id`.
pub(crate) fn answer(bytes: &[u8], id: u32) -> Result<Answer, DirectoryError> {
    read_answer(bytes, id).map_err(|Unreadable(why)| DirectoryError::Protocol { why })
}

struct Unreadable(&'static str);

impl From<Malformed> for Unreadable {
    fn from(_: Malformed) -> Self {
        Self("it is not BER as LDAP has it")
    }
}

fn read_answer(bytes: &[u8], id: u32) -> Result<Answer, Unreadable> {
    let mut outer = Reader::new(bytes);
    let mut message = outer.inside(ber::SEQUENCE)?;
    if !outer.is_empty() {
        return Err(Unreadable("something follows it"));
    }
    let of = message.number(ber::INTEGER)?;
    let (tag, content) = message.next()?;
    let content = Reader::new(content);
    // Controls may follow. We ask for none, and none is needed to understand an answer (RFC 4511 §4.1.11).
    if of == 0 && tag == EXTENDED_ANSWER {
        return Ok(Answer::Notice(ended(content)?));
    }
    if of != id {
        return Err(Unreadable("it answers another request"));
    }
    match tag {
        FOUND_ENTRY => Ok(Answer::Entry(certificates(content)?)),
        FOUND_REFERENCE => Ok(Answer::Reference),
        BIND_ANSWER | SEARCH_DONE | MODIFY_ANSWER | ADD_ANSWER | EXTENDED_ANSWER => {
            Ok(Answer::Ended(tag, ended(content)?))
        }
        _ => Err(Unreadable("it is of no kind that answers a request of ours")),
    }
}

/// `LDAPResult`, whatever follows it.
fn ended(mut content: Reader<'_>) -> Result<Ended, Unreadable> {
    let code = content.number(ber::ENUMERATED)?;
    let _matched = content.expect(ber::OCTETS)?;
    let said = words(content.expect(ber::OCTETS)?);
    Ok(Ended { code, said })
}

fn words(bytes: &[u8]) -> String {
    let start = bytes.get(..bytes.len().min(LONGEST_WORDS * 4)).unwrap_or_default();
    let text = String::from_utf8_lossy(start);
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(LONGEST_WORDS).map(shown).collect()
}

fn certificates(mut entry: Reader<'_>) -> Result<Vec<Vec<u8>>, Unreadable> {
    let _name = entry.expect(ber::OCTETS)?;
    let mut attributes = entry.inside(ber::SEQUENCE)?;
    let mut found = Vec::new();
    while !attributes.is_empty() {
        let mut attribute = attributes.inside(ber::SEQUENCE)?;
        let name = attribute.expect(ber::OCTETS)?;
        let mut values = attribute.inside(ber::SET)?;
        if !name.eq_ignore_ascii_case(CERTIFICATE.as_bytes()) {
            continue;
        }
        while !values.is_empty() {
            if found.len() == MOST_VALUES {
                return Err(Unreadable("the entry has more certificates than we look at"));
            }
            found.push(values.expect(ber::OCTETS)?.to_vec());
        }
    }
    Ok(found)
}

/// What a result code is called (RFC 4511 appendix A), with the directory's words.
pub(crate) fn explained(ended: &Ended) -> String {
    let name = match ended.code {
        1 => "operations error",
        2 => "protocol error",
        3 => "time limit exceeded",
        4 => "size limit exceeded",
        7 => "authentication method not supported",
        8 => "stronger authentication required",
        11 => "administrative limit exceeded",
        13 => "confidentiality required",
        14 => "the SASL bind wants to go on",
        16 => "no such attribute",
        17 => "undefined attribute type",
        19 => "constraint violation",
        20 => "attribute or value exists",
        21 => "invalid attribute syntax",
        32 => "no such object",
        34 => "invalid DN syntax",
        48 => "inappropriate authentication",
        49 => "invalid credentials",
        50 => "insufficient access rights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwilling to perform",
        64 => "naming violation",
        65 => "object class violation",
        68 => "entry already exists",
        _ => "",
    };
    match (name, ended.said.as_str()) {
        ("", "") => format!("result code {}", ended.code),
        ("", said) => format!("result code {}: {said}", ended.code),
        (name, "") => name.to_owned(),
        (name, said) => format!("{name} ({said})"),
    }
}

#[cfg(test)]
mod tests;
