"""Presents tokens with DPoP proofs that are made with joserfc.

    python dpop_python.py ES256|EdDSA

First it prints a line {"jkt": …}, the thumbprint of its key. Then the standard input has a JSON object a line,
{"token": …, "method": …, "uri": …}, and each is answered with the headers that a client would send.
"""

import base64
import hashlib
import json
import sys
import time
import uuid

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey

algorithm = sys.argv[1]
key = ECKey.generate_key("P-256") if algorithm == "ES256" else OKPKey.generate_key("Ed25519")
print(json.dumps({"jkt": key.thumbprint()}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    digest = hashlib.sha256(asked["token"].encode()).digest()
    header = {"typ": "dpop+jwt", "alg": algorithm, "jwk": key.as_dict(private=False)}
    claims = {
        "jti": str(uuid.uuid4()),
        "htm": asked["method"],
        "htu": asked["uri"],
        "iat": int(time.time()),
        "ath": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
    }
    proof = jwt.encode(header, claims, key, algorithms=[algorithm])
    print(json.dumps({"authorization": f"DPoP {asked['token']}", "dpop": proof}), flush=True)
