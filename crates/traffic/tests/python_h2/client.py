# A client of HTTP/2 by python-h2 that does what its first line of input says, and prints what came of it as JSON.
# What h2 would not send goes out as frames of hyperframe.
import json
import select
import socket
import ssl
import sys

import hpack
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived, PingAckReceived, ResponseReceived, SettingsAcknowledged, StreamEnded, StreamReset, TrailersReceived,
)
from h2.settings import SettingCodes, Settings
from hyperframe import frame as frames

asked = json.loads(sys.stdin.readline())
SCHEME = "https" if "root" in asked else "http"


def connected():
    host, port = asked["target"].rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if "root" in asked:
        context = ssl.create_default_context(cadata=asked["root"])
        context.set_alpn_protocols(["h2"])
        connection = context.wrap_socket(connection, server_hostname="gate.test")
        assert connection.selected_alpn_protocol() == "h2"
    return connection


def head(path, method="GET", token=True, more=()):
    fields = [(":method", method), (":scheme", SCHEME), (":authority", "orders"), (":path", path)]
    if token:
        fields.append(("authorization", "Bearer " + asked["token"]))
    return fields + list(more)


def noise(length):
    return b"".join((n * 2654435761 % (1 << 32)).to_bytes(4, "little") for n in range(length // 4 + 1))[:length]


class Client:
    """h2's own reading of everything."""

    def __init__(self, settings=None):
        self.socket = connected()
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        if settings:
            self.h2.local_settings = Settings(client=True, initial_values=settings)
        self.h2.initiate_connection()
        self.streams, self.others = {}, []
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def pump(self):
        data = self.socket.recv(65536)
        assert data, "the server hung up"
        for event in self.h2.receive_data(data):
            if isinstance(event, (ResponseReceived, TrailersReceived)):
                name = "trailers" if isinstance(event, TrailersReceived) else "head"
                self.streams[event.stream_id][name] = dict(event.headers)
            elif isinstance(event, DataReceived):
                self.streams[event.stream_id]["body"] += event.data
                self.streams[event.stream_id]["pieces"] += 1
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                self.streams[event.stream_id]["ended"] = True
            elif isinstance(event, StreamReset):
                self.streams[event.stream_id]["reset"] = int(event.error_code)
            else:
                self.others.append(event)
        self.flush()

    def drain(self):
        while getattr(self.socket, "pending", lambda: 0)() or select.select([self.socket], [], [], 0)[0]:
            self.pump()

    def begin(self, fields, end=True):
        stream = self.h2.get_next_available_stream_id()
        self.streams[stream] = {"head": None, "body": bytearray(), "pieces": 0, "trailers": None}
        self.h2.send_headers(stream, fields, end_stream=end)
        self.flush()
        return stream

    def body(self, stream, data, end=True, trailers=None):
        data = memoryview(data)
        while data:
            self.drain()
            if self.streams[stream].get("reset") is not None:
                return
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data))
            if room <= 0:
                self.pump()
                continue
            self.h2.send_data(stream, bytes(data[:room]))
            data = data[room:]
            self.flush()
        if trailers:
            self.h2.send_headers(stream, trailers, end_stream=True)
        elif end:
            self.h2.end_stream(stream)
        self.flush()

    def answer(self, stream):
        found = self.streams[stream]
        while not found.get("ended") and found.get("reset") is None:
            self.pump()
        return found

    def status(self, stream):
        return int(self.answer(stream)["head"][":status"])

    def until(self, kind):
        while not any(isinstance(event, kind) for event in self.others):
            self.pump()
        return next(event for event in self.others if isinstance(event, kind))


class Raw:
    """Frames as they are, once both sides have said their settings."""

    def __init__(self, preface=True):
        self.socket, self.read = connected(), bytearray()
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        if preface:
            self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames.SettingsFrame(0).serialize())
            while not isinstance(self.next(), frames.SettingsFrame):
                pass
            self.send(frames.SettingsFrame(0, flags=["ACK"]).serialize())

    def send(self, data):
        self.socket.sendall(data)

    def take(self, length):
        while len(self.read) < length:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionResetError
            self.read += data
        data, self.read = bytes(self.read[:length]), self.read[length:]
        return data

    def next(self):
        found, length = frames.Frame.parse_frame_header(memoryview(self.take(9)))
        found.parse_body(memoryview(self.take(length)))
        if isinstance(found, frames.HeadersFrame):
            found.fields = dict(self.decoder.decode(found.data))
        return found

    def headers(self, stream, fields, flags=("END_HEADERS", "END_STREAM"), block=None):
        block = self.encoder.encode(fields) if block is None else block
        return frames.HeadersFrame(stream, data=block, flags=list(flags)).serialize()

    def verdict(self, stream):
        """What came of it. A ping behind it tells what is passed over in silence."""
        try:
            self.send(frames.PingFrame(0, opaque_data=b"done yet").serialize())
        except OSError:
            pass
        try:
            while True:
                found = self.next()
                if isinstance(found, frames.GoAwayFrame):
                    return ["goaway", found.error_code]
                if isinstance(found, frames.RstStreamFrame):
                    return ["reset", found.error_code]
                if isinstance(found, frames.HeadersFrame) and found.stream_id == stream:
                    return ["status", int(found.fields[":status"])]
                if isinstance(found, frames.PingFrame) and "ACK" in found.flags:
                    # An answer may come after that to a ping, but not for ever.
                    self.socket.settimeout(10)
        except TimeoutError:
            return ["silence", 0]
        except OSError:
            return ["closed", 0]

    def goes_on(self, stream):
        """Whether a good request is still answered."""
        try:
            self.socket.settimeout(20)
            self.send(self.headers(stream, head("/v1/after")))
            while True:
                found = self.next()
                if isinstance(found, frames.HeadersFrame) and found.stream_id == stream:
                    return int(found.fields[":status"])
        except OSError:
            return "closed"


def heads(client):
    """Answers to HEAD, one of the app and one of the Gatekeeper: each has a head and nothing else."""
    found = [client.answer(client.begin(head(path, "HEAD"))) for path in ("/v1/a", "/admin")]
    return [[it["head"] and it["head"][":status"], len(it["body"]), it.get("reset")] for it in found]


def ordinary():
    client = Client()
    own = [("content-type", "text/plain"), ("x-sealock-identity", "admin"), ("x-own", "1"), ("te", "trailers")]
    stream = client.begin(head("/v1/echo", "POST", more=own), end=False)
    client.body(stream, b"body", trailers=[("x-sum", "7"), ("x-sealock-identity", "admin")])
    echo = client.answer(stream)
    names = client.answer(client.begin(head("/v1/names", more=own)))
    unknown = client.answer(client.begin(head("/v1/a", token=False)))
    return {
        "echo": [echo["head"][":status"], echo["body"].decode(), echo["trailers"]],
        "names": json.loads(names["body"]),
        "unknown": [unknown["head"][":status"], unknown["head"]["www-authenticate"], json.loads(unknown["body"])["code"]],
        "admin": client.status(client.begin(head("/admin"))),
        "head": heads(client),
        "delete": client.status(client.begin(head("/v1/a", "DELETE"))),
    }


def many():
    client = Client()
    client.until(SettingsAcknowledged)
    most = client.h2.remote_settings.max_concurrent_streams
    right = 0
    for turn in range(4):
        begun = [client.begin(head("/v1/echo", "POST"), end=False) for _ in range(most)]
        said = {stream: b"%d of %d" % (stream, turn) * 50 for stream in begun}
        # The last one first, each in two pieces with all the others' between.
        for stream in reversed(begun):
            client.body(stream, said[stream][:100], end=False)
        for stream in begun:
            client.body(stream, said[stream][100:])
        right += sum(client.answer(stream)["body"] == said[stream] for stream in begun)
    return {"most": most, "right": right}


def flow():
    small = {SettingCodes.INITIAL_WINDOW_SIZE: 1000, SettingCodes.MAX_FRAME_SIZE: 16384}
    client, data = Client(small), noise(1 << 20)
    stream = client.begin(head("/v1/echo", "POST"), end=False)
    client.body(stream, data)
    both = client.answer(stream)
    down = client.answer(client.begin(head("/v1/big")))
    # While it runs, a window that becomes smaller and larger.
    client = Client()
    stream = client.begin(head("/v1/big"))
    for window in [100, 0, 65535]:
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.HEADER_TABLE_SIZE: window})
        client.flush()
        client.others.clear()
        client.until(SettingsAcknowledged)
    changed = client.answer(stream)
    # A frame of our own makes one of theirs: nothing is kept back until there is more.
    stream = client.begin(head("/v1/echo", "POST"), end=False)
    for piece in range(10):
        client.body(stream, b"piece %d" % piece, end=False)
        while client.streams[stream]["pieces"] <= piece:
            client.pump()
    client.body(stream, b"")
    return {
        "both": both["body"] == data,
        "window": both["pieces"] > len(data) // 1000,
        "down": down["body"] == data,
        "changed": changed["body"] == data,
        "pieces": client.answer(stream)["pieces"],
    }


def reset():
    client = Client()
    broken = client.begin(head("/v1/broken", "POST"), end=False)
    other = client.begin(head("/v1/other", "POST"), end=False)
    client.body(broken, noise(50_000), end=False)
    client.body(other, noise(20_000), end=False)
    print("begun", flush=True)
    sys.stdin.readline()
    client.h2.reset_stream(broken, ErrorCodes.CANCEL)
    client.flush()
    print("reset", flush=True)
    sys.stdin.readline()
    client.body(other, noise(20_000))
    return {"other": client.answer(other)["body"].decode()}


def early():
    """Answers to uploads that nobody has read whole. Other requests on the same connection go on."""
    client, said = Client(), {}
    for way in asked["ways"]:
        stream = client.begin(head("/v1/" + way, "PUT", more=[("content-length", "1000000")]), end=False)
        client.body(stream, noise(1_000_000), end=False)
        found = client.streams[stream]
        # The answer is whole before anything more is said.
        while not found.get("ended") and found.get("reset") is None:
            client.pump()
        if found.get("ended") and found.get("reset") is None:
            client.h2.reset_stream(stream, ErrorCodes.CANCEL)
            client.flush()
        status = found["head"] and int(found["head"][":status"])
        said[way] = [status, found["body"].decode()[:8], client.status(client.begin(head("/v1/other")))]
    return said


def small_talk():
    client = Client()
    client.until(SettingsAcknowledged)
    for number in range(50):
        client.others.clear()
        client.h2.ping(number.to_bytes(8, "big"))
        client.h2.update_settings({SettingCodes.MAX_FRAME_SIZE: 16384 + number})
        client.flush()
        assert client.until(PingAckReceived).ping_data == number.to_bytes(8, "big")
        client.until(SettingsAcknowledged)
    return {"status": client.status(client.begin(head("/v1/a")))}


def goodbye():
    """Ours: what was begun is still answered. Theirs: they say so, and answer what was begun."""
    client = Raw()
    client.send(client.headers(1, head("/v1/wait")) + frames.GoAwayFrame(0, last_stream_id=0).serialize())
    print("begun", flush=True)
    ours = client.verdict(1)
    client = Raw()
    client.send(client.headers(1, head("/v1/wait")))
    print("begun", flush=True)
    found = client.next()
    while not isinstance(found, frames.GoAwayFrame):
        found = client.next()
    print("goodbye", flush=True)
    told, last = found.error_code, found.last_stream_id
    while not isinstance(found, frames.HeadersFrame):
        if isinstance(found, frames.PingFrame) and "ACK" not in found.flags:
            client.send(frames.PingFrame(0, opaque_data=found.opaque_data, flags=["ACK"]).serialize())
        found = client.next()
    try:
        while True:
            client.next()
    except OSError:
        closed = True
    return {"ours": ours, "told": told, "covers": last >= 1, "status": found.fields[":status"], "closed": closed}


def bent(path="/v1/hostile", method="GET", without=(), more=(), first=()):
    return list(first) + [field for field in head(path, method) if field[0] not in without] + list(more)


def frame(kind, stream, payload, flags=0):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


# Requests that mean nothing: what they are, and their fields.
HEADS = {
    "a name in capitals": bent(more=[("X-Own", "1")]),
    "a method in capitals": bent(without=[":method"], first=[(":Method", "GET")]),
    "connection": bent(more=[("connection", "close")]),
    "connection that names a header": bent(more=[("connection", "authorization")]),
    "keep-alive": bent(more=[("keep-alive", "timeout=5")]),
    "proxy-connection": bent(more=[("proxy-connection", "close")]),
    "transfer-encoding": bent(method="POST", more=[("transfer-encoding", "chunked")]),
    "upgrade": bent(more=[("upgrade", "websocket")]),
    "te": bent(more=[("te", "gzip")]),
    "two paths": bent(first=[(":path", "/v1/a")]),
    "two methods": bent(first=[(":method", "POST")]),
    "two schemes": bent(first=[(":scheme", "ftp")]),
    "two authorities": bent(first=[(":authority", "billing")]),
    "no path": bent(without=[":path"]),
    "no method": bent(without=[":method"]),
    "no scheme": bent(without=[":scheme"]),
    "an empty path": bent(path=""),
    "a path without a slash": bent(path="v1/hostile"),
    "a whole URL for a path": bent(path="http://billing/v1/hostile"),
    "no host at all": bent(without=[":authority"]),
    "another host": bent(more=[("host", "billing")]),
    "two hosts": bent(without=[":authority"], more=[("host", "orders"), ("host", "billing")]),
    "a user in the authority": bent(without=[":authority"], first=[(":authority", "a@orders")]),
    "a pseudo-header behind others": bent(without=[":path"], more=[(":path", "/v1/hostile")]),
    "an unknown pseudo-header": bent(first=[(":admin", "1")]),
    "the pseudo-header of answers": bent(first=[(":status", "200")]),
    "an extended CONNECT": bent(method="CONNECT", first=[(":protocol", "websocket")]),
    "a CONNECT": [(":method", "CONNECT"), (":authority", "orders:80")],
    "a line end in a value": bent(more=[("x-own", "a\r\nx-sealock-identity: admin")]),
    "a zero byte in a value": bent(more=[("x-own", "a\0b")]),
    "a blank before a value": bent(more=[("x-own", " a")]),
    "a blank behind a value": bent(more=[("x-own", "a ")]),
    "a blank in a name": bent(more=[("x own", "a")]),
    "a colon in a name": bent(more=[("x-own:", "a")]),
    "an empty name": bent(more=[("", "a")]),
    "a line end in a method": bent(method="GET /v1/a HTTP/1.1\r\nx: "),
    "a blank in a path": bent(path="/v1/hostile HTTP/1.1"),
    "a line end in a path": bent(path="/v1/hostile\r\nx: y"),
    "dots in a path": bent(path="/../v1/hostile"),
    "an escaped slash": bent(path="/v1/..%2fhostile"),
    "two lengths": bent(method="POST", more=[("content-length", "0"), ("content-length", "5")]),
    "a length that is no number": bent(method="POST", more=[("content-length", "+0")]),
    "two tokens": bent(more=[("authorization", "Bearer x")]),
    "a token in a list": bent(without=["authorization"], more=[("authorization", "Bearer x, Bearer y")]),
    "a head of 200 KiB": bent(more=[("x-%d" % number, "y" * 2000) for number in range(100)]),
    "a thousand headers": bent(more=[("x-%d" % number, "y") for number in range(1000)]),
}


# Frames where they may not be, or of another form: what they are, and what makes them.
FRAMES = {
    "DATA on a stream that nobody opened": lambda it: frame(0, 1, b"body", 1),
    "DATA on no stream": lambda it: frame(0, 0, b"body"),
    "HEADERS on no stream": lambda it: frame(1, 0, it.encoder.encode(bent()), 5),
    "HEADERS on a stream of the server": lambda it: it.headers(2, bent()),
    "a head on a lower stream": lambda it: it.headers(5, head("/v1/first")) + it.headers(1, bent()),
    "a head that depends on itself": lambda it: frame(1, 1, b"\0\0\0\1\x10" + it.encoder.encode(bent()), 0x25),
    "another frame within a head": lambda it: it.headers(1, bent(), ["END_STREAM"]) + frame(6, 0, b"12345678"),
    "another stream's head within a head": lambda it: it.headers(1, bent(), ["END_STREAM"]) + it.headers(3, bent()),
    "CONTINUATION of nothing": lambda it: frame(9, 1, it.encoder.encode(bent()), 4),
    "CONTINUATION on another stream": lambda it: it.headers(1, bent(), ["END_STREAM"]) + frame(9, 3, b"", 4),
    "a head that cannot be unpacked": lambda it: it.headers(1, None, block=b"\xff\xff\xff\xff\x0f"),
    "a table that grows too large": lambda it: it.headers(1, None, block=b"\x3f\xff\xff\x7f" + it.encoder.encode(bent())),
    "a length of padding beyond the frame": lambda it: frame(1, 1, b"\xff" + it.encoder.encode(bent()), 0x0D),
    "a frame that is too long": lambda it: it.headers(1, bent(method="POST"), ["END_HEADERS"]) + frame(0, 1, bytes(20000), 1),
    "a promise from a client": lambda it: frame(5, 1, b"\0\0\0\2" + it.encoder.encode(bent()), 4),
    "RST_STREAM on a stream that nobody opened": lambda it: frame(3, 1, b"\0\0\0\x08"),
    "RST_STREAM that is too short": lambda it: it.headers(1, head("/v1/first")) + frame(3, 1, b"\0\0\x08"),
    "WINDOW_UPDATE by nothing": lambda it: frame(8, 0, b"\0\0\0\0"),
    "WINDOW_UPDATE beyond all windows": lambda it: frame(8, 0, b"\x7f\xff\xff\xff") * 2,
    "PING on a stream": lambda it: frame(6, 1, b"12345678"),
    "PING that is too short": lambda it: frame(6, 0, b"1234567"),
    "SETTINGS on a stream": lambda it: frame(4, 1, b""),
    "SETTINGS of half a setting": lambda it: frame(4, 0, b"\0\4\0\0\1"),
    "SETTINGS with a window that is none": lambda it: frame(4, 0, b"\0\4\xff\xff\xff\xff"),
    "SETTINGS with frames that are none": lambda it: frame(4, 0, b"\0\5\0\0\0\1"),
    "SETTINGS that pushes twice": lambda it: frame(4, 0, b"\0\2\0\0\0\2"),
    "an acknowledgement with a setting": lambda it: frame(4, 0, b"\0\4\0\0\0\1", 1),
    "GOAWAY on a stream": lambda it: frame(7, 1, bytes(8)),
}

# Bodies that are not what was said: the app may see one begin and never end.
BODIES = {
    "a body that is longer than was said": lambda it: it.headers(
        1, bent(method="POST", more=[("content-length", "3")]), ["END_HEADERS"]) + frame(0, 1, b"body", 1),
    "a body that is shorter than was said": lambda it: it.headers(
        1, bent(method="POST", more=[("content-length", "9")]), ["END_HEADERS"]) + frame(0, 1, b"body", 1),
    "no body where one was said": lambda it: it.headers(1, bent(method="POST", more=[("content-length", "9")])),
    "a second head that does not end it": lambda it: it.headers(1, bent(method="POST"), ["END_HEADERS"])
    + it.headers(1, [("x-sum", "1")], ["END_HEADERS"]),
    "capitals in trailers": lambda it: it.headers(1, bent(method="POST"), ["END_HEADERS"])
    + it.headers(1, [("X-Sum", "1")]),
    "padding that is longer than its frame": lambda it: it.headers(1, bent(method="POST"), ["END_HEADERS"])
    + frame(0, 1, b"\xffbody", 0x09),
}


def hostile():
    """Each on a connection of its own, and whether that still answers a good request."""
    made = {name: (lambda it, fields=fields: it.headers(1, fields)) for name, fields in HEADS.items()}
    said = {}
    for name, make in (made | FRAMES | BODIES).items():
        client = Raw()
        try:
            client.send(make(client))
        except OSError:
            # It hung up before it had all of it, and may have said why.
            pass
        verdict = client.verdict(1)
        said[name] = verdict + [client.goes_on(11) if verdict[0] in ("status", "reset") else None]
    return {"heads": list(HEADS), "frames": list(FRAMES), "bodies": list(BODIES), "said": said}


def closed():
    """DATA and HEADERS on a stream that has ended."""
    said = []
    for late in [frame(0, 1, b"more", 1), None]:
        client = Raw()
        client.send(client.headers(1, head("/v1/first")))
        found = client.next()
        while not (found.stream_id == 1 and "END_STREAM" in found.flags):
            found = client.next()
        client.send(late or client.headers(1, bent()))
        said.append(client.verdict(1))
    return {"said": said}


def floods():
    """Heads that do not end: how much of each was taken, in KiB, before it was over."""
    said = {}
    for name, piece in [
        ("long", frame(9, 1, bytes.fromhex("00017801") + b"y" * 1 + bytes.fromhex("0001780179") * 3000)),
        ("packed", frame(9, 1, b"\xbe" * 16000)),
        ("empty", frame(9, 1, b"") * 1000),
    ]:
        client = Raw()
        # The first puts a long field into the table, which `packed` names again and again by a byte.
        start = client.encoder.encode(bent(more=[("x-long", "y" * 3000)]))
        client.send(client.headers(1, None, ["END_STREAM"], block=start))
        taken = 0
        try:
            while taken < 64 << 20:
                client.send(piece)
                taken += len(piece)
        except OSError:
            pass
        said[name] = [taken >> 10, client.verdict(1)[0]]
    return said


def preface():
    said = []
    for start in [b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(6, 0, b"12345678")]:
        client = Raw(preface=False)
        client.socket.settimeout(5)
        try:
            client.send(start + client.headers(1, bent()))
            said.append(b"HTTP/1.1 200" not in client.take(9))
        except OSError:
            said.append(True)
    return {"said": said}


ways = [ordinary, many, flow, reset, early, small_talk, goodbye, hostile, closed, floods, preface]
print(json.dumps({way.__name__: way for way in ways}[asked["do"]]()), flush=True)
