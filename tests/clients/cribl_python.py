"""Ends a user's tokens as Cribl's Python SDK does, byte for byte, and says what it called.

    python cribl_python.py < input.json

Standard input: {base_url, admin_token, user, live, unknown_user}. `base_url` is with or without /api/v1; `user` has `live` tokens
and an id with `|` and `@` in it. Standard output: one JSON line a call: {call, method, route, status}. Exit 1 with the reason
if anything is not as it should be.

The SDK puts the id into the path with `|` and `@` as they are, which many libraries would escape; so this speaks http.client.
"""

import http.client
import json
import sys
import time
from datetime import datetime
from urllib.parse import quote, urlsplit

ROUTE = "/auth/users/{id}/token"
RETRIED = (429, 500, 502, 503, 504)
FIRST_PAUSE_S, PAUSE_GROWS_BY, MOST_TRIES = 0.5, 1.5, 5

INPUT = json.load(sys.stdin)
BASE = urlsplit(INPUT["base_url"])


def expect(truth, what):
    if not truth:
        sys.exit(f"failed: {what}")


def send(path, token):
    """One DELETE, tried again on the answers on which the SDK does."""
    headers = {"Accept": "application/json", "User-Agent": "speakeasy-sdk/python"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    pause = FIRST_PAUSE_S
    for left in reversed(range(MOST_TRIES)):
        connection = http.client.HTTPConnection(BASE.hostname, BASE.port, timeout=60)
        connection.request("DELETE", BASE.path.rstrip("/") + path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        if response.status not in RETRIED or left == 0:
            return response, body
        time.sleep(pause)
        pause *= PAUSE_GROWS_BY


def invalidate(call, user, status, ttl=None, token=INPUT["admin_token"]):
    query = "" if ttl is None else f"?ttl={quote(ttl, safe='')}"
    response, body = send(f"/auth/users/{user}/token{query}", token)
    expect(response.status == status, f"{call} must be answered {status}, but was {response.status}: {body!r}")
    # The SDK raises on 200 with anything else.
    kind = response.getheader("content-type", "")
    expect(kind.split(";")[0].strip() == "application/json", f"{call} is answered in JSON, not {kind!r}")
    print(json.dumps({"call": call, "method": "DELETE", "route": ROUTE, "status": status}), flush=True)
    return json.loads(body)


def assert_ended(answer, count):
    expect(sorted(answer) == ["count", "items"], f"items and count, not {sorted(answer)}")
    expect(answer["count"] == count == len(answer["items"]), f"{count} tokens were ended, not {answer}")
    for item in answer["items"]:
        expect(item["kind"] == "token" and isinstance(item["id"], str), f"a token with an id, not {item}")
        issued, expires, ended = (instant(item[name]) for name in ("issuedAt", "expiresAt", "invalidatedAt"))
        expect(issued <= ended and issued < expires, f"times in their order, not {item}")


def assert_error(answer, message=None):
    expect(answer.get("status") == "error" and isinstance(answer.get("message"), str), f"status and message, not {answer}")
    expect(message in (None, answer["message"]), f"the message {message}, not {answer}")


def instant(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def main():
    raw, escaped = quote(INPUT["user"], safe="|@"), quote(INPUT["user"], safe="")
    expect(raw != escaped, "the user's id has characters that the SDK leaves as they are")
    assert_error(invalidate("without_token", raw, 401, token=None), "Unauthorized")
    assert_error(invalidate("with_wrong_token", raw, 401, token="no-such-secret"), "Unauthorized")
    assert_error(invalidate("malformed_ttl", raw, 400, ttl="soon"))
    # None of the refusals above has ended anything: all of them are there to be ended now.
    assert_ended(invalidate("invalidate", raw, 200), INPUT["live"])
    assert_ended(invalidate("invalidate_again", escaped, 200), 0)
    assert_ended(invalidate("ttl_in_seconds", raw, 200, ttl="3600"), 0)
    assert_ended(invalidate("ttl_with_unit", raw, 200, ttl="2h"), 0)
    assert_ended(invalidate("unknown_user", quote(INPUT["unknown_user"], safe="|@"), 200), 0)


main()
