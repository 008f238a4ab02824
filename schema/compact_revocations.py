#!/usr/bin/env python3
"""Reads revocations in the form for machines, as compact-revocations.md defines it. It shares no code with authledger.

usage: compact_revocations.py < FILE      prints a line of JSON for each frame, and fails if a snapshot is cut off

Needs the package blake3.
"""
import json
import sys

import blake3

TYPES = {1: "head", 2: "marks", 3: "wholes", 4: "complete", 5: "revoked", 6: "heartbeat", 7: "gap", 8: "end"}


def varint(number):
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def text(value):
    return varint(len(value.encode())) + value.encode()


def mark(key, form, first, second, target=None, kind=""):
    """`target` is the tenant and the subject: None for anybody's, a text, or True for one that is not known."""
    parts = [] if target is None else [b"\0" if due is None else b"\2" if due is True else b"\1" + text(due) for due in target]
    message = bytes([form]) + text(first) + text(second) + b"".join(parts) + (text(kind) if kind else b"")
    return blake3.blake3(message, key=key).digest(length=11).hex()


class Body:
    def __init__(self, data):
        self.data = data

    def take(self, count):
        assert count <= len(self.data), "cut off"
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def number(self):
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number, shift = number | (byte & 127) << shift, shift + 7
            if byte < 128:
                assert number < 1 << 64 and (byte or shift == 7), "another spelling"
                return number

    def text(self):
        return self.take(self.number()).decode()

    def place(self):
        return [self.take(13).decode(), self.number()]

    def marks(self):
        return [self.take(11).hex() for _ in range(self.number())]

    def block(self):
        count = self.number()
        assert 1 <= count <= 1 << 20
        low, bits, at, last, marks = 88 - count.bit_length(), "".join(f"{byte:08b}" for byte in self.data), 0, 0, []
        for number in range(count):
            one = bits.index("1", at) + 1
            gap, at = one - at - 1 << low | int(bits[one:one + low], 2), one + low
            last += gap
            assert (gap or not number) and last < 1 << 88, "not in order"
            marks.append(last.to_bytes(11, "big").hex())
        assert 0 <= len(bits) - at < 8 and "1" not in bits[at:], "left over"
        self.data = b""
        return marks

    def entry(self):
        entry = {"mark": self.take(11).hex(), "kinds": self.take(1)[0], "flags": self.take(1)[0], "not_before": self.number(),
                 "retain_until": self.number(), "generation": dict(self.place() for _ in range(self.number()))}
        assert entry["kinds"] < 16 and entry["flags"] < 8, "a flag that is not known"
        return {**entry, "issued_before": self.number(), "record": self.place()} if entry["flags"] & 4 else entry

    def entries(self):
        return [self.entry() for _ in range(self.number())]


def content(name, body):
    if name == "head":
        assert body.take(1) == b"\1", "another version"
        return {"ledger": body.take(16).hex(), "key": body.take(32).hex(), "now": body.number(), "cursor": body.text()}
    if name == "marks":
        return {"scoped": body.take(1)[0], "retain_until": body.number(), "marks": body.block()}
    if name == "wholes":
        return {"wholes": body.entries()}
    if name == "complete":
        return {"count": body.number()}
    if name == "revoked":
        return {"cursor": body.text(), "retain_until": body.number(), "plain": body.marks(), "scoped": body.marks(), "wholes": body.entries()}
    if name == "heartbeat":
        return {"cursor": body.text(), "now": body.number(), "behind_ms": dict(body.place() for _ in range(body.number()))}
    return {"cursor": body.text()} if name == "gap" else {"reason": body.text(), "cursor": body.text()}


def frames(data):
    whole = Body(data)
    while whole.data:
        header = whole.take(5)
        length = int.from_bytes(header[1:], "little")
        assert length <= 10 << 20, "too long"
        body = whole.take(length)
        assert blake3.blake3(header + body).digest()[:8] == whole.take(8), "another checksum"
        if header[0] in TYPES:
            body = Body(body)
            frame = {"frame": TYPES[header[0]], **content(TYPES[header[0]], body)}
            assert not body.data, "more than its content"
            yield frame
        assert header[0] in TYPES or header[0] >= 128, "a frame that is not known"


if __name__ == "__main__":
    read = list(frames(sys.stdin.buffer.read()))
    for frame in read:
        print(json.dumps(frame))
    counted = sum(len(frame.get("marks", frame.get("wholes"))) for frame in read if frame["frame"] in ("marks", "wholes"))
    assert read[0]["frame"] == "head" and (not read[0]["cursor"] or read[-1].get("count") == counted), "cut off"
