# A client of gRPC that does what its first line of input says, and prints what came of it as JSON.
import json
import sys
import threading
import time

import grpc

asked = json.loads(sys.stdin.readline())
options = [("grpc.default_authority", asked["authority"]), ("grpc.enable_retries", 0)]
if "root" in asked:
    credentials = grpc.ssl_channel_credentials(asked["root"].encode())
    options.append(("grpc.ssl_target_name_override", "gate.test"))
    channel = grpc.secure_channel(asked["target"], credentials, options=options)
else:
    channel = grpc.insecure_channel(asked["target"], options=options)


def metadata(who):
    token = asked["tokens"].get(who)
    return [("authorization", "Bearer " + token)] if token else []


def outcome(call, *arguments):
    try:
        return call(*arguments, timeout=20, metadata=metadata("shop"))
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}


def kinds():
    answer, call = channel.unary_unary("/v1/Say").with_call(
        b"hi", timeout=20, metadata=metadata("shop") + [("x-sealock-identity", "admin"), ("x-own", "1")]
    )
    counted = channel.unary_stream("/v1/Count")(b"50", timeout=20, metadata=metadata("shop"))
    # Each is asked only when the last was answered: both ways stay open.
    turn, said = threading.Semaphore(1), []

    def questions():
        for number in range(5):
            turn.acquire()
            yield str(number).encode()

    for answered in channel.stream_stream("/v1/Chat")(questions(), timeout=20, metadata=metadata("shop")):
        said.append(answered.decode())
        turn.release()
    large = b"x" * 3_000_000
    return {
        "say": answer.decode(),
        "names": dict(call.trailing_metadata())["x-names"].split(),
        "count": sum(len(piece) for piece in counted),
        "chat": said,
        "collect": channel.stream_unary("/v1/Collect")(
            iter([b"a", b"b", b"c"]), timeout=20, metadata=metadata("shop")
        ).decode(),
        "large": len(channel.unary_unary("/v1/Say")(large, timeout=20, metadata=metadata("shop"))),
        "fail": outcome(channel.unary_unary("/v1/Fail"), b""),
        "admin": outcome(channel.unary_unary("/admin/Drop"), b""),
        "unknown": outcome(channel.unary_unary("/v1/Nothing"), b""),
    }


def one():
    said = outcome(channel.unary_unary("/v1/Say"), b"hi")
    return said if isinstance(said, dict) else {"say": said.decode()}


def cut():
    streams = {who: channel.unary_stream("/v1/Live")(b"", metadata=metadata(who)) for who in ("shop", "bank")}
    for stream in streams.values():
        assert next(stream) == b"begun"
    print("live", flush=True)
    sys.stdin.readline()
    since, code = time.monotonic(), "none"
    try:
        for _ in streams["shop"]:
            pass
    except grpc.RpcError as error:
        code = error.code().name
    took = time.monotonic() - since
    more = [next(streams["bank"]).decode() for _ in range(10)]
    streams["bank"].cancel()
    return {"code": code, "took": took, "more": more}


print(json.dumps({"kinds": kinds, "one": one, "cut": cut}[asked["do"]]()), flush=True)
