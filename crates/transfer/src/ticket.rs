//! What the reader of an offer holds: where the listener is, how it is known, and the one-time secret.
//! A ticket is bound to no container: whoever holds it first gets the files, once.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::codec::{CodecError, Decoder, Encoder};
use crate::offer::{
    Address, OneTimeSecret, TransferId, VERSION, decode_address, decode_amount, encode_address,
    encode_amount,
};
use crate::plan::Announced;

/// What a ticket's text begins with.
pub const PREFIX: &str = "sealock-ticket-1.";
/// The longest text that is read as a ticket.
pub const TEXT_LIMIT: usize = 2048;

/// Why a text is not a ticket.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum TicketError {
    /// It is longer than a ticket can be.
    #[error("the ticket is too long")]
    TooLong,
    /// It does not begin as tickets do.
    #[error("this is not a ticket: it does not begin with `{PREFIX}`")]
    Prefix,
    /// What follows is not in the alphabet of tickets.
    #[error("the ticket is damaged: its text is not base64url")]
    Text,
    /// What it says is not as the format has it.
    #[error("the ticket is damaged")]
    Content(#[from] CodecError),
}

/// A ticket. Its text is a secret: `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Ticket {
    /// Names the transfer.
    pub transfer: TransferId,
    /// By which both sides know one another.
    pub secret: OneTimeSecret,
    /// Where the listener is, and how it is known.
    pub address: Address,
    /// Until when it waits: seconds since 1970.
    pub expires: u64,
    /// The name of the one file that is to come, if it is one: empty when it has none.
    pub one_file: Option<String>,
    /// How much there is.
    pub announced: Announced,
}

impl Ticket {
    /// As one line of text, without its end.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut encoder = Encoder::new();
        encoder.byte(VERSION).fixed(self.transfer.as_bytes()).fixed(self.secret.expose());
        self.encode_terms(&mut encoder);
        let mut text = Zeroizing::new(String::with_capacity(TEXT_LIMIT));
        text.push_str(PREFIX);
        BASE64URL_NOPAD.encode_append(&encoder.finish(), &mut text);
        text
    }

    /// Reads a text; white space around it does not count.
    pub fn parse(text: &str) -> Result<Self, TicketError> {
        let text = text.trim_ascii();
        if text.len() > TEXT_LIMIT {
            return Err(TicketError::TooLong);
        }
        let body = text.strip_prefix(PREFIX).ok_or(TicketError::Prefix)?;
        let decoded = BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| TicketError::Text)?;
        let bytes = Zeroizing::new(decoded);
        let mut decoder = Decoder::new(&bytes);
        match decoder.byte()? {
            VERSION => {}
            other => return Err(CodecError::Version(other).into()),
        }
        let transfer = TransferId::from_bytes(decoder.array()?);
        let secret = OneTimeSecret::from_bytes(decoder.array()?);
        let address = decode_address(&mut decoder)?;
        let expires = decoder.number()?;
        let (one_file, announced) = decode_amount(&mut decoder)?;
        decoder.finish()?;
        Ok(Self { transfer, secret, address, expires, one_file, announced })
    }

    /// What the session's keys bind. No container is in it.
    pub(crate) fn context(&self) -> Zeroizing<Vec<u8>> {
        let mut encoder = Encoder::new();
        encoder.byte(VERSION).byte(b'T').fixed(self.transfer.as_bytes());
        self.encode_terms(&mut encoder);
        encoder.finish()
    }

    fn encode_terms(&self, encoder: &mut Encoder) {
        encode_address(&self.address, encoder);
        encoder.number(self.expires);
        encode_amount(self.one_file.as_deref(), &self.announced, encoder);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ticket").field("transfer", &self.transfer).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn sample() -> Ticket {
        Ticket {
            transfer: TransferId::from_bytes([1; 16]),
            secret: OneTimeSecret::from_bytes([2; 32]),
            address: Address { url: "https://127.0.0.1:4443/abc".into(), pin: [3; 32] },
            expires: 1_800_000_000,
            one_file: None,
            announced: Announced { bytes: 5, members: 1 },
        }
    }

    #[test]
    fn a_ticket_reads_back_as_written() {
        let text = sample().to_text();
        assert!(text.len() < TEXT_LIMIT && !text.contains(char::is_whitespace));
        let back = Ticket::parse(&format!("\n {}\n", text.as_str())).unwrap();
        assert_eq!(back.to_text(), text);
        assert_eq!(back.address, sample().address);
    }

    #[test]
    fn what_is_no_ticket_is_refused() {
        let text = sample().to_text();
        for length in 0..text.len() {
            assert!(Ticket::parse(&text[..length]).is_err(), "cut at {length}");
        }
        assert_eq!(Ticket::parse("hello").unwrap_err(), TicketError::Prefix);
        assert_eq!(Ticket::parse(&format!("{PREFIX}!!")).unwrap_err(), TicketError::Text);
        assert_eq!(Ticket::parse(&"x".repeat(5000)).unwrap_err(), TicketError::TooLong);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail_otherwise_than_by_an_error(text: String, bytes: Vec<u8>) {
            let _ = Ticket::parse(&text);
            let _ = Ticket::parse(&format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)));
        }
    }
}
