"""Verifies tokens with PyJWT, as its documentation shows, and with its own cache of the keys.

The standard input has a JSON object a line, and each is answered with one: {"issuer": …, "audience": …} makes a new
verifier, which may fetch what it wants, and {"token": …} asks it.
"""

import json
import sys

import jwt

keys = issuer = audience = None
for line in sys.stdin:
    asked = json.loads(line)
    answer = {"accepted": True, "why": ""}
    try:
        if "token" in asked:
            key = keys.get_signing_key_from_jwt(asked["token"])
            jwt.decode(asked["token"], key, algorithms=["ES256", "RS256"], issuer=issuer, audience=audience)
        else:
            issuer, audience = asked["issuer"], asked["audience"]
            keys = jwt.PyJWKClient(issuer + "/.well-known/jwks.json")
    except Exception as error:  # Whatever it is, it is the verifier's refusal.
        answer = {"accepted": False, "why": repr(error)}
    print(json.dumps(answer), flush=True)
