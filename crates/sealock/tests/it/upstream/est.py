# A small server of EST (RFC 7030): signs what it gets by openssl, in the mood that stands in a file.
import base64, http.server, os, ssl, subprocess, sys, tempfile

port, folder = int(sys.argv[1]), sys.argv[2]
path = lambda name: os.path.join(folder, name)

def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout

def mood():
    with open(path("mood")) as file:
        return file.read().strip()

def signed(csr, days="30"):
    with tempfile.TemporaryDirectory() as scratch:
        at = lambda name: os.path.join(scratch, name)
        with open(at("csr"), "wb") as file:
            file.write(csr)
        openssl("x509", "-req", "-inform", "DER", "-in", at("csr"), "-CA", path("issuing.pem"), "-CAkey",
                path("issuing.key"), "-CAcreateserial", "-days", days, "-copy_extensions", "copyall", "-out", at("crt"))
        return openssl("crl2pkcs7", "-nocrl", "-certfile", at("crt"), "-outform", "DER")

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", kind="text/plain", more=()):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in more:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def certificates(self, der):
        # Lines are wrapped, as most do.
        self.answer(200, base64.encodebytes(der), "application/pkcs7-mime; smime-type=certs-only")

    def note(self, what):
        with open(path("requests"), "a") as file:
            file.write(what + "\n")

    def do_GET(self):
        if self.path != "/.well-known/est/web/cacerts":
            return self.answer(404)
        der = openssl("crl2pkcs7", "-nocrl", "-certfile", path("issuing.pem"), "-certfile", path("root.pem"), "-outform", "DER")
        self.certificates(der)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        now, peer = mood(), self.connection.getpeercert()
        operation = self.path.rsplit("/", 1)[1]
        self.note(f"{operation} {'certificate' if peer else 'basic'}")
        by_name = self.headers["Authorization"] == "Basic " + base64.b64encode(b"host-1:open sesame").decode()
        allowed = peer if operation == "simplereenroll" else by_name
        if self.path not in ("/.well-known/est/web/simpleenroll", "/.well-known/est/web/simplereenroll"):
            return self.answer(404)
        if not allowed:
            return self.answer(401, b"who are you?", more=[("WWW-Authenticate", "Basic realm=est")])
        csr = base64.b64decode(body)
        if now == "later":
            return self.answer(202, b"", more=[("Retry-After", "1")])
        if now == "no":
            return self.answer(400, b"not this\x1b[2J name\r\n")
        if now == "page":
            return self.answer(200, b"<html>welcome</html>", "text/html")
        if now == "garbage":
            return self.answer(200, base64.encodebytes(b"\x30\x82\xff\xff" + b"x" * 999), "application/pkcs7-mime")
        if now == "huge":
            return self.answer(200, b"M" * (8 << 20), "application/pkcs7-mime")
        if now == "elsewhere":
            return self.answer(302, b"", more=[("Location", "https://169.254.169.254/")])
        if now == "another":
            # Somebody else's certificate.
            der = openssl("crl2pkcs7", "-nocrl", "-certfile", path("est.pem"), "-outform", "DER")
            return self.certificates(der)
        self.certificates(signed(csr))

    def log_message(self, *arguments):
        pass

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(path("est.pem"), path("est.key"))
context.load_verify_locations(path("root.pem"))
context.verify_mode = ssl.CERT_OPTIONAL
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
