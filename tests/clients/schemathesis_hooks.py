"""Hooks of schemathesis: authority for every call, and every so often a request that must succeed.

Generated requests try the form of every parameter, and hardly ever name something that exists. So every STRIDE-th call of an
operation is replaced by a good one about a credential, application or event made for it. When schemathesis ends, the statuses
that each operation answered with are written to FUZZ_OUT as JSON: {"GET /path": {"200": 3, ...}}.

FUZZ_URL is the server, FUZZ_TOKEN root's secret.
"""

import atexit
import base64
import collections
import itertools
import json
import os
import threading
import urllib.request
import uuid

import schemathesis

URL, ROOT, OUT = (os.environ[name] for name in ("FUZZ_URL", "FUZZ_TOKEN", "FUZZ_OUT"))
STRIDE = 5
SUBJECT = "fuzzed"

statuses = collections.defaultdict(collections.Counter)
counts = collections.defaultdict(itertools.count)
lock = threading.Lock()


def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {ROOT}", "content-type": "application/json"}
    request = urllib.request.Request(URL + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


def application():
    return call("POST", "/v1/applications", {"name": "fuzzed", "scopes": ["introspect"], "tenants": ["*"]})


def ticket():
    return call("POST", "/v1/tickets", {"subject": SUBJECT})


def session():
    return call("POST", "/v1/sessions", {"subject": SUBJECT})


def token():
    return call("POST", "/v1/tokens", {"subject": SUBJECT})["token"]


def status_list():
    issued = call("POST", "/v1/tokens", {"subject": SUBJECT, "status_list": True})["token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(issued + "=" * (-len(issued) % 4)))
    return claims["status"]["status_list"]["uri"].rsplit("/", 1)[1]


def own(issued):
    return {"X-Session-Token": issued["session_token"]}


def import_line():
    digest = uuid.uuid4().hex + uuid.uuid4().hex
    times = {"issued_at": "2026-01-01T00:00:00Z", "expires_at": "2027-01-01T00:00:00Z"}
    return json.dumps({"kind": "token", "subject": SUBJECT, "digest": digest, **times}) + "\n"


def use_line():
    return json.dumps({"kind": "ticket", "id": uuid.uuid4().hex, "age_ms": 5}) + "\n"


def origin():
    return call("GET", "/v1/status")["head"]["origin"]


def node():
    key = uuid.uuid4().hex + uuid.uuid4().hex
    reads = call("GET", "/v1/nodes")["nodes"][0]["reads"]
    return {"key": key, "node": f"fuzzed-{uuid.uuid4()}", "region": "fuzzed", "reads": reads}


def joined_node():
    body = node()
    call("POST", "/v1/nodes", body)
    return body["node"]


def subject_with_session():
    subject = f"fuzzed-{uuid.uuid4()}"
    call("POST", "/v1/sessions", {"subject": subject})
    return subject


# By operation: what a good request has. What is not said here is left out.
CRAFTER = "/crafter-profile/api/1"
GOOD = {
    "GET /problems/{code}": lambda: {"path": {"code": "not-found"}},
    "POST /v1/applications": lambda: {"body": {"name": "a", "scopes": ["issue"], "tenants": ["*"]}},
    "DELETE /v1/applications/{id}": lambda: {"path": {"id": application()["id"]}},
    "GET /v1/events/{position}": lambda: {"path": {"position": 1}},
    "GET /v1/events/{position}/proof": lambda: {"path": {"position": 1}},
    "GET /tile/{path}": lambda: {"path": {"path": "0/000.p/1"}},
    "GET /origins/{origin}/checkpoint": lambda: {"path": {"origin": origin()}},
    "GET /origins/{origin}/tile/{path}": lambda: {"path": {"origin": origin(), "path": "entries/000.p/1"}},
    "GET /v1/events/{position}/sealed": lambda: {"path": {"position": sealed_position()}},
    "POST /v1/imports": lambda: {"body": import_line()},
    "POST /v1/uses": lambda: {"body": use_line()},
    "POST /v1/introspect": lambda: {"body": {"credential": ticket()["ticket"]}},
    "POST /v1/keys": lambda: {},
    "POST /v1/nodes": lambda: {"body": node()},
    "DELETE /v1/nodes/{node}": lambda: {"path": {"node": joined_node()}},
    "GET /v1/revocations/{origin}/{sequence}/reach": lambda: {"path": {"origin": origin(), "sequence": 1}},
    "GET /v1/revocations": lambda: {"query": {"after": "0"}},
    "POST /v1/revocations/follow": lambda: {"body": {"after": "0"}},
    "GET /v1/as-of": lambda: {"query": {"subject": SUBJECT, "at": "1"}},
    "POST /v1/as-of": lambda: {"body": {"credential": ticket()["ticket"], "at": "1"}},
    "POST /v1/revocations": lambda: {"body": {"credential": ticket()["ticket"]}},
    "POST /v1/sessions": lambda: {"body": {"subject": SUBJECT}},
    "GET /v1/sessions/{id}": lambda: {"path": {"id": session()["session"]["id"]}},
    "POST /v1/sessions/{id}/extend": lambda: {"path": {"id": session()["session"]["id"]}, "body": {"ttl": 90_000}},
    "GET /v1/subjects/{subject}": lambda: {"path": {"subject": SUBJECT}},
    "DELETE /v1/subjects/{subject}/personal-data": lambda: {"path": {"subject": subject_with_session()}},
    "POST /v1/tickets": lambda: {"body": {"subject": SUBJECT}},
    "POST /v1/tokens": lambda: {"body": {"subject": SUBJECT}},
    "GET /status-lists/{id}": lambda: {"path": {"id": status_list()}},
    f"GET {CRAFTER}/access_token/all": lambda: {"query": {"accessTokenId": ROOT}},
    f"POST {CRAFTER}/access_token/create": lambda: {"query": {"accessTokenId": ROOT}, "body": access_token()},
    f"GET {CRAFTER}/access_token/{{id}}": lambda: {"query": {"accessTokenId": ROOT}, "path": {"id": application()["secret"]}},
    f"POST {CRAFTER}/access_token/{{id}}/delete": lambda: {
        "query": {"accessTokenId": ROOT}, "path": {"id": application()["secret"]}},
    f"POST {CRAFTER}/authentication/ticket/create": lambda: {
        "query": {"accessTokenId": ROOT, "profileId": SUBJECT}, "body": {"accessTokenId": ROOT, "profileId": SUBJECT}},
    f"GET {CRAFTER}/authentication/ticket/{{id}}": lambda: {
        "query": {"accessTokenId": ROOT}, "path": {"id": ticket()["ticket"]}},
    f"POST {CRAFTER}/authentication/ticket/{{id}}": lambda: {
        "query": {"accessTokenId": ROOT}, "path": {"id": SUBJECT}, "body": {"accessTokenId": ROOT}},
    f"POST {CRAFTER}/authentication/ticket/{{id}}/invalidate": lambda: {
        "query": {"accessTokenId": ROOT}, "path": {"id": ticket()["ticket"]}, "body": {"accessTokenId": ROOT}},
    f"POST {CRAFTER}/authentication/token/{{id}}/invalidate": lambda: {
        "query": {"accessTokenId": ROOT}, "path": {"id": ticket()["ticket"]}, "body": {"accessTokenId": ROOT}},
    "GET /admin/identities/{id}/sessions": lambda: {"path": {"id": SUBJECT}},
    "DELETE /admin/identities/{id}/sessions": lambda: {"path": {"id": subject_with_session()}},
    "GET /admin/sessions": lambda: {},
    "POST /admin/sessions": lambda: {"body": {"action": "disable", "sessions": [session()["session"]["id"]]}},
    "GET /admin/sessions/{id}": lambda: {"path": {"id": session()["session"]["id"]}},
    "DELETE /admin/sessions/{id}": lambda: {"path": {"id": session()["session"]["id"]}},
    "PATCH /admin/sessions/{id}/extend": lambda: {"path": {"id": session()["session"]["id"]}},
    "DELETE /self-service/logout/api": lambda: {"body": {"session_token": session()["session_token"]}},
    "GET /sessions": lambda: {"headers": own(session())},
    "DELETE /sessions": lambda: {"headers": own(session())},
    "GET /sessions/whoami": lambda: {"headers": own(session())},
    "DELETE /sessions/{id}": lambda: {"headers": own(session()), "path": {"id": session()["session"]["id"]}},
    "DELETE /api/v1/auth/users/{id}/token": lambda: {"path": {"id": SUBJECT}, "query": {"ttl": "1h"}},
    "POST /persons/{person_id}/mint-token": lambda: {
        "path": {"person_id": SUBJECT}, "headers": {"SlashID-OrgID": "default", "SlashID-API-Key": ROOT}, "body": {}},
    "POST /token/revoke": lambda: {"headers": {"SlashID-API-Key": ROOT}, "body": {"token": token()}},
    "POST /token/validate": lambda: {"body": {"token": token()}},
    "POST /oauth2/introspect": lambda: {"body": {"token": token()}},
    "POST /admin/oauth2/introspect": lambda: {"body": {"token": token()}},
    "POST /oauth2/revoke": lambda: {"body": {"token": token()}},
    "POST /oauth2/global-token-revocation": lambda: {
        "body": {"sub_id": {"format": "opaque", "id": subject_with_session()}}},
}

# What can't be undone.
ERASES = {"DELETE /v1/subjects/{subject}/personal-data"}


def access_token():
    return {"application": f"fuzzed-{uuid.uuid4()}", "master": True}


def sealed_position():
    device = {"user_agent": "fuzzed"}
    return call("POST", "/v1/sessions", {"subject": SUBJECT, "device": device})["session"]["position"]


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def key(case):
    return f"{case.method.upper()} {case.path}"


@schemathesis.hook
def before_call(context, case, **kwargs):
    name = key(case)
    with lock:
        number = next(counts[name])
    # A page that waits for what does not come takes its time, and shows nothing.
    case.headers.pop("Prefer", None)
    # Whom the others are about must not be forgotten for good.
    if name in ERASES and case.path_parameters.get("subject") == SUBJECT:
        case.path_parameters["subject"] = f"erased-{uuid.uuid4()}"
    good = GOOD.get(name)
    if good is None or number % STRIDE:
        return
    parts = good()
    case.path_parameters = parts.get("path", {})
    case.query = parts.get("query", {})
    case.cookies = {}
    case.headers.clear()
    case.headers.update(parts.get("headers", {}))
    if "body" in parts:
        case.body = parts["body"]


@schemathesis.hook
def after_call(context, case, response):
    with lock:
        statuses[key(case)][str(response.status_code)] += 1


@atexit.register
def write():
    with open(OUT, "w", encoding="utf-8") as out:
        json.dump(statuses, out)
