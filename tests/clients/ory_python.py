"""Drives PyPI's ory-client or ory-kratos-client, unmodified, and says what it called.

    python ory_python.py ory_client|ory_kratos_client < input.json

Standard input: {base_url, admin_token, tenant, sessions: [{id, session_token, subject, traits?, device?}, ...]}: all of them live
and in the order in which they were issued, six or more of the first subject and two or more of others; `traits` and `device` as
they were given when the session was issued. All are ended here. Standard output: one JSON line a call: {call, method, route,
status}. Exit 1 with the reason if anything is not as it should be; what the client can't decode, it raises itself.
"""

import importlib
import json
import re
import sys
import uuid
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, urlsplit

CLIENT = sys.argv[1]
ory = importlib.import_module(CLIENT)
rest = importlib.import_module(f"{CLIENT}.exceptions")
INPUT = json.load(sys.stdin)

ROUTES = {
    "to_session": ("GET", "/sessions/whoami"),
    "list_my_sessions": ("GET", "/sessions"),
    "disable_my_session": ("DELETE", "/sessions/{id}"),
    "disable_my_other_sessions": ("DELETE", "/sessions"),
    "perform_native_logout": ("DELETE", "/self-service/logout/api"),
    "list_sessions": ("GET", "/admin/sessions"),
    "get_session": ("GET", "/admin/sessions/{id}"),
    "disable_session": ("DELETE", "/admin/sessions/{id}"),
    "extend_session": ("PATCH", "/admin/sessions/{id}/extend"),
    "list_identity_sessions": ("GET", "/admin/identities/{id}/sessions"),
    "delete_identity_sessions": ("DELETE", "/admin/identities/{id}/sessions"),
}
# In which identities of subjects that are no UUID are named.
NAMESPACE = uuid.UUID("6f5a1c1e-5f0e-5c0a-9d3b-2b6f0c9f7a11")
LEEWAY = timedelta(minutes=2)
UNAUTHORIZED = "The request could not be authorized"
NO_CREDENTIALS = "No valid session credentials found in the request."
NO_COOKIE = "No valid session cookie found."
NO_SUCH_TOKEN = "The provided Ory Session Token could not be found, is invalid, or otherwise malformed."
NOT_FOUND = "Unable to locate the resource"
PAGE_SIZE = 2


def expect(truth, what):
    if not truth:
        sys.exit(f"failed: {what}")


def api_client(token):
    configuration = ory.Configuration(host=INPUT["base_url"])
    configuration.access_token = token
    # The older client takes the same secret as an API key.
    configuration.api_key = {"oryAccessToken": token} if token else {}
    configuration.api_key_prefix = {"oryAccessToken": "Bearer"}
    return ory.ApiClient(configuration)


public = ory.FrontendApi(api_client(None))
admin = ory.IdentityApi(api_client(INPUT["admin_token"]))
stranger = ory.IdentityApi(api_client(None))


def call(api, name, status, *arguments, **named):
    """Calls by that name, expects that status, and gives the whole response, or the exception for an error."""
    try:
        answer = getattr(api, f"{name}_with_http_info")(*arguments, **named)
        found = answer.status_code
    except rest.ApiException as error:
        answer, found = error, error.status
    body = getattr(answer, "body", None)
    expect(found == status, f"{name} {arguments} {named} must be answered {status}, but was {found}: {body}")
    method, route = ROUTES[name]
    print(json.dumps({"call": name, "method": method, "route": route, "status": status}), flush=True)
    return answer


def refused(api, name, status, *arguments, message=None, reason=None, **named):
    error = json.loads(call(api, name, status, *arguments, **named).body)["error"]
    expect(error["code"] == status, f"{name}: code {status} in {error}")
    expect(message in (None, error["message"]), f"{name}: message {message} in {error}")
    expect(reason == error.get("reason") or message is None, f"{name}: reason {reason} in {error}")


def identity_of(subject):
    try:
        if str(uuid.UUID(subject)) == subject:
            return subject
    except ValueError:
        pass
    return str(uuid.uuid5(NAMESPACE, f"{INPUT['tenant']}\0{subject}"))


def assert_session(found, given, active=True, expanded=True):
    now = datetime.now(timezone.utc)
    expect(str(found.id) == given["id"], f"session {given['id']}, not {found.id}")
    expect(found.active is active, f"session {found.id} active {active}, not {found.active}")
    expect(found.issued_at <= now + LEEWAY and found.authenticated_at <= now + LEEWAY, f"{found.id} was issued in the past")
    expect(found.expires_at > found.issued_at, f"{found.id} expires after it was issued")
    expect(not active or found.expires_at > now - LEEWAY, f"{found.id} expires in the future")
    expect(found.authenticator_assurance_level is not None, f"{found.id} has an assurance level")
    expect(isinstance(found.authentication_methods, list), f"{found.id} has authentication methods")
    if not expanded:
        expect(found.identity is None and found.devices == [], f"{found.id} is not expanded")
        return
    wanted = identity_of(given["subject"])
    expect(str(found.identity.id) == wanted, f"{found.id} is of identity {wanted}, not {found.identity.id}")
    expect(found.identity.schema_id and found.identity.schema_url, f"{found.identity.id} has a schema")
    expect(found.identity.state == "active", f"{found.identity.id} is active")
    if "traits" in given:
        expect(found.identity.traits == given["traits"], f"the traits of {found.id} are as they were given")
    for member, value in given.get("device", {}).items():
        shown = getattr(found.devices[0], member)
        expect(shown == value, f"{member} of {found.id}'s device is {value}, not {shown}")


def header(answer, name):
    return next((value for key, value in answer.headers.items() if key.lower() == name), None)


def pages(api, name, *arguments, **named):
    """Every session of a list, by its Link headers, and the number in X-Total-Count of its first page."""
    found, total, token = [], None, None
    while True:
        more = {} if token is None else {"page_token": token}
        answer = call(api, name, 200, *arguments, page_size=PAGE_SIZE, **more, **named)
        total = header(answer, "x-total-count") if token is None else total
        expect(len(answer.data) <= PAGE_SIZE, f"a page of {name} has no more than was asked for")
        found += answer.data
        link = re.search(r'<([^>]*)>; *rel="next"', header(answer, "link") or "")
        # An empty list has a next page in Kratos, and so here.
        if not link or not answer.data:
            break
        token = parse_qs(urlsplit(link[1]).query)["page_token"][0]
    times = [session.issued_at for session in found]
    expect(times == sorted(times, reverse=True), f"{name} has the newest first")
    expect(len({session.id for session in found}) == len(found), f"{name} has each session once")
    return found, total and int(total)


def ids(sessions):
    return sorted(str(one["id"] if isinstance(one, dict) else one.id) for one in sessions)


def alive(session):
    return assert_session(call(public, "to_session", 200, x_session_token=session["session_token"]).data, session)


def dead(session):
    token = session["session_token"]
    refused(public, "to_session", 401, x_session_token=token, message=UNAUTHORIZED, reason=NO_CREDENTIALS)
    assert_session(call(admin, "get_session", 200, session["id"]).data, session, active=False, expanded=False)


# Deleted with all that its identity had: the surface does not know it any more.
def deleted(session):
    token = session["session_token"]
    refused(public, "to_session", 401, x_session_token=token, message=UNAUTHORIZED, reason=NO_CREDENTIALS)
    refused(admin, "get_session", 404, session["id"], message=NOT_FOUND)


def whoami(current):
    alive(current)
    answer = call(public, "to_session", 200, x_session_token=current["session_token"])
    named = header(answer, "x-kratos-authenticated-identity-id")
    expect(named == identity_of(current["subject"]), f"the header names the identity, not {named}")
    cookie = f"theme=dark; ory_kratos_session={current['session_token']}"
    assert_session(call(public, "to_session", 200, cookie=cookie).data, current)
    refused(public, "to_session", 401, message=UNAUTHORIZED, reason=NO_CREDENTIALS)
    # The first credential that is there counts, good or not.
    refused(public, "to_session", 401, x_session_token="x" * 32, cookie=cookie, message=UNAUTHORIZED, reason=NO_CREDENTIALS)


def own_sessions(current, others, foreign):
    token = {"x_session_token": current["session_token"]}
    found, total = pages(public, "list_my_sessions", **token)
    expect(ids(found) == ids(others) and total == len(others), f"all but the current one, not {ids(found)} of {total}")
    refused(public, "list_my_sessions", 401, message=UNAUTHORIZED, reason=NO_COOKIE)

    refused(public, "disable_my_session", 401, others[0]["id"], message=UNAUTHORIZED, reason=NO_COOKIE)
    refused(public, "disable_my_session", 400, current["id"], **token, message="cannot revoke current session")
    length = 'uuid: incorrect UUID length 7 in string "BADUUID"'
    refused(public, "disable_my_session", 400, "BADUUID", **token, message=length)
    call(public, "disable_my_session", 204, foreign["id"], **token)
    call(public, "disable_my_session", 204, str(uuid.uuid4()), **token)
    alive(foreign)
    alive(current)
    call(public, "disable_my_session", 204, others[0]["id"], **token)
    dead(others[0])
    call(public, "disable_my_session", 204, others[0]["id"], **token)


def logout(leaving):
    body = ory.PerformNativeLogoutBody(session_token=leaving["session_token"])
    call(public, "perform_native_logout", 204, body)
    dead(leaving)
    call(public, "perform_native_logout", 204, body)
    unknown = ory.PerformNativeLogoutBody(session_token="x" * 32)
    message = "The requested action was forbidden"
    refused(public, "perform_native_logout", 403, unknown, message=message, reason=NO_SUCH_TOKEN)


def administer(sessions, ended, target):
    live = [session for session in sessions if session not in ended]
    found, _ = pages(admin, "list_sessions")
    expect(set(ids(sessions)) <= set(ids(found)), "the list has every session")
    expect(all(session.identity is None and session.devices is None for session in found), "a list is not expanded unasked")
    found, _ = pages(admin, "list_sessions", active=True, expand=["identity", "devices"])
    expect(not set(ids(ended)) & set(ids(found)), "the list of the active has no ended one")
    by_id = {str(session.id): session for session in found}
    for session in live:
        assert_session(by_id[session["id"]], session)

    assert_session(call(admin, "get_session", 200, target["id"]).data, target, expanded=False)
    before = call(admin, "get_session", 200, target["id"], expand=["identity", "devices"]).data
    assert_session(before, target)
    extended = call(admin, "extend_session", 200, target["id"]).data
    expect(extended.expires_at >= before.expires_at and extended.active, "extending takes nothing away")
    call(admin, "disable_session", 204, target["id"])
    dead(target)
    call(admin, "disable_session", 204, target["id"])
    for name in ("get_session", "disable_session", "extend_session"):
        refused(admin, name, 404, str(uuid.uuid4()), message=NOT_FOUND)
    refused(admin, "disable_session", 400, "BADUUID", message='uuid: incorrect UUID length 7 in string "BADUUID"')
    call(stranger, "list_sessions", 401)
    call(stranger, "disable_session", 401, live[0]["id"])
    alive(live[0])


def identities(owner, sessions):
    mine = [session for session in sessions if session["subject"] == owner["subject"]]
    found, total = pages(admin, "list_identity_sessions", identity_of(owner["subject"]))
    expect(set(ids(mine)) <= set(ids(found)) and total == len(found), f"all of the identity's, not {ids(found)} of {total}")
    call(admin, "delete_identity_sessions", 204, identity_of(owner["subject"]))
    for session in mine:
        deleted(session)
    found, _ = pages(admin, "list_identity_sessions", identity_of(owner["subject"]))
    expect(not found, "none of them is listed")
    refused(admin, "delete_identity_sessions", 404, identity_of(owner["subject"]), message=NOT_FOUND)
    refused(admin, "delete_identity_sessions", 404, str(uuid.uuid4()), message=NOT_FOUND)
    found, _ = pages(admin, "list_identity_sessions", str(uuid.uuid4()))
    expect(not found, "an unknown identity has no sessions")


def main():
    sessions = INPUT["sessions"]
    mine = [session for session in sessions if session["subject"] == sessions[0]["subject"]]
    theirs = [session for session in sessions if session not in mine]
    expect(len(mine) >= 6 and len(theirs) >= 2, "sessions are given as the head of this file says")
    current, others = mine[0], mine[1:]

    whoami(current)
    own_sessions(current, others, theirs[0])
    logout(others[1])
    administer(sessions, others[:2], others[2])
    remaining = others[3:]
    answer = call(public, "disable_my_other_sessions", 200, x_session_token=current["session_token"])
    expect(answer.data.count == len(remaining), f"{len(remaining)} others were ended, not {answer.data.count}")
    refused(public, "disable_my_other_sessions", 401, message=UNAUTHORIZED, reason=NO_COOKIE)
    for session in remaining:
        dead(session)
    alive(current)
    identities(theirs[0], sessions)
    identities(current, sessions)


main()
