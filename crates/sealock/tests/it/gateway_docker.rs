//! Docker's own client at the engine's socket and through the gateway: what works there works here, ends with
//! the same code and prints the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Output, Stdio};

use sealock_testkit::docker::{Container, Image, try_docker};
use sealock_testkit::unique_name;

use crate::gateway::{Client, home, skip};
use crate::support::{Home, text};

/// One try each. `$N` is a name of this side's own and the start of all that it makes, `$C` a container that
/// runs, `$IMAGE` its image, `$D` a folder with the files `file`, `context/Dockerfile` and `context/name`.
const HOW_IT_RUNS: &[&str] = &[
    // How a run ends.
    "docker run --rm $IMAGE sh -c 'echo out; echo err >&2; exit 3'",
    "docker run --rm $IMAGE no-such-program",
    "docker run --rm $IMAGE /etc",
    "docker run --rm localhost:1/no-such-image",
    "docker run --rm --name $C $IMAGE true",
    "printf 'in\\nput' | docker run --rm -i $IMAGE cat",
    "docker run --rm $IMAGE sh -c 'kill -9 $$'",
    "docker run --name $N-again -i $IMAGE cat < $D/file; docker start -a -i $N-again < $D/file",
    "docker run -d --name $N-five $IMAGE sh -c 'exit 5'; docker wait $N-five; docker start -a $N-five",
    "docker run -d --name $N-slow $IMAGE sleep 1; docker wait $N-slow",
    "docker run --rm -t $IMAGE sh -c 'tty; stty size'",
    // What a create may ask for: the engine's own account of it.
    "docker create --name $N-a $IMAGE; inspect $N-a",
    "docker create --name $N-b --privileged --pid host --ipc host --uts host --network host $IMAGE; inspect $N-b",
    "docker create --name $N-c -v $D:/d:ro --mount type=volume,src=$N-vol,dst=/v --mount type=tmpfs,dst=/t,tmpfs-size=1m --mount type=bind,src=$D,dst=/m,bind-propagation=rslave --tmpfs /r:size=1m $IMAGE; inspect $N-c",
    "docker create --name $N-d --cap-add SYS_PTRACE --cap-drop NET_RAW --security-opt seccomp=unconfined --security-opt no-new-privileges --device /dev/null:/dev/x:r --device-cgroup-rule 'c 1:3 r' --sysctl net.ipv4.ip_forward=1 --ulimit nofile=64:64 --group-add 5 $IMAGE; inspect $N-d",
    "docker create --name $N-e -m 64m --memory-swap 128m --memory-reservation 32m --cpus 1.5 -c 512 --cpuset-cpus 0 --pids-limit 50 --blkio-weight 300 --oom-score-adj 100 --shm-size 1m $IMAGE; inspect $N-e",
    "docker create --name $N-f -p 127.0.0.1::80 -p 127.0.0.1:18081-18082:81-82/udp --expose 90-91 -P --dns 192.0.2.1 --dns-search x --dns-option ndots:1 --add-host a:192.0.2.2 -h host --domainname dom --mac-address 02:42:ac:11:00:99 --network-alias b --network bridge $IMAGE; inspect $N-f",
    "docker create --name $N-g --restart on-failure:3 --stop-signal INT --stop-timeout 3 --init --read-only --log-driver local --log-opt max-size=1m --health-cmd true --health-interval 5s --health-start-period 1s --env-file $D/env -e A=b -l x=y -u 1000:5 -w /tmp --entrypoint /bin/ls $IMAGE -l; inspect $N-g",
    "docker create --name $N-h --runtime runc --cgroup-parent /x --cgroupns host --userns host --isolation default --volumes-from $C:ro --link $C:other $IMAGE; inspect $N-h",
    "docker create --name $N-i --network none --no-healthcheck --storage-opt size=1G $IMAGE; docker create --gpus all --name $N-j $IMAGE; inspect $N-j",
    "docker create --name $N-k --annotation a=b --platform linux/amd64 --pull never -it --detach-keys ctrl-x $IMAGE; inspect $N-k",
];

const WHILE_IT_RUNS: &[&str] = &[
    // Its life.
    "docker run -d --name $N-life $IMAGE; docker rename $N-life $N-renamed; docker inspect -f '{{.Name}}' $N-renamed; docker pause $N-renamed; docker inspect -f '{{.State.Status}}' $N-renamed; docker unpause $N-renamed; docker restart -t 0 $N-renamed; docker kill -s USR1 $N-renamed; docker stop -t 0 $N-renamed; docker start $N-renamed; docker rm $N-renamed; docker rm -f -v $N-renamed",
    "docker update -m 64m --memory-swap 64m --cpus 1 --pids-limit 99 --restart always $C; docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy}}' $C",
    "docker top $C | wc -l; docker top $C -o pid,comm",
    "docker exec $C sh -c 'echo a > /added; rm /etc/group; echo b >> /etc/passwd'; docker diff $C | sort",
    "docker stats --no-stream --format '{{.Name}}' $C; docker stats --no-stream --format json $C | grep -c MemUsage",
    "docker run -d --name $N-port -p 127.0.0.1::80 $IMAGE; docker port $N-port; docker port $N-port 81",
    "docker run -d --name $N-health --health-cmd 'exit 0' --health-interval 1s $IMAGE; for i in 1 2 3 4 5 6 7 8; do sleep 0.5; done; docker inspect -f '{{.State.Health.Status}}' $N-health",
    // Commands in it.
    "docker exec $C sh -c 'echo out; echo err >&2; exit 7'",
    "docker exec -e A=b -u 1000 -w /tmp $C sh -c 'id -u; pwd; echo $A'",
    "docker exec --privileged $C grep CapEff /proc/self/status",
    "docker exec -d $C touch /tmp/detached; docker exec $C sh -c 'sleep 0.5; ls /tmp/detached'",
    "docker exec $C no-such-program",
    "head -c 1000000 /dev/zero | docker exec -i $C sh -c 'wc -c; echo done'",
    "docker exec -i $C sh -c 'head -c 5; echo; echo rest' < /dev/zero",
    "docker exec $C sh -c 'head -c 3000000 /dev/zero' | wc -c",
    "docker exec no-such-container true",
    // What it says.
    "docker run --name $N-log $IMAGE sh -c 'for i in 1 2 3; do echo $i; sleep 0.1; echo e$i >&2; sleep 0.1; done'; docker logs $N-log; docker logs --tail 1 $N-log; docker logs -f --since 1h --until 1h $N-log; docker logs -t $N-log | wc -l; docker logs --details $N-log",
    "docker run -d --name $N-follow $IMAGE sh -c 'for i in 1 2 3; do sleep 0.3; echo $i; done'; docker logs -f $N-follow",
    "docker run -d -i --name $N-attach $IMAGE sh -c 'sleep 1; echo seen; exit 4'; docker attach --no-stdin $N-attach",
    "docker run -d -i --name $N-stdin $IMAGE sh -c 'read line; echo got $line; sleep 1'; { echo typed; sleep 3; } | docker attach $N-stdin",
    "docker run -d --name $N-event $IMAGE true; docker wait $N-event; sleep 1; docker events --since 1h --until 0s --filter container=$N-event --format '{{.Type}} {{.Action}}'",
    "sleep 1; docker events --since 1h --until 0s --filter container=$C --filter event=start --format '{{json .Actor.Attributes.image}}'",
];

const FILES_AND_IMAGES: &[&str] = &[
    // Files.
    "docker cp $C:/etc/passwd - | tar -xOf -",
    "docker cp $C:/etc - | tar -tf - | sort",
    "tar -C $D -cf - file context | docker cp - $C:/tmp; docker exec $C cat /tmp/file /tmp/context/name",
    "docker cp $D/context $C:/srv; docker cp -a $D/file $C:/srv2; docker exec $C cat /srv/name /srv2; docker cp -L $C:/srv $D/$N-back; cat $D/$N-back/name",
    "docker cp $C:/no-such-file -; docker cp $D/no-such-file $C:/tmp; docker cp $D/file $C:/no/such/folder",
    "docker export $C | tar -tf - | grep passwd; docker export -o $D/$N.tar $C; tar -tf $D/$N.tar | grep -c bin/",
    // Images.
    "docker export $C | docker import -c 'ENV A=b' -m imported - $N:imported; docker run --rm $N:imported sh -c 'echo $A'; docker history --format '{{.Comment}}' $N:imported",
    "docker import $D/no-such-file $N:nothing",
    "docker commit -m message -a me -c 'ENV B=c' -c 'CMD [\"env\"]' $C $N:committed; docker run --rm $N:committed | grep B=; docker image inspect -f '{{.Comment}} {{.Author}}' $N:committed; docker commit -p=false $C $N:unpaused",
    "docker tag $IMAGE $N:one; docker save $N:one | docker load; docker save -o $D/$N-images.tar $N:one $IMAGE; docker load -q -i $D/$N-images.tar; docker image rm $N:one; docker image rm $N:one",
    "echo nothing | docker load",
    "docker images --format '{{.Tag}}' $IMAGE; docker images --no-trunc --digests -f dangling=false --format '{{.Digest}}' $IMAGE; docker image inspect -f '{{json .Config.Cmd}}' $IMAGE; docker history -q --no-trunc $IMAGE | wc -l",
    "docker pull localhost:1/nothing; docker push localhost:1/nothing; docker tag $IMAGE localhost:1/$N; docker push localhost:1/$N; docker image rm localhost:1/$N; docker manifest inspect --insecure localhost:1/nothing",
    // Builds, classic.
    "docker build -t $N:built --build-arg NAME=arg --label a=b --no-cache --rm --network none --shm-size 1m -m 512m --target last --iidfile $D/$N.iid $D/context; docker run --rm $N:built cat /built; docker image inspect -f '{{json .Config.Labels}}' $N:built | grep -o '\"a\":\"b\"'",
    "printf 'FROM %s\\nRUN exit 6\\n' $IMAGE | docker build --force-rm -",
    "printf 'FROM %s\\nNONSENSE\\n' $IMAGE | docker build -t $N:no -",
    "docker build -f $D/context/Dockerfile --add-host a:192.0.2.1 --ulimit nofile=64:64 --build-arg NAME -t $N:two -q $D/context | cut -c 1-7; docker build --cache-from $N:two -t $N:three $D/context | grep -c 'Using cache'",
    "tar -C $D/context -cf - . | docker build -t $N:tar -f Dockerfile - | tail -n 1",
];

const EVERYTHING_ELSE: &[&str] = &[
    // Networks and volumes.
    "docker network create --driver bridge --internal --label a=b --opt com.docker.network.driver.mtu=1400 $N-net; docker network inspect -f '{{.Driver}} {{.Internal}} {{.Options}} {{.Labels}}' $N-net; docker network connect --alias x --ip 192.0.2.9 $N-net $C; docker network connect --alias x $N-net $C; docker network disconnect $N-net $C; docker network ls --filter name=$N-net --format '{{.Name}} {{.Scope}}'; docker network rm $N-net; docker network rm $N-net",
    "docker network create --subnet 198.51.100.0/28 --gateway 198.51.100.1 --ip-range 198.51.100.8/29 --ipam-driver default $N-fixed; docker run --rm --network $N-fixed --ip 198.51.100.9 $IMAGE hostname -i; docker network rm $N-fixed",
    "docker volume create --label a=b $N-one; docker volume create -d local -o type=tmpfs -o device=tmpfs -o o=size=1m $N-two; docker volume create -d no-such-driver $N-three; docker volume inspect -f '{{.Driver}} {{.Labels}} {{.Options}}' $N-one $N-two; docker run --rm -v $N-one:/v $IMAGE sh -c 'echo kept > /v/f'; docker run --rm -v $N-one:/v $IMAGE cat /v/f; docker volume ls -q --filter name=$N-one; docker volume rm $N-one $N-two $N-one",
    // Prunes, of this side's own only.
    "docker create --name $N-pruned -l prune=$N $IMAGE; docker volume create -l prune=$N $N-pruned; docker network create -l prune=$N $N-pruned; docker container prune -f --filter label=prune=$N; docker network prune -f --filter label=prune=$N; docker volume prune -f -a --filter label=prune=$N; docker image prune -f --filter label=prune=$N",
    // The engine.
    "docker version --format '{{.Server.Version}} {{.Server.APIVersion}} {{.Client.APIVersion}}'; docker info --format '{{.ID}} {{.Driver}} {{.CgroupDriver}} {{.SecurityOptions}}'",
    "docker system df --format '{{.Type}}'; docker system df -v | grep -c SIZE",
    "docker ps -a --no-trunc --size --filter name=$C --format '{{.Image}} {{.Command}} {{.State}}'; docker ps -q -n 1 | wc -l; docker ps --filter no-such-filter=x",
    "docker node ls; docker service ls; docker secret ls; docker config ls; docker stack ls; docker swarm leave",
    "docker plugin ls; docker plugin inspect no-such-plugin:latest; docker plugin rm no-such-plugin:latest",
    "docker checkpoint ls $C; docker checkpoint create $C one",
    "echo password | docker login --username u --password-stdin localhost:1; docker logout localhost:1; docker search --limit 3 localhost:1/x",
    "docker inspect no-such-thing; docker rm no-such-thing; docker start no-such-thing; docker logs no-such-thing; docker image rm no-such-thing; docker volume rm no-such-thing; docker network rm no-such-thing; docker wait no-such-thing; docker inspect $N:bad:name; docker rm ''; docker inspect $N:latest",
    "docker inspect -f '{{.Name}}' $C; docker tag $IMAGE $N:Up; docker inspect -f '{{.Os}}' $N:Up $(docker inspect -f '{{.Id}}' $IMAGE); docker network create $N-UPPER; docker inspect -f '{{.Name}}' $N-UPPER; docker network rm $N-UPPER; docker volume create $N.Vol; docker inspect -f '{{.Name}}' $N.Vol; docker inspect $N/a/b NoSuch; docker inspect --type image NoSuch 2>&1 | grep -c 'invalid reference format'; docker rmi NoSuch 2>&1 | grep -c 'invalid reference format'",
];

/// What the engine makes of a create, in its own words.
const INSPECT: &str =
    "inspect() { docker inspect -f '{{json .HostConfig}}{{json .Config}}' $1; }\n";

/// One of the two ways to the engine, and what is made by it.
pub(crate) struct Side {
    pub(crate) name: String,
    environment: BTreeMap<String, String>,
}

impl Side {
    /// The engine's own socket.
    pub(crate) fn socket(home: &Home) -> Self {
        Self::new(home, "socket", BTreeMap::new())
    }

    pub(crate) fn gateway(home: &Home, client: &Client) -> Self {
        Self::new(home, "gateway", client.environment())
    }

    fn new(home: &Home, folder: &str, mut environment: BTreeMap<String, String>) -> Self {
        let own = home.path(folder);
        fs::create_dir_all(own.join("home")).unwrap();
        environment.insert("HOME".to_owned(), own.join("home").display().to_string());
        environment.insert("DOCKER_BUILDKIT".to_owned(), "0".to_owned());
        environment.insert("D".to_owned(), own.display().to_string());
        // The end keeps it from being the start of another's name.
        Self { name: format!("{}-side", unique_name()), environment }
    }

    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.environment.insert(variable.to_owned(), value.to_owned());
        self
    }

    /// A file in the side's folder.
    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(std::path::Path::new(&self.environment["D"]).join(name), content).unwrap();
    }

    /// The files that the scripts speak of.
    pub(crate) fn fill(&self, image: &str) {
        let folder = std::path::Path::new(&self.environment["D"]);
        fs::create_dir_all(folder.join("context")).unwrap();
        fs::write(folder.join("file"), "of the client\n").unwrap();
        fs::write(folder.join("env"), "FROM_FILE=1\n").unwrap();
        fs::write(folder.join("context/name"), "of the context\n").unwrap();
        let dockerfile = format!(
            "FROM {image} AS first\nARG NAME\nRUN echo $NAME > /built\nFROM first AS last\nCOPY name /copied\nENV X=1\n"
        );
        fs::write(folder.join("context/Dockerfile"), dockerfile).unwrap();
    }

    pub(crate) fn script(&self, script: &str, image: &str, container: &str) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{INSPECT}{script}")]).env_clear().envs(&self.environment);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("N", &self.name).env("IMAGE", image).env("C", container);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Code, output and error output, without what differs from run to run.
    pub(crate) fn outcome(
        &self,
        script: &str,
        image: &str,
        container: Option<&Container>,
    ) -> String {
        let name = container.map(|container| container.inspect("{{.Name}}"));
        let name = name.as_deref().map_or("none", |name| name.trim_start_matches('/'));
        let output = self.script(script, image, name);
        let all = format!(
            "code {:?}\n{}--- stderr\n{}",
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr)
        );
        // The gateway names containers by their id and images by their long form.
        let all = match container {
            Some(container) => all.replace(container.id(), name).replace(name, "CONTAINER"),
            None => all,
        };
        let all = all.replace("docker.io/library/", "").replace(&self.environment["D"], "FOLDER");
        normal(&all.replace(&self.name, "NAME"))
    }
}

/// Everything of the side's name goes, whatever happened.
impl Drop for Side {
    fn drop(&mut self) {
        let filter = format!("name={}", self.name);
        let images = format!("{}:*", self.name);
        let kinds: [(&[&str], &[&str]); 4] = [
            (&["ps", "-aq", "--filter", &filter], &["rm", "--force", "--volumes"]),
            // By name: of what both sides have, the engine removes no id.
            (
                &["images", "--format", "{{.Repository}}:{{.Tag}}", &images],
                &["image", "rm", "--force"],
            ),
            (&["volume", "ls", "-q", "--filter", &filter], &["volume", "rm", "--force"]),
            (&["network", "ls", "-q", "--filter", &filter], &["network", "rm"]),
        ];
        for (list, remove) in kinds {
            let found = text(&try_docker(list).stdout);
            let found: Vec<&str> = found.split_whitespace().collect();
            if !found.is_empty() {
                let _ = try_docker(&[remove, &found[..]].concat());
            }
        }
    }
}

/// Ids, times and measured numbers as signs.
fn normal(output: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        let hex = word.len() >= 7 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        // Also the parts of a time, such as `25T17` and `912366842Z`.
        let number = word.len() >= 2 && word.bytes().take(2).all(|byte| byte.is_ascii_digit());
        out.push_str(if hex || number { "#" } else { word });
        word.clear();
    };
    for character in output.chars() {
        if character.is_ascii_alphanumeric() {
            word.push(character);
        } else {
            flush(&mut word, &mut out);
            out.push(character);
        }
    }
    flush(&mut word, &mut out);
    out
}

/// What came of each step on the two sides. Clients race with themselves: they read the two streams of a command
/// in either order, and show a state a moment early. So a step may have several right outcomes, at the socket
/// too, and is different only where none of several rounds gave one that the other side had as well.
pub(crate) struct Outcomes(BTreeMap<usize, [BTreeSet<String>; 2]>);

impl Outcomes {
    pub(crate) const ROUNDS: usize = 3;

    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Of the socket, and of the gateway.
    pub(crate) fn add(&mut self, step: usize, [socket, gateway]: [String; 2]) {
        let [at_socket, at_gateway] = self.0.entry(step).or_default();
        at_socket.insert(socket);
        at_gateway.insert(gateway);
    }

    /// The steps without an outcome of both.
    pub(crate) fn different(&self) -> Vec<usize> {
        let differs = |(step, [socket, gateway]): (&usize, &[BTreeSet<String>; 2])| {
            socket.is_disjoint(gateway).then_some(*step)
        };
        self.0.iter().filter_map(differs).collect()
    }

    /// Fails where a step is different, and shows what it gave.
    pub(crate) fn are_alike(&self, name: impl Fn(usize) -> String) {
        let show = |step: usize| {
            let [socket, gateway] = self.0[&step]
                .each_ref()
                .map(|said| said.iter().map(String::as_str).collect::<Vec<_>>().join("\n--- or\n"));
            format!("{}\n=== socket\n{socket}\n=== gateway\n{gateway}", name(step))
        };
        let different: Vec<String> = self.different().into_iter().map(show).collect();
        assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n\n"));
    }
}

/// Runs each on both sides, and compares.
fn are_the_same_on_both_sides(scripts: &[&str]) {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let admin = Client::admin(&home);
    let image = Image::busybox();
    let mut outcomes = Outcomes::new();
    let mut steps: Vec<usize> = (0..scripts.len()).collect();
    let mut done = 0;
    for _ in 0..Outcomes::ROUNDS {
        let sides = [Side::socket(&home), Side::gateway(&home, &admin)];
        for side in &sides {
            side.fill(image.name());
        }
        for step in steps {
            let script = scripts[step];
            let said = sides.each_ref().map(|side| {
                let container =
                    script.contains("$C").then(|| image.start(&["--stop-timeout", "0"]));
                side.outcome(script, image.name(), container.as_ref())
            });
            done += usize::from(said[0].lines().nth(1) != Some("--- stderr"));
            outcomes.add(step, said);
        }
        steps = outcomes.different();
        if steps.is_empty() {
            break;
        }
    }
    outcomes.are_alike(|step| scripts[step].to_owned());
    // What only fails on both sides would prove little.
    assert!(done * 2 > scripts.len(), "{done} of {} bring anything", scripts.len());
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn containers_are_made_and_run_as_at_the_socket() {
    are_the_same_on_both_sides(HOW_IT_RUNS);
}

#[test]
fn running_containers_are_as_at_the_socket() {
    are_the_same_on_both_sides(WHILE_IT_RUNS);
}

#[test]
fn files_images_and_builds_are_as_at_the_socket() {
    are_the_same_on_both_sides(FILES_AND_IMAGES);
}

#[test]
fn networks_volumes_and_the_engine_are_as_at_the_socket() {
    are_the_same_on_both_sides(EVERYTHING_ELSE);
}
