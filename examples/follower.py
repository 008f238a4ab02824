#!/usr/bin/env python3
"""Follows a ledger, and says of each credential on the standard input why to refuse it.

    examples/follower.py --url http://127.0.0.1:7878 --token-file DATA/root-token

Each line of the standard input is what is known of a credential, such as {"kind": "ticket", "digest": "..."}; each line of the
standard output says why to refuse it, or null. The follower itself is schema/follower.py: copy that file into a program.
"""
import argparse
import json
import os
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "schema"))
from follower import Follower  # noqa: E402

PAUSE_SECONDS = 1


def follow_for_ever(follower):
    while True:
        follower.follow()
        time.sleep(PAUSE_SECONDS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    environment = os.environ.get
    parser.add_argument("--url", default=environment("AUTHLEDGER_URL", "http://127.0.0.1:7878"))
    token_file = environment("AUTHLEDGER_TOKEN_FILE")
    parser.add_argument("--token-file", default=token_file, required=token_file is None, metavar="FILE",
                        help="holds the secret of an application with the scope `follow`")
    parser.add_argument("--heartbeat", type=int, default=int(environment("AUTHLEDGER_HEARTBEAT", "15")), metavar="SECONDS",
                        help="between two heartbeats, as the server is set")
    arguments = parser.parse_args()
    secret = pathlib.Path(arguments.token_file).read_text().strip()

    follower = Follower(arguments.url.rstrip("/"), secret, arguments.heartbeat)
    threading.Thread(target=follow_for_ever, args=(follower,), daemon=True).start()
    for line in sys.stdin:
        print(json.dumps({"refused": follower.is_refused(**json.loads(line))}), flush=True)


if __name__ == "__main__":
    main()
