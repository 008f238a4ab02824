#!/usr/bin/env python3
"""Recomputes the hash chain of an authledger event log from its definition in event-log.md, sharing no code with authledger.

usage: verify_chain.py LEDGER.DB      exits 1 and names the position where the chain is broken

Needs the package blake3. Opens the file read-only, also while a server writes to it.
"""
import json
import sqlite3
import sys

import blake3

CONTEXT = "authledger 2026 event chain v1"
PAGE_ROWS = 10_000  # A longer read would keep the server's write-ahead log from being emptied.
SELECT = "SELECT position, origin, sequence, record, hash FROM event WHERE position > ? ORDER BY position LIMIT ?"


def broken(position, what):
    print(f"position {position}: {what}")
    sys.exit(1)


def check(row, due, heads):
    """Checks a row against its origin's head, and moves the head there."""
    position, origin, sequence, record, stored = row
    if position != due:
        broken(due, f"missing; the next one is {position}")
    last, previous = heads.get(origin, (0, bytes(32)))
    if sequence != last + 1:
        broken(position, f"origin {origin} goes on with {sequence} where {last + 1} is due")
    computed = blake3.blake3(previous + record, derive_key_context=CONTEXT).digest()
    if computed != stored:
        broken(position, f"the stored hash {stored.hex()} is not that of the chain and the record, {computed.hex()}")
    named = json.loads(record)
    if (named["origin"], named["sequence"]) != (origin, sequence):
        broken(position, "the record names another place than its columns")
    heads[origin] = (sequence, computed)


def main(path):
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    database = sqlite3.connect(f"file:{quoted}?mode=ro", uri=True)
    # Bytes, not text: the hash is over exactly what is stored.
    database.text_factory = bytes
    position, heads = 0, {}
    while rows := database.execute(SELECT, (position, PAGE_ROWS)).fetchall():
        for number, origin, *rest in rows:
            check((number, origin.decode(), *rest), position + 1, heads)
            position = number
    print(f"{position} events")
    for origin, (sequence, digest) in sorted(heads.items()):
        print(f"{origin} {sequence} {digest.hex()}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
