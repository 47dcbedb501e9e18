"""What a program by others does with the broker: Authlib and requests, with nothing of ours but the address."""
import json
import ssl
import sys
import time

import jwt
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from joserfc import jwt as jose
from joserfc.jwk import ECKey, KeySet

asked = json.loads(sys.stdin.readline())
said = {}

# Everything else is found by the metadata (RFC 8414).
plain = requests.Session()
plain.verify = asked["ca"]
metadata = plain.get(asked["url"] + "/.well-known/oauth-authorization-server", timeout=20).json()
assert metadata == plain.get(asked["url"] + "/.well-known/openid-configuration", timeout=20).json()
# It is all that RFC 8414 wants of a server without an authorization endpoint.
AuthorizationServerMetadata(metadata).validate()


def at(endpoint):
    # The issuer is the host's name, and this test is on loopback.
    return metadata[endpoint].replace(metadata["issuer"], asked["url"])


class Assertion(PrivateKeyJWT):
    """Authlib signs for an hour, and takes the same jti again where claims are given: neither is taken here."""

    def sign(self, auth, endpoint):
        self.claims = {"exp": int(time.time()) + 60}
        return super().sign(auth, endpoint)


def session(method, secret):
    made = OAuth2Session(
        "shop",
        secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        timeout=20,
    )
    made.verify = asked["ca"]
    if method == "private_key_jwt":
        made.register_client_auth_method(Assertion(metadata["token_endpoint"], alg="ES256"))
    return made


def verified(token):
    keys = plain.get(at("jwks_uri"), timeout=20).json()
    by_joserfc = jose.decode(token, KeySet.import_key_set(keys), algorithms=["ES256"])
    assert by_joserfc.header["typ"] == "at+jwt"
    # As verifiers do it that know the address of the keys and nothing else.
    client = jwt.PyJWKClient(at("jwks_uri"), ssl_context=ssl.create_default_context(cafile=asked["ca"]))
    by_pyjwt = jwt.decode(
        token,
        client.get_signing_key_from_jwt(token).key,
        algorithms=["ES256"],
        audience=asked["audience"],
        issuer=metadata["issuer"],
        options={"require": ["exp", "iat", "nbf", "iss", "sub", "aud", "jti"]},
    )
    assert by_pyjwt == by_joserfc.claims
    return by_pyjwt


with open(asked["key"], encoding="ascii") as file:
    key = ECKey.import_key(file.read())
methods = [
    ("client_secret_basic", asked["secret"]),
    ("client_secret_post", asked["secret"]),
    ("private_key_jwt", key),
]
for method, secret in methods:
    assert method in metadata["token_endpoint_auth_methods_supported"], metadata
    client = session(method, secret)
    token = client.fetch_token(at("token_endpoint"), grant_type="client_credentials", audience="orders")
    claims = verified(token["access_token"])
    answer = client.introspect_token(at("introspection_endpoint"), token=token["access_token"])
    # It is for orders, so shop is told what it would be told of none.
    revoked = client.revoke_token(at("revocation_endpoint"), token=token["access_token"])
    said[method] = {
        "claims": claims,
        "token": token["access_token"],
        "active": answer.json()["active"],
        "revoked": revoked.status_code,
    }

# By somebody else's key, with a secret that is wrong, and with an audience that is not granted.
for name, client, audience in [
    ("key", session("private_key_jwt", ECKey.generate_key("P-256", auto_kid=False)), "orders"),
    ("secret", session("client_secret_basic", "wrong"), "orders"),
    ("audience", session("client_secret_basic", asked["secret"]), "billing"),
]:
    try:
        client.fetch_token(at("token_endpoint"), grant_type="client_credentials", audience=audience)
        said[name] = "taken"
    except OAuthError as error:
        said[name] = error.error

# Who a token is for may ask about it.
other = OAuth2Session("orders", asked["other"], token_endpoint_auth_method="client_secret_basic", timeout=20)
other.verify = asked["ca"]
client = session("client_secret_basic", asked["secret"])
token = client.fetch_token(at("token_endpoint"), grant_type="client_credentials", audience="orders")
look = lambda: other.introspect_token(at("introspection_endpoint"), token=token["access_token"]).json()
said["introspected"] = [look()["sub"]]
client.revoke_token(at("revocation_endpoint"), token=token["access_token"])
said["introspected"].append(look())

# The device flow (RFC 8628), as any program that has no browser does it.
begun = plain.post(
    at("device_authorization_endpoint"), data={"client_id": "a-tool", "login_hint": "alice"}, timeout=20
).json()
print(json.dumps({"user_code": begun["user_code"], "uri": begun["verification_uri"]}), flush=True)
device = OAuth2Session("a-tool", token_endpoint_auth_method="none", timeout=20)
device.verify = asked["ca"]
interval, errors = begun["interval"], []
while True:
    try:
        given = device.fetch_token(
            at("token_endpoint"),
            grant_type="urn:ietf:params:oauth:grant-type:device_code",
            device_code=begun["device_code"],
        )
        break
    except OAuthError as error:
        errors.append(error.error)
        if error.error == "slow_down":
            interval += 5
        elif error.error != "authorization_pending":
            raise
    if len(errors) == 1:
        print(json.dumps({"waits": errors[0]}), flush=True)
    time.sleep(interval)
said["device"] = {"type": given["token_type"], "code": given["access_token"], "errors": errors}
print(json.dumps(said), flush=True)
