//! What can go wrong.

use thiserror::Error;

use crate::read::{Format, MAXIMUM_BYTES, MAXIMUM_CERTIFICATES, MAXIMUM_KEYS, MAXIMUM_ROUNDS};
use crate::trust_store::{MAXIMUM_STORE_BYTES, MAXIMUM_STORE_ENTRIES};

/// Why nothing was read. The file itself is named by whoever opened it.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    /// Nothing that is read here begins like this.
    #[error("this is no file of certificates")]
    Unrecognised,
    /// It is of a kind that is read here, and holds neither certificate nor private key.
    #[error("there is no certificate and no private key in this {0} file")]
    Nothing(Format),
    /// What is to be signed, and not what was signed.
    #[error("this is a certificate request (CSR), not a certificate")]
    Request,
    /// A key store in Java's own format.
    #[error("this is a key store in Java's own format (JKS or JCEKS)")]
    JavaKeyStore,
    /// Longer than anything that is read here.
    #[error("it is larger than {} KiB", MAXIMUM_BYTES / 1024)]
    TooLarge,
    /// Longer than any trust store that is changed here.
    #[error("it is larger than {} MiB", MAXIMUM_STORE_BYTES >> 20)]
    StoreTooLarge,
    /// More certificates than are taken from one file.
    #[error("there are more than {MAXIMUM_CERTIFICATES} certificates in it")]
    TooManyCertificates,
    /// More entries than are taken from one trust store.
    #[error("there are more than {MAXIMUM_STORE_ENTRIES} entries in it")]
    TooManyEntries,
    /// More private keys than are taken from one file.
    #[error("there are more than {MAXIMUM_KEYS} private keys in it")]
    TooManyKeys,
    /// It is under a password, and none was given.
    #[error("it is protected by a password")]
    PasswordMissing,
    /// The password does not open it.
    #[error("the password is wrong, or the file is damaged")]
    WrongPassword,
    /// A password here is a text.
    #[error("the password is not text in UTF-8")]
    PasswordNotText,
    /// Deriving keys from the password would take too long.
    #[error("opening it takes more than {MAXIMUM_ROUNDS} rounds of key derivation")]
    TooManyRounds,
    /// A private key in a file that nothing protects from changes.
    #[error("a private key is in it, and nothing in it proves that nobody has changed it")]
    NotAuthenticated,
    /// Something stands there that is not read here.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// It is not whole, or was never right.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// One of the certificates is none.
    #[error("certificate {0} in it cannot be read")]
    Certificate(usize),
    /// One of the private keys is none, or of a kind that is not known here.
    #[error("private key {0} in it is damaged, or of an unknown kind")]
    Key(usize),
}

impl ReadError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unrecognised => "give it PEM, DER, PKCS#7 (.p7b) or PKCS#12 (.p12, .pfx)",
            Self::JavaKeyStore => {
                "make it PKCS#12 first: keytool -importkeystore -srckeystore FILE -destkeystore OUT.p12 -deststoretype PKCS12"
            }
            Self::Request => "give the certificate that your CA has made of it",
            Self::PasswordMissing => "name a file that holds the password with --password-file",
            Self::WrongPassword => {
                "the password is the first line of --password-file, and of that every character but the line's end; try it with: openssl pkcs12 -in FILE -noout"
            }
            Self::Damaged(_) | Self::Certificate(_) => {
                "it may have been cut off on its way: take it anew from where it comes from"
            }
            Self::TooManyRounds => "write it anew with fewer, as by openssl pkcs12 -iter 100000",
            Self::NotAuthenticated => {
                "write it anew with a MAC, which openssl and keytool do unless they are told not to"
            }
            Self::Unsupported(_) => "write it anew with openssl 3, by its defaults",
            Self::Key(_) => "known are RSA (2048 to 8192 bits), P-256, P-384, P-521 and Ed25519",
            _ => return None,
        })
    }
}

/// Why nothing was written.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WriteError {
    /// There is no certificate to write.
    #[error("there is no certificate")]
    NoCertificate,
    /// A store of trusted certificates without any.
    #[error("there is no root certificate")]
    NoRoot,
    /// The format needs the private key.
    #[error("there is no private key")]
    NoKey,
    /// The private key is none, or of a kind that is not known here.
    #[error("the private key is damaged, or of an unknown kind")]
    Key,
    /// The private key is another certificate's.
    #[error("the private key does not belong to the certificate")]
    OtherKey,
    /// One of the certificates is none.
    #[error("certificate {0} cannot be read")]
    Certificate(usize),
    /// The format needs a password.
    #[error("this format needs a password")]
    PasswordMissing,
    /// What keytool and others would not take.
    #[error("the password must be of 6 to 256 characters of text in UTF-8, without NUL")]
    Password,
    /// What cannot be a name in a key store.
    #[error("the alias must be of 1 to 128 characters, none of them a control character")]
    Alias,
    /// An entry has the alias already.
    #[error("there is an entry of this alias, and it is another one")]
    AliasTaken,
    /// No room for another entry.
    #[error("there are {MAXIMUM_STORE_ENTRIES} entries in it already")]
    Full,
    /// The cryptographic library failed.
    #[error("cannot encrypt")]
    Encrypt,
}

impl WriteError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::PasswordMissing => {
                Some("name a file that holds the password with --password-file")
            }
            Self::OtherKey => Some("issue it again, or put the key there that it was issued for"),
            _ => None,
        }
    }
}
