#!/usr/bin/env python3
"""Reads a Token Status List and says what it says of an entry. It shares no code with authledger, and needs nothing beyond Python.

python3 schema/read_status_list.py LIST INDEX URI < token    prints the status: 0 valid, 1 invalid

LIST is the file with the list as it was fetched, plain or compressed with gzip; INDEX and URI are those in the claim `status` of the token that
is judged. It checks everything but the signature: verify that first, with the key that verifies the token itself.
"""
import base64
import gzip
import json
import sys
import time
import zlib


def part(text):
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def status(token, index, uri, now):
    header, claims, _ = token.split(".")
    header, claims = part(header), part(claims)
    assert header["typ"] == "statuslist+jwt", "another kind of token"
    assert claims["sub"] == uri, "another list"
    assert claims["iat"] <= now + 60 and now < claims.get("exp", now + 1), "not valid now"
    bits = claims["status_list"]["bits"]
    assert bits in (1, 2, 4, 8)
    lst = claims["status_list"]["lst"]
    unpack = zlib.decompressobj()
    array = unpack.decompress(base64.urlsafe_b64decode(lst + "=" * (-len(lst) % 4)), 1 << 20)
    assert unpack.eof and not unpack.unused_data, "cut, too long, or followed by something"
    byte, shift = divmod(index * bits, 8)
    assert 0 <= index and byte < len(array), "beyond the list"
    return array[byte] >> shift & (1 << bits) - 1


if __name__ == "__main__":
    fetched = open(sys.argv[1], "rb").read()
    fetched = gzip.decompress(fetched) if fetched[:2] == b"\x1f\x8b" else fetched
    print(status(fetched.decode("ascii"), int(sys.argv[2]), sys.argv[3], time.time()))
