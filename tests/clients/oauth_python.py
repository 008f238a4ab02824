"""Asks, revokes and gets tokens as OAuth clients of PyPI do it, as their documentation shows.

    python3 oauth_python.py authlib|requests_oauthlib|fastmcp|ory_hydra_client

The standard input has one JSON object, as for oauth_node.mjs. Each call that was answered as it should be is a line of the
standard output.
"""

import base64
import json
import os
import sys

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
library, given = sys.argv[1], json.load(sys.stdin)
ISSUER, CLIENT, KEYED = given["issuer"], given["client"], given["keyed"]
INTROSPECT, REVOKE, TOKEN = (f"{ISSUER}/oauth2/{call}" for call in ("introspect", "revoke", "token"))


def done(call):
    print(json.dumps({"call": call}), flush=True)


def is_active(answer, method):
    assert answer["active"] is True, (method, answer)
    assert answer["sub"] == given["subject"] and answer["aud"] == ["api"] and answer["scope"] == "read write", answer
    assert isinstance(answer["exp"], int) and answer["exp"] > answer["iat"], answer


def authlib():
    from authlib.integrations.requests_client import OAuth2Session
    from authlib.oauth2.rfc7523 import PrivateKeyJWT
    from joserfc.jwk import ECKey

    def private_key():
        der = base64.b64encode(base64.b64decode(KEYED["pkcs8"])).decode()
        pem = f"-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n"
        # It takes a text for a key of RSA.
        session = OAuth2Session(KEYED["id"], ECKey.import_key(pem), token_endpoint_auth_method="private_key_jwt",
                                introspection_endpoint_auth_method="private_key_jwt",
                                revocation_endpoint_auth_method="private_key_jwt")
        # Its audience is the token endpoint unless it is given another one.
        session.register_client_auth_method(PrivateKeyJWT(ISSUER, alg="ES256"))
        return session

    def with_secret(method):
        return OAuth2Session(CLIENT["id"], CLIENT["secret"], token_endpoint_auth_method=method,
                             introspection_endpoint_auth_method=method, revocation_endpoint_auth_method=method)

    sessions = {method: lambda method=method: with_secret(method) for method in ("client_secret_basic", "client_secret_post")}
    sessions["private_key_jwt"] = private_key
    for method, session in sessions.items():
        token, session = given["tokens"].pop(0), session()
        is_active(session.introspect_token(INTROSPECT, token=token).json(), method)
        done(f"{method}: introspection")
        granted = session.fetch_token(TOKEN, grant_type="client_credentials", scope="introspect")
        assert granted["token_type"] == "Bearer" and granted["scope"] == "introspect", granted
        done(f"{method}: client credentials")
        answer = session.revoke_token(REVOKE, token=token)
        assert answer.status_code == 200 and answer.content == b"", answer
        done(f"{method}: revocation")
        assert session.introspect_token(INTROSPECT, token=token).json() == {"active": False}
        done(f"{method}: introspection of a revoked token")


def requests_oauthlib():
    import requests
    from oauthlib.oauth2 import BackendApplicationClient
    from requests.auth import HTTPBasicAuth
    from requests_oauthlib import OAuth2Session

    token = given["tokens"].pop(0)
    session = OAuth2Session(client=BackendApplicationClient(client_id=CLIENT["id"]))
    # It writes the halves of Basic as they are.
    granted = session.fetch_token(TOKEN, auth=HTTPBasicAuth(CLIENT["id"], CLIENT["secret"]), scope=["introspect"])
    assert granted["token_type"] == "Bearer", granted
    done("client credentials, Basic")
    posted = session.fetch_token(TOKEN, client_id=CLIENT["id"], client_secret=CLIENT["secret"], include_client_id=True)
    assert "introspect" in posted["scope"], posted
    done("client credentials, post")
    # The session sends its access token as bearer.
    is_active(session.post(INTROSPECT, data={"token": token}).json(), "bearer")
    done("introspection with the access token")
    raw = HTTPBasicAuth("root", given["root"])
    is_active(requests.post(INTROSPECT, data={"token": token}, auth=raw, timeout=30).json(), "raw")
    done("introspection with Basic as it is, every character")
    assert requests.post(REVOKE, data={"token": token}, auth=raw, timeout=30).status_code == 200
    assert session.post(INTROSPECT, data={"token": token}).json() == {"active": False}
    done("introspection of a revoked token")


def fastmcp():
    import asyncio

    import requests
    from fastmcp.server.auth.providers.introspection import IntrospectionTokenVerifier

    for method in ("client_secret_basic", "client_secret_post"):
        token = given["tokens"].pop(0)

        def verify(**more):
            verifier = IntrospectionTokenVerifier(introspection_url=INTROSPECT, client_id=CLIENT["id"],
                                                  client_secret=CLIENT["secret"], client_auth_method=method, **more)
            return asyncio.run(verifier.verify_token(token))

        accepted = verify(required_scopes=["read"], audience="api")
        assert accepted.subject == given["subject"] and accepted.scopes == ["read", "write"], accepted
        is_active(accepted.claims, method)
        done(f"{method}: a token")
        assert verify(required_scopes=["admin"]) is None and verify(audience="other") is None
        done(f"{method}: a token without the scope or the audience")
        answer = requests.post(REVOKE, data={"token": token}, auth=(CLIENT["id"], CLIENT["secret"]), timeout=30)
        assert answer.status_code == 200 and verify() is None
        done(f"{method}: a revoked token")


def ory_hydra_client():
    from ory_hydra_client import ApiClient, Configuration, OAuth2Api

    token = given["tokens"].pop(0)
    with ApiClient(Configuration(host=ISSUER, username=CLIENT["id"], password=CLIENT["secret"])) as client:
        api = OAuth2Api(client)
        headers = {"Authorization": f"Bearer {CLIENT['secret']}"}
        shown = api.introspect_o_auth2_token(token, _headers=headers)
        assert shown.active and shown.token_use == "access_token" and shown.ext == {}, shown
        is_active(shown.to_dict(), "hydra")
        done("introspection")
        assert not api.introspect_o_auth2_token(token, scope="admin", _headers=headers).active
        done("introspection with a scope")
        api.revoke_o_auth2_token(token)
        assert not api.introspect_o_auth2_token(token, _headers=headers).active
        done("introspection of a revoked token")


libraries = (authlib, requests_oauthlib, fastmcp, ory_hydra_client)
{function.__name__: function for function in libraries}[library]()
