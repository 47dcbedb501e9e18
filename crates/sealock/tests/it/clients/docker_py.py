"""docker-py against an engine: each step prints what came of it, without what differs from run to run.

Arguments: the image to use, a name that is the start of all that is made here, and `admin` or `runner`: whether
to do also what the runners' preset does not permit.
"""

import io
import socket
import struct
import sys
import tarfile
import threading
import time

import docker
from docker.errors import APIError, BuildError, ContainerError, ImageNotFound, NotFound
from docker.types import IPAMConfig, IPAMPool, LogConfig, Mount, Ulimit

image, name, role = sys.argv[1:]
may_all = role == "admin"
client = docker.from_env(timeout=60)
api = client.api


def say(step, *what):
    print(step, *(str(part).replace(name, "NAME").replace(image, "IMAGE") for part in what), flush=True)


def fails(step, call, *kinds):
    try:
        call()
    except kinds as error:
        code = getattr(getattr(error, "response", None), "status_code", "")
        say(step, type(error).__name__, code)
    else:
        say(step, "did not fail")


def archive(**files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def raw(sock):
    """The socket below the wrapper, plain or TLS."""
    return getattr(sock, "_sock", sock)


def read_all(sock):
    out = b""
    while True:
        part = raw(sock).recv(4096)
        if not part:
            return out
        out += part


def frames(data):
    out = []
    while data:
        stream, length = struct.unpack(">BxxxL", data[:8])
        out.append((stream, data[8 : 8 + length]))
        data = data[8 + length :]
    return out


say("ping", client.ping())
say("version", client.version()["ApiVersion"], api._version)
say("info", client.info()["ServerVersion"], sorted(client.df()))

# Runs
say("run", client.containers.run(image, ["echo", "ran"], remove=True))
say("run both", client.containers.run(image, ["sh", "-c", "echo out; sleep 0.3; echo err >&2"], remove=True, stderr=True))
fails("run fails", lambda: client.containers.run(image, ["false"], remove=True), ContainerError)
fails("no image", lambda: client.containers.create("localhost:1/nothing"), ImageNotFound)
say("streamed", b"".join(client.containers.run(image, ["sh", "-c", "echo 1; sleep 0.3; echo 2"], name=name + "-streamed", stream=True)))

box = client.containers.run(
    image,
    ["sleep", "1000"],
    name=name + "-box",
    detach=True,
    environment={"A": "b"},
    labels={"kind": name},
    mem_limit="64m",
    nano_cpus=500_000_000,
    pids_limit=100,
    tmpfs={"/run": "size=1m"},
    ulimits=[Ulimit(name="nofile", soft=64, hard=64)] * may_all,
    log_config=LogConfig(type="json-file", config={"max-size": "1m"}),
    mounts=[Mount("/data", name + "-data", type="volume")],
    extra_hosts={"other": "192.0.2.1"},
    dns=["192.0.2.1"],
    stop_signal="KILL",
    init=True,
)
try:
    box.reload()
    say("box", box.status, box.attrs["HostConfig"]["Memory"], box.attrs["Config"]["Env"][0], box.image.tags)
    say("list", [found.name for found in client.containers.list(filters={"label": "kind=" + name})])
    say("top", len(box.top()["Processes"]), "stats", sorted(box.stats(stream=False))[:3])
    stats = box.stats(decode=True)
    say("stats stream", next(stats)["name"], next(stats)["name"])
    stats.close()

    # Commands
    say("exec", box.exec_run(["sh", "-c", "echo out; exit 3"]))
    say("exec demux", box.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True))
    code, stream = box.exec_run(["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"], stream=True)
    say("exec stream", code, b"".join(stream))
    code, stream = box.exec_run(["sh", "-c", "echo out; sleep 0.2; echo err >&2"], stream=True, demux=True)
    say("exec stream demux", list(stream))
    code, sock = box.exec_run(["sh", "-c", "read line; echo got $line; cat"], stdin=True, socket=True)
    raw(sock).sendall(b"typed\nmore")
    raw(sock).settimeout(20)
    got = b""
    while b"more" not in got:
        got += raw(sock).recv(4096)
    say("exec socket", b"".join(part for _, part in frames(got)))
    sock.close()
    code, sock = box.exec_run(["sh", "-c", "stty -echo; echo ready; read line; echo got $line"], stdin=True, tty=True, socket=True)
    got = b""
    while b"ready" not in got:
        got += raw(sock).recv(4096)
    raw(sock).sendall(b"typed\n")
    say("exec tty", read_all(sock))
    made = api.exec_create(box.id, ["sleep", "5"], user="1000", workdir="/tmp", environment={"X": "y"}, privileged=False)
    api.exec_start(made["Id"], detach=True)
    inspected = api.exec_inspect(made["Id"])
    say("exec detached", inspected["Running"], inspected["ProcessConfig"]["user"])
    fails("exec in nothing", lambda: api.exec_create(name + "-none", ["true"]), NotFound)

    # Files
    say("put", box.put_archive("/tmp", archive(file=b"put here", other=b"x" * 300_000)))
    say("is there", box.exec_run(["sh", "-c", "cat /tmp/file; wc -c < /tmp/other"]))
    parts, stat = box.get_archive("/tmp/file")
    with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as tar:
        say("get", stat["name"], stat["size"], tar.extractfile("file").read())
    fails("get nothing", lambda: box.get_archive("/nothing"), NotFound)
    fails("put nowhere", lambda: box.put_archive("/nowhere", archive(a=b"")), NotFound)
    say("diff", sorted(change["Path"] for change in box.diff() if "tmp" in change["Path"]))
    exported = io.BytesIO(b"".join(box.export()))
    with tarfile.open(fileobj=exported) as tar:
        say("export", "etc/passwd" in tar.getnames())

    # Changes
    say("update", box.update(mem_limit="48m", memswap_limit="48m"))
    box.rename(name + "-renamed")
    box.reload()
    say("renamed", box.name)
    box.pause()
    box.unpause()
    box.restart(timeout=0)
    box.kill()
    say("killed", box.wait())
    box.start()
    committed = box.commit(repository=name, tag="committed", message="why", author="me", changes="ENV C=d")
    say("commit", committed.tags, client.containers.run(committed, ["sh", "-c", "echo $C"], remove=True))
    box.stop(timeout=0)
finally:
    box.remove(force=True, v=True)

# Attached
attached = client.containers.create(image, ["sh", "-c", "read line; echo got $line; echo err >&2"], stdin_open=True, name=name + "-attached")
sock = attached.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
attached.start()
raw(sock).sendall(b"typed\n")
say("attach socket", sorted(frames(read_all(sock))))
say("attach socket wait", attached.wait(condition="not-running")["StatusCode"])
attached.remove()
half = client.containers.create(image, ["sh", "-c", "cat; echo ended"], stdin_open=True, name=name + "-half")
seen = []
stream = half.attach(stdout=True, stderr=True, stream=True, logs=True)
half.start()
reader = threading.Thread(target=lambda: seen.extend(stream))
reader.start()
sock = half.attach_socket(params={"stdin": 1, "stream": 1})
raw(sock).sendall(b"a line\n")
time.sleep(0.5)
half.kill()
reader.join(20)
say("attach stream", b"".join(seen), reader.is_alive())
half.remove()
terminal = client.containers.create(image, ["sh"], stdin_open=True, tty=True, name=name + "-terminal")
sock = terminal.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
terminal.start()
terminal.resize(33, 99)
raw(sock).sendall(b"stty size; exit 4\n")
shown = read_all(sock)
say("attach tty", b"33 99" in shown, terminal.wait()["StatusCode"])
terminal.remove()

# What it says
talker = client.containers.run(image, ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done"], detach=True, name=name + "-talker")
say("logs follow", list(talker.logs(stream=True, follow=True)))
say("logs", talker.logs(tail=1), len(talker.logs(timestamps=True, since=1)), talker.wait())
since = int(time.time()) - 600
events = client.events(since=since, until=int(time.time()) + 1, decode=True, filters={"container": talker.id})
say("events", [event["Action"] for event in events])
talker.remove()
live = client.events(decode=True, filters={"label": "kind=" + name, "event": ["create", "destroy"]})
seen = []
watcher = threading.Thread(target=lambda: seen.extend(event["Action"] for event in live))
watcher.start()
time.sleep(0.5)
client.containers.create(image, labels={"kind": name}, name=name + "-watched").remove()
deadline = time.time() + 20
while len(seen) < 2 and time.time() < deadline:
    time.sleep(0.1)
live.close()
watcher.join(20)
say("events live", seen, watcher.is_alive())

# Images
dockerfile = b"FROM %s\nARG A=x\nRUN echo $A > /built\n" % image.encode()
built, log = client.images.build(
    fileobj=io.BytesIO(archive(Dockerfile=dockerfile)), custom_context=True, tag=name + ":built", buildargs={"A": "y"},
    rm=True, forcerm=True, pull=False, labels={"made": "here"}, shmsize=1 << 20, network_mode="none",
    container_limits={"memory": 1 << 28}, extra_hosts={"a": "192.0.2.1"},
)
say("build", built.tags, built.labels["made"], client.containers.run(built, ["cat", "/built"], remove=True))
bad = b"FROM %s\nRUN exit 6\n" % image.encode()
fails("build fails", lambda: client.images.build(fileobj=io.BytesIO(bad), rm=True, forcerm=True), BuildError)
if may_all:
    saved = b"".join(built.save(named=True))
    say("save and load", [loaded.tags for loaded in client.images.load(saved)])
say("tag", built.tag(name, tag="tagged"), client.images.get(name + ":tagged").id == built.id)
say("list", sorted(found.tags for found in client.images.list(name=name)), len(built.history()) > 1)
if may_all:
    imported = api.import_image_from_data(archive(file=b"a"), repository=name, tag="imported")
    say("import", "status" in imported)
fails("pull", lambda: client.images.pull("localhost:1/nothing", tag="x"), APIError)
if may_all:
    # To a runner it is not found, as every image that is not there.
    say("push", b"error" in client.images.push("localhost:1/nothing", tag="x").encode())
    fails("registry", lambda: client.images.get_registry_data("localhost:1/nothing"), APIError)
for tag in ["built", "tagged", "committed"] + ["imported"] * may_all:
    client.images.remove(name + ":" + tag, force=True)
fails("removed", lambda: client.images.get(name + ":built"), ImageNotFound)
say("prune images", client.images.prune(filters={"label": "kind=" + name}))

# Networks and volumes
pool = None if not may_all else IPAMConfig(pool_configs=[IPAMPool(subnet="198.51.100.32/28", gateway="198.51.100.33")])
net = client.networks.create(name + "-net", driver="bridge", ipam=pool, internal=True, labels={"kind": name}, check_duplicate=True)
member = client.containers.run(image, ["sleep", "1000"], detach=True, network=net.name, name=name + "-member")
net.disconnect(member, force=True)
net.connect(member, aliases=["alias"], ipv4_address="198.51.100.40" if may_all else None)
net.reload()
say("network", [found.name for found in net.containers], net.attrs["Internal"], may_all and net.attrs["IPAM"]["Config"])
member.remove(force=True)
say("networks", [found.name for found in client.networks.list(names=[net.name])], client.networks.get(net.id).name)
net.remove()
fails("network gone", net.remove, NotFound)
volume = client.volumes.create(name + "-volume", driver="local", driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"} if may_all else None, labels={"kind": name})
say("volume", volume.name, volume.attrs["Options"], [found.name for found in client.volumes.list(filters={"name": volume.name})])
bound = client.containers.run(image, ["sh", "-c", "echo x > /v/f; cat /v/f"], volumes={volume.name: {"bind": "/v", "mode": "rw"}}, remove=True)
say("bound", bound)
volume.remove(force=True)
client.volumes.get(name + "-data").remove()
fails("volume gone", lambda: client.volumes.get(name + "-volume"), NotFound)
pruned = client.containers.prune(filters={"label": "kind=" + name})
say("prunes", len(pruned["ContainersDeleted"] or []), client.networks.prune(filters={"label": "kind=" + name}))

# What is refused by the engine itself
if may_all:
    fails("no plugin", lambda: client.plugins.get("nothing"), NotFound)
    say("plugins", client.plugins.list())
    fails("no swarm", lambda: client.nodes.list(), APIError)
    fails("no service", lambda: client.services.list(), APIError)
fails("bad name", lambda: client.containers.create(image, name="a b"), APIError)
if may_all:
    fails("login", lambda: client.login("u", "p", registry="localhost:1", reauth=True), APIError)
client.close()
