# PyJWT at the other end: reads one JSON object, writes one.
#   {"do": "verify", "keys": JWKS, "token": …, "issuer": …, "audience": …}  →  {"header": …, "claims": …} or {"refused": …}
#   {"do": "sign", "alg": …, "typ": …, "claims": …}                         →  {"keys": JWKS, "token": …}
import json
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

asked = json.load(sys.stdin)
if asked["do"] == "verify":
    try:
        header = jwt.get_unverified_header(asked["token"])
        key = jwt.PyJWKSet.from_json(asked["keys"])[header["kid"]]
        claims = jwt.decode(
            asked["token"],
            key,
            algorithms=[key.algorithm_name],
            issuer=asked["issuer"],
            audience=asked["audience"],
            options={"require": ["exp", "nbf", "iat", "iss", "aud", "sub", "jti"], "strict_aud": True},
        )
        answer = {"header": header, "claims": claims}
    except jwt.PyJWTError as error:
        answer = {"refused": type(error).__name__}
else:
    alg = asked["alg"]
    if alg == "ES256":
        key = ec.generate_private_key(ec.SECP256R1())
        jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        key = ed25519.Ed25519PrivateKey.generate()
        jwk = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    jwk.update(kid="peer", use="sig", alg=alg)
    header = {"typ": asked["typ"], "kid": "peer"}
    token = jwt.encode(asked["claims"], key, algorithm=alg, headers=header)
    answer = {"keys": json.dumps({"keys": [jwk]}), "token": token}
json.dump(answer, sys.stdout)
