//! The rules by which the kernel brings an app's connections here, as text for `nft -f`.
//!
//! A table of its own, replaced as one transaction: there are the old rules or the new ones, never a part, and setting
//! them again changes nothing. They concern what programs of this network namespace send; nothing that is forwarded.
//!
//! Our own connections must not come back to us. The kernel tells them by the user that we run as, for which nobody needs
//! a privilege but no app may run as that user; or by a mark on our sockets, for which we need `CAP_NET_ADMIN`.

use std::fmt;

/// The table's name.
const TABLE: &str = "sealock_forwarder";

/// How our own connections are told from those of apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exempt {
    /// By the user that we run as.
    Uid(u32),
    /// By a mark on our sockets; not 0, which all have.
    Mark(u32),
}

/// Which connections are brought here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Our port on the loopback.
    pub to: u16,
    /// The ports whose connections are taken.
    pub ports: Vec<u16>,
    /// Whose are not.
    pub exempt: Exempt,
}

impl Rules {
    /// What takes them away again, whether they are there or not.
    pub fn removal() -> String {
        // The first line makes the second one good where there is no such table.
        format!("table inet {TABLE}\ndelete table inet {TABLE}\n")
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exempt = match self.exempt {
            Exempt::Uid(uid) => format!("meta skuid {uid}"),
            Exempt::Mark(mark) => format!("meta mark {mark:#x}"),
        };
        let mut ports = self.ports.clone();
        ports.sort_unstable();
        ports.dedup();
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let (remove, ports, to) = (Self::removal(), ports.join(", "), self.to);
        write!(
            formatter,
            "{remove}table inet {TABLE} {{\n\
             \tchain output {{\n\
             \t\ttype nat hook output priority -100; policy accept;\n\
             \t\t{exempt} accept comment \"the Forwarder's own\"\n\
             \t\toif lo accept comment \"this host's own addresses\"\n\
             \t\ttcp dport {{ {ports} }} redirect to :{to}\n\
             \t}}\n\
             }}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_replace_what_was_there_in_one_transaction() {
        let rules = Rules { to: 15001, ports: vec![8080, 80, 80], exempt: Exempt::Uid(65532) };
        let expected = "\
table inet sealock_forwarder
delete table inet sealock_forwarder
table inet sealock_forwarder {
\tchain output {
\t\ttype nat hook output priority -100; policy accept;
\t\tmeta skuid 65532 accept comment \"the Forwarder's own\"
\t\toif lo accept comment \"this host's own addresses\"
\t\ttcp dport { 80, 8080 } redirect to :15001
\t}
}
";
        assert_eq!(rules.to_string(), expected);
        let marked = Rules { exempt: Exempt::Mark(0x5ea1), ..rules };
        assert!(marked.to_string().contains("\t\tmeta mark 0x5ea1 accept"));
        assert!(expected.starts_with(&Rules::removal()));
    }
}
