//! The system that runs, as users have it: no root is named, and no chroot. In a mount namespace of its own, where what is
//! changed is a copy.

use super::*;

const FOLDERS: [&str; 3] = ["/etc/ssl", "/etc/ca-certificates", "/usr/local/share/ca-certificates"];

/// Says of each step whether curl and openssl trust the server, who are told of no root.
const SCRIPT: &str = r#"
set -eu
base=$1 program=$2 url=$3 resolve=$4 leaf=$5
shift 5
for folder in "$@"; do
  mkdir -p "$base/copy$folder"
  cp -a "$folder/." "$base/copy$folder/"
  mount --bind "$base/copy$folder" "$folder"
done
asked() {
  if curl -sS --max-time 20 --noproxy '*' --resolve "$resolve" -o /dev/null "$url" 2>"$base/curl"; then echo "$1: curl trusts"; else echo "$1: curl does not"; fi
  if openssl verify -untrusted "$leaf" "$leaf" >/dev/null 2>&1; then echo "$1: openssl trusts"; else echo "$1: openssl does not"; fi
}
asked before
"$program" --state "$base/state" trust install --store debian
asked installed
"$program" --state "$base/state" trust install --store debian
"$program" --state "$base/state" trust uninstall --store debian
asked uninstalled
"#;

fn seen() -> String {
    let mut arguments = FOLDERS.to_vec();
    arguments.extend(["-printf", "%p %i %s %T@ %l\n"]);
    tool("find", &arguments)
}

#[test]
fn the_running_system_trusts_what_is_handed_out_until_it_is_taken_out() {
    let needed = ["openssl", "curl", "update-ca-certificates", "unshare", "mount", "find"];
    if skip_without_root() || skip_without(&needed) {
        return;
    }
    let home = Home::initialised();
    home.ok(&["cert", "issue", "shop", "--dns", "shop.test"]);
    let server = Server::of(&home.path("shop"));
    let before = seen();
    let (url, resolve) =
        (format!("https://shop.test:{}/", server.1), format!("shop.test:{}:127.0.0.1", server.1));
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", home.path("")).args(["--mount", "sh", "-c", SCRIPT, "sh"]);
    command.arg(home.path("")).args([env!("CARGO_BIN_EXE_sealock"), &url, &resolve]);
    let output = command.arg(home.path("shop/tls.crt")).args(FOLDERS).output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for step in ["before: {} does not", "installed: {} trusts", "uninstalled: {} does not"] {
        for program in ["curl", "openssl"] {
            let wanted = step.replace("{}", program);
            assert!(said.contains(&wanted), "{wanted}: {said}{}", text(&output.stderr));
        }
    }
    assert!(said.contains("1 added, 0 removed; update-ca-certificates has run"), "{said}");
    assert!(said.contains("unchanged") && said.contains("0 added, 1 removed"), "{said}");
    assert_eq!(seen(), before, "this machine's own stores are as they were");
}
