//! The entry that is made where there is none.

use std::fmt;
use std::str::FromStr;

use crate::dn::{Dn, Pair};
use crate::error::DirectoryError;

/// As what a missing entry is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Create {
    /// `inetOrgPerson` (RFC 2798), which has certificates.
    Person,
    /// `device` (RFC 4519) with `pkiUser` (RFC 4523) beside it.
    Device,
}

impl Create {
    /// `person` or `device`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Device => "device",
        }
    }

    const fn classes(self) -> &'static [&'static str] {
        match self {
            Self::Person => &["top", "person", "organizationalPerson", "inetOrgPerson"],
            Self::Device => &["top", "device", "pkiUser"],
        }
    }

    /// What an entry of this kind may be named by, and what it must have.
    const fn naming(self) -> (&'static [&'static str], &'static str, &'static [&'static str]) {
        match self {
            Self::Person => (&["cn", "sn", "uid", "mail"], "cn or uid", &["cn", "sn"]),
            Self::Device => (&["cn", "serialnumber"], "cn", &["cn"]),
        }
    }

    /// All attributes of the entry but the certificate: those of its name, and what its classes must have, which is
    /// given the name's value where the name does not say it.
    pub(crate) fn attributes(self, dn: &Dn) -> Result<Vec<(String, Vec<String>)>, DirectoryError> {
        let (allowed, wanted, required) = self.naming();
        let shape = || DirectoryError::Shape { dn: dn.clone(), kind: self.as_str(), wanted };
        let own = dn.own();
        let known = |pair: &Pair| allowed.contains(&pair.attribute.as_str());
        let named = |attribute: &str| own.iter().find(|pair| pair.attribute == attribute);
        let naming = named("cn").or_else(|| named("uid")).ok_or_else(shape)?;
        if !own.iter().all(known) {
            return Err(shape());
        }
        let classes = self.classes().iter().map(|class| (*class).to_owned()).collect();
        let mut attributes = vec![("objectClass".to_owned(), classes)];
        attributes
            .extend(own.iter().map(|pair| (pair.attribute.clone(), vec![pair.value.clone()])));
        for attribute in required.iter().filter(|attribute| named(attribute).is_none()) {
            attributes.push(((*attribute).to_owned(), vec![naming.value.clone()]));
        }
        Ok(attributes)
    }
}

impl fmt::Display for Create {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Create {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "person" => Ok(Self::Person),
            "device" => Ok(Self::Device),
            _ => Err("must be person or device".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(create: Create, dn: &str) -> Option<Vec<String>> {
        let attributes = create.attributes(&dn.parse().unwrap()).ok()?;
        let shown = |(name, values): &(String, Vec<String>)| format!("{name}={}", values.join("|"));
        Some(attributes.iter().map(shown).collect())
    }

    #[test]
    fn entries_have_what_their_classes_must_have() {
        let person = "objectClass=top|person|organizationalPerson|inetOrgPerson";
        let device = "objectClass=top|device|pkiUser";
        let made = |create, dn| made(create, dn).map(|all| all.join(" "));
        let is = |text: String| Some(text);
        assert_eq!(
            made(Create::Person, "CN=Ann Lee,dc=x"),
            is(format!("{person} cn=Ann Lee sn=Ann Lee"))
        );
        assert_eq!(
            made(Create::Person, "uid=ann,dc=x"),
            is(format!("{person} uid=ann cn=ann sn=ann"))
        );
        assert_eq!(
            made(Create::Person, "cn=Ann+sn=Lee,dc=x"),
            is(format!("{person} cn=Ann sn=Lee"))
        );
        assert_eq!(made(Create::Device, "cn=web,dc=x"), is(format!("{device} cn=web")));
        assert_eq!(
            made(Create::Device, "cn=web+serialNumber=7,dc=x"),
            is(format!("{device} cn=web serialnumber=7"))
        );
    }

    #[test]
    fn what_cannot_name_it_is_refused() {
        for (create, dn) in [
            (Create::Person, "ou=x,dc=x"),
            (Create::Person, "cn=x+l=y,dc=x"),
            (Create::Person, "sn=x,dc=x"),
            (Create::Device, "uid=x,dc=x"),
            (Create::Device, "serialNumber=7,dc=x"),
            (Create::Device, "2.5.4.3=x,dc=x"),
        ] {
            let error = create.attributes(&dn.parse().unwrap()).unwrap_err();
            assert!(matches!(error, DirectoryError::Shape { .. }), "{dn}");
        }
    }
}
