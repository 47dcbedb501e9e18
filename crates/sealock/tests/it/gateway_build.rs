//! Builds through the gateway by somebody who is shown their own objects only: what they may build is built as at the
//! engine's socket, and nothing of others gets into it, by whatever it is named.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::thread;

use sealock_testkit::docker::{Image, docker, try_docker};
use sealock_testkit::wait::until;

use crate::gateway::{Client, home, skip};
use crate::gateway_docker::{Outcomes, Side};
use crate::gateway_escape::runner;
use crate::gateway_owner::{Made, Shop, unique};
use crate::support::{PATIENCE, text};

/// Builds. Their steps are not the same: through the gateway, the base is named by its id, and the owner is a label.
/// So what counts is what `told` lets through.
const BUILDS: &[&str] = &[
    "docker build -t $N:one --build-arg NAME=arg --label a=b --no-cache $D/context | told; docker run --rm $N:one cat /built /copied; docker image inspect -f '{{index .Config.Labels \"a\"}}' $N:one",
    "docker build --no-cache -q -t $N:two -t $N:three $D/context | cut -c 1-7; docker images --format '{{.Tag}}' $N | sort",
    "docker build --no-cache --iidfile $D/$N.iid --target first $D/context >$D/log; docker image inspect -f '{{.Id}}' $(cat $D/$N.iid) | cut -c 1-7",
    "tar -C $D/context -cf - . | docker build --no-cache -t $N:tar - | told | tail -n 2 | told",
    "tar -C $D/context -czf - . | docker build --no-cache -t $N:gz - | told | tail -n 2 | told",
    "docker build --no-cache --compress -t $N:compressed $D/context | tail -n 2 | told",
    "printf 'FROM %s\\n# a comment\\nRUN echo a \\\\\\n  # another\\n  b > /c && \\\\\\n  cat /c\\n' $IMAGE | docker build --no-cache -t $N:lines - | told",
    "printf 'ARG V=none\\nFROM ${V}\\nRUN echo in $V-\\n' | docker build --no-cache --build-arg V=$IMAGE -t $N:arg - | grep '^in'",
    "printf 'FROM %s\\nCOPY name /n\\nRUN cat /n\\n' $IMAGE | docker build --no-cache -f - -t $N:stdin $D/context | grep '^of'",
    "mkdir -p $D/$N/sub; cp $D/context/name $D/$N; ln -s name $D/$N/link; ln $D/$N/name $D/$N/hard; chmod 751 $D/$N/name; printf 'ignored\\nsub/Dockerfile\\n' > $D/$N/.dockerignore; echo no > $D/$N/ignored; printf 'FROM %s\\nCOPY . /all\\nRUN find /all | sort; ls -l /all/link /all/name | cut -c 1-10; cat /all/hard\\n' $IMAGE > $D/$N/sub/Dockerfile; docker build --no-cache -f $D/$N/sub/Dockerfile -t $N:tree $D/$N | told",
    "docker build --no-cache -t $N:base $D/context >$D/log; printf 'FROM %s\\nCOPY --from=%s /copied /x\\nRUN cat /x\\n' $N:base $N:base | docker build --no-cache -t $N:again - | grep '^of'",
    "docker build -t $N:cached $D/context >$D/log; docker build --cache-from $N:cached -t $N:cached2 $D/context | grep -q 'Using cache' && echo from the cache",
    "printf 'FROM %s\\nRUN exit 6\\n' $IMAGE | docker build --no-cache --force-rm -t $N:no - | told; docker images -q $N:no",
    "printf 'FROM %s\\nNONSENSE\\n' $IMAGE | docker build --no-cache -t $N:no - 2>&1 | grep -c 'unknown instruction: NONSENSE'",
    "printf 'FROM scratch AS a\\nCOPY name /x\\nFROM a\\nCOPY --from=0 /x /y\\n' > $D/$N.df; docker build --no-cache -f $D/$N.df -t $N:scratch $D/context | told",
    "mkdir -p $D/big; head -c 30000000 /dev/zero > $D/big/zeros; printf 'FROM %s\\nCOPY . /big\\nRUN wc -c /big/zeros\\n' $IMAGE > $D/big/Dockerfile; docker build --no-cache -t $N:big $D/big | told | grep zeros",
];

/// What the steps of a build print, and its end.
const TOLD: &str = "told() { grep -v -e '^Step' -e '^ --->' -e '^Removing'; }\n";

#[test]
fn what_a_runner_may_build_is_built_as_at_the_socket() {
    if skip() {
        return;
    }
    let home = home();
    let (daemon, runner) = runner(&home);
    let image = Image::busybox();
    let mut outcomes = Outcomes::new();
    let mut steps: Vec<usize> = (0..BUILDS.len()).collect();
    for _ in 0..Outcomes::ROUNDS {
        let sides = [Side::socket(&home), Side::gateway(&home, &runner)];
        for side in &sides {
            side.fill(image.name());
        }
        for step in steps {
            let script = BUILDS[step];
            let whole = format!("{TOLD}{script}");
            let said = sides.each_ref().map(|side| side.outcome(&whole, image.name(), None));
            assert_ne!(said[0].lines().nth(1), Some("--- stderr"), "{script}: {}", said[0]);
            outcomes.add(step, said);
        }
        steps = outcomes.different();
        if steps.is_empty() {
            break;
        }
    }
    outcomes.are_alike(|step| BUILDS[step].to_owned());
    assert_eq!(daemon.stop(), Some(0));
}

/// A context as it goes over the wire.
struct Context(tar::Builder<Vec<u8>>);

impl Context {
    fn new(dockerfile: &str) -> Self {
        Self(tar::Builder::new(Vec::new())).file("Dockerfile", dockerfile)
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.entry(tar::EntryType::Regular, path, "", content)
    }

    fn entry(mut self, kind: tar::EntryType, path: &str, target: &str, content: &str) -> Self {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content.as_bytes()).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// Sends a context. Gives the status and what the engine, or the gateway, says.
fn sent(client: Option<&Client>, query: &str, context: &[u8]) -> (String, String) {
    let target = format!("/v1.41/build?rm=1&forcerm=1&{query}");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--globoff", "--max-time", "120", "--write-out", "\n%{http_code}"]);
    match client {
        Some(client) => {
            let file = |name: &str| format!("{}/{name}", client.folder);
            curl.args(["--cacert", &file("ca.pem"), "--cert", &file("cert.pem")]);
            curl.args(["--key", &file("key.pem")]);
            curl.arg(format!("https://{}{target}", client.address));
        }
        None => {
            curl.args(["--unix-socket", "/var/run/docker.sock"]);
            curl.arg(format!("http://docker{target}"));
        }
    }
    curl.args(["--header", "Content-Type: application/x-tar", "--data-binary", "@-"]);
    let said = fed(&mut curl, context);
    let said = text(&said.stdout);
    let (said, status) = said.rsplit_once('\n').unwrap_or_default();
    if !query.contains("t=") {
        remove_built(said);
    }
    (status.to_owned(), said.to_owned())
}

/// An image without a name is nobody's to remove later.
fn remove_built(said: &str) {
    let ids = said.split("Successfully built ").skip(1).filter_map(|rest| rest.get(..12));
    for id in ids {
        let _ = try_docker(&["image", "rm", id]);
    }
}

fn fed(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = thread::spawn(move || {
        // Whoever refuses does not read on.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    output
}

/// A small server on the host's loopback; tells how often it was asked.
struct Host {
    address: String,
    asked: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Host {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
        let count = std::sync::Arc::clone(&asked);
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let mut head = [0; 1024];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nof host",
                );
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(std::sync::atomic::Ordering::SeqCst)
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one image of somebody else, and every way to name it")]
fn nothing_of_others_gets_into_a_build() {
    if skip() {
        return;
    }
    let shop = Shop::new();
    let image = Image::busybox();
    let base = image.name();
    let (theirs, secret) = (format!("{}:theirs", unique("c")), unique("secret"));
    let mut made = Made::by(&shop.ann);
    made.keep("image", &theirs);
    let context = Context::new(&format!("FROM {base}\nCOPY secret /secret\n"));
    let context = context.file("secret", &secret).bytes();
    let (status, said) = sent(Some(&shop.ann), &format!("t={theirs}"), &context);
    assert!(status == "200" && said.contains("Successfully tagged"), "{status} {said}");
    let id = docker(&["image", "inspect", "--format", "{{.Id}}", &theirs]).trim().to_owned();
    let short = id.trim_start_matches("sha256:")[..12].to_owned();

    // Of nobody's, with an instruction that takes ann's files when somebody builds on it.
    let trap = format!("{}:trap", unique("t"));
    made.keep("image", &trap);
    let context = Context::new(&format!("FROM {base}\nONBUILD COPY --from={theirs} /secret /s\n"));
    let (status, said) = sent(None, &format!("t={trap}"), &context.bytes());
    assert!(status == "200" && said.contains("Successfully tagged"), "{status} {said}");

    let copied = |from: &str| format!("COPY --from={from} /secret /s\nRUN cat /s\n");
    // What works at the socket shows the secret there; `false` where the engine itself does not take it.
    let files: Vec<(String, bool)> = vec![
        (format!("FROM {theirs}\nRUN cat /secret\n"), true),
        (format!("FROM docker.io/library/{theirs}\nRUN cat /secret\n"), true),
        (format!("FROM {id}\nRUN cat /secret\n"), true),
        (format!("FROM {short}\nRUN cat /secret\n"), true),
        (format!("FROM \\\n  {theirs}\nRUN cat /secret\n"), true),
        (format!("fRoM --platform=linux {theirs} aS x\nRUN cat /secret\n"), true),
        (format!("ARG A={theirs}\nFROM $A\nRUN cat /secret\n"), true),
        (format!("ARG A={theirs}\nARG B=${{A:-{base}}}\nFROM ${{B}}\nRUN cat /secret\n"), true),
        (format!("FROM {base}\n{}", copied(&theirs)), true),
        (format!("FROM {base}\n{}", copied(&id)), true),
        (format!("FROM {base}\n{}", copied(&short)), true),
        (format!("FROM {base}\nCOPY \\\n# x\n --from={theirs} /secret /s\nRUN cat /s\n"), true),
        (format!("FROM {base}\nCOPY\t--from={theirs}\t/secret /s\nRUN cat /s\n"), true),
        (format!("FROM {base}\nCOPY --chown=0 --from={theirs} /secret /s\nRUN cat /s\n"), true),
        (format!("FROM {base}\nCOPY --fr\"om\"={theirs} /secret /s\nRUN cat /s\n"), true),
        (format!("FROM {base}\nCOPY --from=\"{theirs}\" /secret /s\nRUN cat /s\n"), true),
        (format!("FROM {base} AS x\n{}FROM {base}\n", copied(&theirs)), true),
        (
            format!(
                "# escape=`\nFROM {base}\nRUN echo `\nCOPY --from={theirs} /secret /s\nRUN cat /s\n"
            ),
            false,
        ),
        (
            format!(
                "FROM {base}\nRUN cat <<EOF\nCOPY --from={theirs} /secret /s\nRUN cat /s\nEOF\n"
            ),
            false,
        ),
        (format!("FROM {base}\nRUN --mount=from={theirs},target=/m cat /m/secret\n"), false),
        (format!("FROM {trap}\nRUN cat /s\n"), true),
        (
            format!(
                "FROM {base} AS a\nONBUILD COPY --from={theirs} /secret /s\nFROM a\nRUN cat /s\n"
            ),
            true,
        ),
    ];
    for (file, works) in &files {
        let context = Context::new(file).bytes();
        let (status, said) = sent(Some(&shop.bob), "nocache=1", &context);
        assert!(["400", "404"].contains(&status.as_str()), "{file}: {status} {said}");
        assert!(!said.contains(&secret), "{file}: {said}");
        if *works {
            let (_, said) = sent(None, "nocache=1", &context);
            assert!(said.contains(&secret), "at the socket, {file}: {said}");
        }
    }
    // By a build argument.
    let context = Context::new(&format!("ARG A={base}\nFROM $A\nRUN cat /secret\n")).bytes();
    let query = format!("nocache=1&buildargs=%7B%22A%22%3A%22{theirs}%22%7D");
    let (status, said) = sent(Some(&shop.bob), &query, &context);
    assert!(status == "404" && !said.contains(&secret), "{status} {said}");
    assert!(sent(None, &query, &context).1.contains(&secret));

    // Archives in which the engine finds another Dockerfile than is seen first.
    let harmless = format!("FROM {base}\n");
    let evil = format!("FROM {theirs}\nRUN cat /secret\n");
    let context = || Context::new(&harmless);
    let archives = [
        (context().file("Dockerfile", &evil), true),
        (context().file("./Dockerfile", &evil), true),
        (context().file("/Dockerfile", &evil), true),
        (
            context().file("evil", &evil).entry(tar::EntryType::Symlink, "Dockerfile", "evil", ""),
            true,
        ),
        (context().file("evil", &evil).entry(tar::EntryType::Link, "Dockerfile", "evil", ""), true),
        (
            context().entry(tar::EntryType::Symlink, "way", ".", "").file("way/Dockerfile", &evil),
            true,
        ),
        (context().file("a/../Dockerfile", &evil), true),
        (
            context()
                .entry(tar::EntryType::Symlink, "way", ".", "")
                .entry(tar::EntryType::Link, "hard", "way", "")
                .file("hard/Dockerfile", &evil),
            false,
        ),
    ];
    for (number, (archive, works)) in archives.into_iter().enumerate() {
        let archive = archive.bytes();
        let (status, said) = sent(Some(&shop.bob), "nocache=1", &archive);
        assert!(status == "400" && !said.contains(&secret), "archive {number}: {status} {said}");
        if works {
            let (_, said) = sent(None, "nocache=1", &archive);
            assert!(said.contains(&secret), "archive {number} at the socket: {said}");
        }
    }

    // A form, whose fields the engine takes before those of the query, however its type is written.
    let form = "application/x-www-form-urlencoded; a=\u{ff}";
    let target = "/v1.41/build?nocache=1";
    let (status, said) = shop.bob.post(target, form, "&remote=http%3A%2F%2F127.0.0.1%2F&x=");
    assert_eq!(status, "415", "{said}");

    // What a step prints is not the engine's word for what was built.
    let named = format!("{}:1", unique("named"));
    let file = format!("FROM {base}\nRUN echo {id}; exit 1\n");
    for quiet in ["", "&q=1", "&q=True"] {
        let query = format!("nocache=1&t={named}{quiet}");
        let (_, said) = sent(Some(&shop.bob), &query, &Context::new(&file).bytes());
        assert!(said.contains("non-zero code"), "{said}");
        assert_eq!(docker(&["images", "--quiet", &named]), "", "{quiet}: {said}");
    }

    // What the engine fetches, it fetches as the host.
    let host = Host::start();
    for add in [
        "ADD http://WHERE/ /x",
        "ADD [\"http://WHERE/\", \"/x\"]",
        "ENV U=http://WHERE/\nADD $U /x",
    ] {
        let file = format!("FROM {base}\n{}\n", add.replace("WHERE", &host.address));
        let context = Context::new(&file).bytes();
        let (status, said) = sent(Some(&shop.bob), "nocache=1", &context);
        assert_eq!((status.as_str(), host.asked()), ("403", 0), "{file}: {said}");
    }
    let file = format!("FROM {base}\nADD http://{}/ /x\nRUN cat /x\n", host.address);
    let (_, said) = sent(None, "nocache=1", &Context::new(&file).bytes());
    assert!(said.contains("of host") && host.asked() > 0, "at the socket: {said}");
    assert_eq!(shop.daemon.stop(), Some(0));
}

#[test]
fn a_name_that_somebody_took_while_it_was_built_stays_theirs() {
    if skip() {
        return;
    }
    let shop = Shop::new();
    let image = Image::busybox();
    let wanted = format!("{}:1", unique("wanted"));
    let mut made = Made::by(&shop.ann);
    made.keep("image", &wanted);
    let started = unique("started");
    let file = format!("FROM {}\nRUN echo {started}; sleep 4\n", image.name());
    let mut build = shop.bob.command(&["build", "--no-cache", "--tag", &wanted, "-"]);
    build.env("DOCKER_BUILDKIT", "0");
    let building = thread::spawn(move || fed(&mut build, file.as_bytes()));
    until("the step to run", PATIENCE, || {
        let listed = docker(&["ps", "--no-trunc", "--format", "{{.Command}}"]);
        listed.contains(&started).then_some(())
    });
    // Nothing of the gateway's is on what the builder makes, so nothing is taken for anybody's.
    let labels = docker(&["ps", "--no-trunc", "--format", "{{.Command}} {{.Labels}}"]);
    let step = labels.lines().find(|line| line.contains(&started)).unwrap();
    assert!(!step.contains("sealock.owner="), "{step}");
    let context = Context::new(&format!("FROM {}\nENV OF=ann\n", image.name())).bytes();
    let (_, said) = sent(Some(&shop.ann), &format!("t={wanted}"), &context);
    assert!(said.contains("Successfully tagged"), "{said}");
    let of_ann = docker(&["image", "inspect", "--format", "{{.Id}}", &wanted]);
    let built = building.join().unwrap();
    let said = text(&built.stderr);
    assert!(
        !built.status.success() && said.contains("belongs to an image that is not yours"),
        "{said}"
    );
    assert_eq!(docker(&["image", "inspect", "--format", "{{.Id}}", &wanted]), of_ann);
    assert_eq!(shop.daemon.stop(), Some(0));
}

#[test]
fn steps_have_policys_limits_and_the_image_its_owner() {
    if skip() {
        return;
    }
    let home = home();
    let limits = r#"@defaults("memory=64m, cpus=0.5")
permit (
  principal in Sealock::Group::"docker-ci",
  action == Sealock::Action::"Docker::ContainerCreate",
  resource
)
when { context.risks.isEmpty() && context.unknownFields.isEmpty() };"#;
    fs::create_dir_all(home.state().join("policy")).unwrap();
    fs::write(home.state().join("policy/limits.cedar"), limits).unwrap();
    let (daemon, runner) = runner(&home);
    let image = Image::busybox();
    let tag = format!("{}:limited", unique("l"));
    let mut made = Made::by(&runner);
    made.keep("image", &tag);
    let file = format!(
        "FROM {}\nRUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; \
         cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null; true\n",
        image.name()
    );
    for asked in ["", "&memory=1073741824&memswap=-1&cpuquota=200000&cpuperiod=100000"] {
        let query = format!("nocache=1&t={tag}{asked}");
        let (status, said) = sent(Some(&runner), &query, &Context::new(&file).bytes());
        assert!(status == "200" && said.contains("67108864") && said.contains("50000"), "{said}");
    }
    let labels = docker(&["image", "inspect", "--format", "{{json .Config.Labels}}", &tag]);
    assert!(labels.contains(r#""sealock.image-owner":"spiffe://"#), "{labels}");
    // What breaks off is never built.
    let mut cut = Context::new(&file).file("more", &"x".repeat(100_000)).bytes();
    cut.truncate(50_000);
    let (status, said) = sent(Some(&runner), "nocache=1", &cut);
    assert!(status == "400" && said.contains("broke off"), "{status} {said}");
    assert_eq!(daemon.stop(), Some(0));
}
