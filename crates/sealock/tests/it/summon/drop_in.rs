//! A script that was written for Summon, before and after the link was changed.

use std::path::Path;

use super::stage::{Stage, outcome};

/// As they lie about in repositories: messages are matched, codes are looked at, tools are fed.
const SCRIPT: &str = r#"#!/bin/bash
set -uo pipefail
cd app
deploy() { summon -p stream -e "$1" -D region="$2" --up -- bash -c 'echo "$NAME in $REGION: $DB_PASSWORD, $(cat "$CERT")"'; }
deploy staging eu || exit 1
deploy production us || exit 1

out=$(summon -p legacy -e nowhere --up true) && exit 1
case $out in *"No such environment 'nowhere' found in secrets file"*) echo "no such environment";; esac

out=$(summon -p legacy --yaml 'KEY: !var none/key' true)
[ $? -eq 127 ] && [[ $out =~ "Error fetching secret: exit status 3: "(.*) ]] && echo "missing: ${BASH_REMATCH[1]}"

summon -p legacy --yaml 'KEY: !var none/key' -i KEY sh -c 'exit 42'
echo "code $?"

summon -p stream -e production -D region=us --up cat @SUMMONENVFILE | grep -v ^CERT= > env.list
while IFS='=' read -r name value; do echo "$name -> $value"; done < env.list

summon -p stream -f files.yml bash -c '
  set -e
  . ./out/app.env; echo "$TOKEN"
  python3 -c "import json; print(json.load(open(\"out/app.json\"))[\"token\"])"
  cat out/app.conf; stat -c "%a %n" out/app.json out'
ls out
export SUMMON_PROVIDER_PATH=
summon true | head -n 1
exit 0
"#;

const FILES: &str = r#"summon.files:
  - path: ./out/app.env
    format: bash
    secrets: {TOKEN: !var app/token}
  - path: ./out/app.json
    format: json
    permissions: 0640
    secrets: {token: !var app/token, url: https://app.example}
  - path: ./out/app.conf
    template: |
      token={{ secret "token" | b64enc }}
    secrets: {token: !var app/token}
"#;

const YAML: &str = "common:\n  NAME: shop\n  REGION: $region\n  CERT: !var:file tls/$region\n\
                    staging:\n  DB_PASSWORD: !var staging/db\n\
                    production:\n  DB_PASSWORD: !var production/db\n  NAME: \"the shop\"\n";

const TRANSCRIPT: &str = "shop in eu: value of staging/db, value of tls/eu
the shop in us: value of production/db, value of tls/us
no such environment
missing: no such secret none/key
code 42
DB_PASSWORD -> \"value of production/db\"
NAME -> \"the shop\"
REGION -> us
SUMMON_ENV -> production
value of app/token
value of app/token
token=dmFsdWUgb2YgYXBwL3Rva2Vu
640 out/app.json
700 out
No provider directory found. Please set the environment variable SUMMON_PROVIDER_PATH to the directory containing providers.
";

#[test]
fn a_script_that_used_summon_works_when_the_link_is_changed() {
    if sealock_testkit::clients::skip_without(&["bash", "python3"])
        || Path::new("/usr/local/lib/summon").exists()
    {
        return;
    }
    let stage = Stage::new();
    stage.write("secrets.yml", YAML);
    stage.write("app/files.yml", FILES);
    let script = stage.program("deploy", SCRIPT);
    let mut command = stage.command(Path::new(&script));
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", stage.path("bin").display()));
    let said = outcome(command);
    assert_eq!(said.out, TRANSCRIPT, "{}", said.err);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
}
