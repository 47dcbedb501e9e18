# An app of gRPC without generated code: messages are bytes. Prints its port, which may be given, and serves until its
# input ends.
import sys
import threading
from concurrent import futures

import grpc


def identity(context):
    return dict(context.invocation_metadata()).get("x-sealock-identity", "").encode()


def say(request, context):
    names = sorted(key for key, _ in context.invocation_metadata())
    context.set_trailing_metadata((("x-names", " ".join(names)),))
    return identity(context) + b" says " + request


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode() * 1000


def chat(requests, context):
    for request in requests:
        yield b"you said " + request


def collect(requests, context):
    return b"+".join(requests)


def live(request, context):
    yield b"begun"
    ended = threading.Event()
    context.add_callback(ended.set)
    while not ended.wait(0.05):
        yield b"still"


def fail(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: 100% \u00e9")


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        return {
            "/v1/Say": grpc.unary_unary_rpc_method_handler(say),
            "/v1/Fail": grpc.unary_unary_rpc_method_handler(fail),
            "/v1/Count": grpc.unary_stream_rpc_method_handler(count),
            "/v1/Live": grpc.unary_stream_rpc_method_handler(live),
            "/v1/Collect": grpc.stream_unary_rpc_method_handler(collect),
            "/v1/Chat": grpc.stream_stream_rpc_method_handler(chat),
            "/admin/Drop": grpc.unary_unary_rpc_method_handler(say),
        }.get(details.method)


server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
server.add_generic_rpc_handlers((Handler(),))
print(server.add_insecure_port("127.0.0.1:" + (sys.argv[1] if len(sys.argv) > 1 else "0")), flush=True)
server.start()
sys.stdin.read()
server.stop(0)
