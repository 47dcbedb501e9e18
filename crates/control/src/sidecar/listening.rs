//! Where something listens in the network of a process: what the kernel says, so that nothing has to be called.

use std::collections::BTreeSet;

/// The TCP ports at which something listens there. `None` when the process is gone, or not of this kernel.
pub(super) fn ports(process: u32) -> Option<BTreeSet<u16>> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{process}/net/{file}"));
    let four = read("tcp").ok()?;
    // A kernel without IPv6 has no such file.
    let six = read("tcp6").unwrap_or_default();
    Some(four.lines().chain(six.lines()).filter_map(listener).collect())
}

/// The port of a line, when it is a listener's (state 0A).
fn listener(line: &str) -> Option<u16> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
    let (_, port) = local.rsplit_once(':')?;
    if state == "0A" { u16::from_str_radix(port, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_seen_and_a_connection_is_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let seen = ports(std::process::id()).unwrap();
        assert!(seen.contains(&port) && !seen.contains(&client.local_addr().unwrap().port()));
        let six = std::net::TcpListener::bind("[::1]:0").ok();
        if let Some(six) = six {
            let port = six.local_addr().unwrap().port();
            assert!(ports(std::process::id()).unwrap().contains(&port));
        }
        assert_eq!(ports(u32::MAX), None);
    }
}
