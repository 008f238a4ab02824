"""Follows a ledger's revocations and says what to refuse. Standard library only; follower.md explains each rule."""
import http.client, json, time, urllib.error, urllib.request
class Follower:
    def __init__(self, url, secret, heartbeat=15):
        self.url, self.secret, self.heartbeat = url + "/v1/revocations", secret, heartbeat
        self.cursor, self.heard_at, self.revoked, self.wholes = None, float("-inf"), {}, {}
    def lines(self, path):
        headers = {"Authorization": "Bearer " + self.secret, "Accept": "application/x-ndjson"}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers), timeout=3 * self.heartbeat) as answer:
            yield from map(json.loads, answer)
    def load(self):  # Earlier items stay: a revocation is never taken back.
        first, *items, last = self.lines("/snapshot")
        if last != {"end": True, "count": len(items)}:
            raise ValueError("the snapshot is cut short")
        for item in items:
            self.apply(item)
        self.cursor, self.heard_at = first["cursor"], time.monotonic()
    def apply(self, item):
        if item["type"] not in ("subject.revoked", "subject.erased", "cohort.revoked"):
            whose = (None, None) if item.get("known", True) else (item.get("tenant"), item.get("subject"))
            for name in self.names(item["kind"], item.get("digest"), item.get("id"), *map(item.get, ("iss", "jti", "payload"))):
                self.revoked.setdefault(name, set()).add(whose)
            return
        what = next(iter(item["cohort"].items())) if "cohort" in item else ("subject", item["tenant"], item["subject"])
        for kind in item["kinds"]:
            whole = self.wholes.setdefault((what, kind), {"not_before": 0, "ages": set()})
            marks = {"erased": item["type"] == "subject.erased", "withdrawn": item.get("withdrawn", False)}
            marks["not_before"] = item["not_before"]
            whole["ages"] |= {(item["issued_before"], item["origin"], item["sequence"])} if "issued_before" in item else set()
            for name, value in {**item.get("generation", {}), **marks}.items():
                whole[name] = max(value, whole.get(name, 0))
    def names(self, kind, digest, id, iss, jti, payload):  # Ids of one issuer say nothing about another's.
        if iss is None:
            return {digest, (kind, digest and digest[:32]), (kind, id)} - {None, (kind, None)}
        return {(iss, jti, payload)} if jti or payload else set()
    def is_refused(self, kind, tenant=None, subject=None, digest=None, id=None, iss=None, jti=None, payload=None, sid=None,
                   gen={}, foreign=False, iat=None, leeway=5, kid=None, client_id=None, sid_client_id=None, sid_iat=None, parent=None):
        above = parent if parent and sid in (None, parent.get("id")) else {"kind": "session", "id": sid, "client_id": sid_client_id, "iat": sid_iat} if sid else {}
        found, line = set(), [{"kind": kind, "sub": subject, "kid": kid, "client_id": client_id, "iss": iss, "names": self.names(kind, digest, id, iss, jti, payload),
                 "iat": max(iat or 0, above.get("iat") or 0)}]  # It is not older than its parent.
        while above and not foreign:
            jwt = above.get("iss", iss) if "jti" in above else None
            line.append({"sub": line[-1]["sub"], **above, "iss": jwt, "iat": above.get("iat") or iat})
            unseen = {(kind, above["id"]) for kind in ("ticket", "session", "token") if "id" in above}  # Perhaps it was taken for another kind.
            line[-1]["names"], above = unseen | self.names(None, None, None, jwt, above.get("jti"), None), above.get("parent")
        for one in line:  # Recorded for an unseen credential, a revocation holds for its tenant and subject only.
            if any(mine in (None, tenant or mine) and own in (None, one["sub"] or own) for name in one["names"] for mine, own in self.revoked.get(name, ())):
                return "revoked" if one is line[0] else "parent-revoked"
            ours = [] if foreign else [("key", one.get("kid")), ("application", one.get("client_id"))]
            wholes = [(what, one["kind"]) for what in [("subject", tenant, one["sub"]), *ours, ("issuer", one["iss"]), ("tenant", tenant)]]
            for latest in [dict(self.wholes[what]) for what in wholes if what in self.wholes]:
                not_before, erased, withdrawn, ages = map(latest.pop, ("not_before", "erased", "withdrawn", "ages"))
                late = (iat is None or iat <= not_before + leeway) if foreign else any(sequence > gen.get(origin, 0) for origin, sequence in latest.items())
                found |= {"erased"} if erased else {"withdrawn"} if withdrawn else {"not-before" if foreign else "generation"} if late else set()
                found |= {"issued-before"} if not foreign and any((one["iat"] or 0) < before and gen.get(origin, 0) < sequence for before, origin, sequence in ages) else set()
        for reason in ("erased", "withdrawn", "generation", "issued-before", "not-before"):
            if reason in found: return reason
        return "stale" if time.monotonic() - self.heard_at > 3 * self.heartbeat else None
    def follow(self):  # Over one connection: call it again, after a second, whenever it returns.
        try:
            self.cursor or self.load()
            for event in self.lines("?after=" + self.cursor):
                if event["event"] == "gap":
                    return self.load()
                event["event"] != "revoked" or self.apply(event)
                self.cursor, self.heard_at = event["cursor"], time.monotonic()
        except urllib.error.HTTPError as refusal:
            self.cursor = None if refusal.code == 400 else self.cursor  # The cursor belongs to another ledger.
        except (OSError, ValueError, http.client.HTTPException):
            pass  # Cut off: the cursor stands, and staleness shows if it lasts.
