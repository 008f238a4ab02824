"""Verifiers of Python: jwcrypto checks signatures, token-status-list reads the array, and the reader under schema/ reads it with zlib alone. Input:
{issuer, reader, tokens: [{token, revoked}]}."""
import importlib.util
import json
import sys
import time
import urllib.request

from jwcrypto import jwk, jwt
from token_status_list import BitArray

given = json.load(sys.stdin)
issuer = given["issuer"]
spec = importlib.util.spec_from_file_location("reader", given["reader"])
reader = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reader)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url):
    request = urllib.request.Request(url, headers={"Accept": "application/statuslist+jwt, application/json"})
    with opener.open(request) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


keys = jwk.JWKSet.from_json(fetch(f"{issuer}/.well-known/jwks.json")[1])


def verified(token, typ):
    checked = jwt.JWT(jwt=token, key=keys, algs=["ES256", "EdDSA", "RS256"])
    assert json.loads(checked.header)["typ"] == typ
    return json.loads(checked.claims)


lists, read = {}, 0
for one in given["tokens"]:
    entry = verified(one["token"], "JWT")["status"]["status_list"]
    if entry["uri"] not in lists:
        content_type, token = fetch(entry["uri"])
        assert content_type == "application/statuslist+jwt", content_type
        claims = verified(token, "statuslist+jwt")
        assert claims["sub"] == entry["uri"] and claims["iss"] == issuer, claims
        lists[entry["uri"]] = token, BitArray.load(claims["status_list"])
    token, array = lists[entry["uri"]]
    expected = 1 if one["revoked"] else 0
    assert array.get(entry["idx"]) == expected, (entry, expected)
    assert reader.status(token, entry["idx"], entry["uri"], time.time()) == expected, (entry, expected)
    try:
        reader.status(token, entry["idx"], entry["uri"] + "/", time.time())
        raise SystemExit("another address is taken for this one")
    except AssertionError:
        read += 1
print(json.dumps({"library": "token-status-list", "read": read}))
