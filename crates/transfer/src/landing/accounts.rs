//! Owners by name, as the container's own `/etc/passwd` and `/etc/group` know them.
//!
//! The files are the container's, so hostile: they are read through the confined [`Root`], up to a
//! limit, and lines that are not what they should be are passed over, as the C library does it. What
//! an attacker controls is which numeric owner a name stands for *in that container*.

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use super::{LandingError, Root};

/// How much of an account file is read.
const FILE_LIMIT: u64 = 1024 * 1024;
/// How long a name may be (`LOGIN_NAME_MAX`).
const NAME_LIMIT: usize = 256;

/// A user or a group: by number or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// Its number, as the container sees it.
    Id(u32),
    /// Its name in the container.
    Name(String),
}

/// Who is to own what lands: `USER` or `USER:GROUP`, each by number or name.
///
/// Without a group it is the user's own group in `/etc/passwd`; a number that is not in there stands
/// for the group of the same number, as in a Dockerfile's `--chown`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: Account,
    /// The group, if it is not to be the user's own.
    pub group: Option<Account>,
}

/// Text that is no owner.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("{0:?} is not an owner such as 1000:1000, app or app:www")]
pub struct OwnerError(String);

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let account = |part: &str| {
            let plain = !part.is_empty()
                && part.len() <= NAME_LIMIT
                && !part.starts_with(['-', '+'])
                && part.chars().all(|letter| letter.is_alphanumeric() || "_-.$@+".contains(letter));
            if !plain {
                return Err(OwnerError(text.chars().take(NAME_LIMIT).collect()));
            }
            match part.parse::<u32>() {
                // The last number means "leave it" to chown(2).
                Ok(u32::MAX) => Err(OwnerError(text.to_owned())),
                Ok(id) => Ok(Account::Id(id)),
                Err(_) if part.bytes().all(|byte| byte.is_ascii_digit()) => {
                    Err(OwnerError(text.to_owned()))
                }
                Err(_) => Ok(Account::Name(part.to_owned())),
            }
        };
        match text.split_once(':') {
            Some((user, group)) => Ok(Self { user: account(user)?, group: Some(account(group)?) }),
            None => Ok(Self { user: account(text)?, group: None }),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(formatter, "{id}"),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            Some(group) => write!(formatter, "{}:{group}", self.user),
            None => write!(formatter, "{}", self.user),
        }
    }
}

impl Root {
    /// The numbers (as the container sees them) that an owner stands for.
    ///
    /// # Errors
    /// [`LandingError::NoSuchUser`], [`LandingError::NoSuchGroup`], or account files that cannot be
    /// read.
    pub fn owner_ids(&self, owner: &Owner) -> Result<(u32, u32), LandingError> {
        let needs_users = owner.group.is_none() || matches!(owner.user, Account::Name(_));
        let users = if needs_users { self.account_file("/etc/passwd")? } else { Vec::new() };
        let (user, own_group) = match &owner.user {
            Account::Id(id) => (*id, group_of(&users, *id).unwrap_or(*id)),
            Account::Name(name) => find_user(&users, name)
                .ok_or_else(|| LandingError::NoSuchUser { name: name.clone() })?,
        };
        let group = match &owner.group {
            None => own_group,
            Some(Account::Id(id)) => *id,
            Some(Account::Name(name)) => find_group(&self.account_file("/etc/group")?, name)
                .ok_or_else(|| LandingError::NoSuchGroup { name: name.clone() })?,
        };
        Ok((user, group))
    }

    fn account_file(&self, path: &str) -> Result<Vec<u8>, LandingError> {
        let file = match self.open_file(path) {
            Ok(file) => file,
            Err(LandingError::Missing { .. } | LandingError::NotAFolder { .. }) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut content = Vec::new();
        std::fs::File::from(file).take(FILE_LIMIT).read_to_end(&mut content).map_err(|source| {
            LandingError::Io { operation: "read", path: path.to_owned(), source }
        })?;
        Ok(content)
    }
}

/// User and group of a user's line: `name:password:user:group:…`.
pub fn find_user(passwd: &[u8], name: &str) -> Option<(u32, u32)> {
    fields(passwd).find_map(|line| match line {
        [found, _, user, group] if found == name.as_bytes() => Some((id(user)?, id(group)?)),
        _ => None,
    })
}

fn group_of(passwd: &[u8], user: u32) -> Option<u32> {
    fields(passwd).find_map(|line| match line {
        [_, _, found, group] if id(found) == Some(user) => id(group),
        _ => None,
    })
}

/// The number of a group's line: `name:password:group:members`.
pub fn find_group(group: &[u8], name: &str) -> Option<u32> {
    fields(group).find_map(|line| match line {
        [found, _, number, _] if found == name.as_bytes() => id(number),
        _ => None,
    })
}

/// The first four fields of each line that has as many.
fn fields(file: &[u8]) -> impl Iterator<Item = [&[u8]; 4]> {
    file.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        Some([fields.next()?, fields.next()?, fields.next()?, fields.next()?])
    })
}

fn id(field: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nbroken\nbad:x:-1:1:a:b:c\n\
        app:x:1000:1001:,,,:/home/app:/bin/sh\napp:x:0:0::/:/bin/sh\nmax:x:4294967295:0::/:\n\
        plus:x:+5:0::/:\ncut:x:7:8";
    const GROUP: &[u8] = b"root:x:0:\nwww:x:33:app,other\nwww:x:0:\nshort:x:5";

    #[test]
    fn lines_that_are_none_are_passed_over_and_the_first_counts() {
        assert_eq!(find_user(PASSWD, "app"), Some((1000, 1001)));
        assert_eq!(find_user(PASSWD, "cut"), Some((7, 8)));
        for none in ["broken", "bad", "max", "plus", "nobody", ""] {
            assert_eq!(find_user(PASSWD, none), None, "{none}");
        }
        assert_eq!(group_of(PASSWD, 1000), Some(1001));
        assert_eq!(find_group(GROUP, "www"), Some(33));
        assert_eq!(find_group(GROUP, "short"), None);
    }

    #[test]
    fn owners_are_read_and_shown() {
        for text in ["0", "1000:1000", "app", "app:www", "1000:www", "app:5", "sys-user_1.x$"] {
            assert_eq!(text.parse::<Owner>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            ":",
            "a:",
            ":a",
            "-1",
            "4294967295",
            "4294967296",
            "a b",
            "a:b:c",
            "+5",
            "a/b",
            "a\n",
        ] {
            assert!(bad.parse::<Owner>().is_err(), "{bad}");
        }
    }
}
