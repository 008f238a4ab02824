#!/usr/bin/env bash
# HAProxy 2.6.12 (Debian 12): how often core.httpclient() of its Lua asks, and for how long, if it is told a time-out.
#
# One would think that `timeout = 300` bounds the call to 300 ms, and that a request whose answer is late was sent once. Each try gets the
# time-out for itself, and there are four: the call takes 1.2 s, and the server that was slow is asked three times more. What comes back is
# not an error of Lua but an answer with the status 504, which no server has given. A script that asks for permission must therefore divide
# the time that it means by four, and can't take every answer for one of the server. HAProxy 2.8 has `httpclient.retries`; 2.6 refuses
# to start with it.
#
# Needs haproxy with Lua, and python3. Exits 0 as long as that is so, and 1 once it has changed.
set -euo pipefail
haproxy=$(command -v haproxy || echo /usr/sbin/haproxy)
[ -x "$haproxy" ] || exit 2
work=$(mktemp -d)
started=()
finish() {
    local process
    for process in ${started[@]+"${started[@]}"}; do kill "$process" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT
cd "$work"

# A server that reads what it is asked and answers nothing; its second port tells how often it was asked.
cat > silent.py <<'PY'
import os, socket, threading
asked = 0
kept = []
def listener():
    one = socket.socket()
    one.bind(("127.0.0.1", 0))
    one.listen(16)
    return one
silent, counter = listener(), listener()
with open("ports.new", "w") as file:
    file.write(f"{silent.getsockname()[1]} {counter.getsockname()[1]}\n")
os.rename("ports.new", "ports")
def count():
    while True:
        connection, _ = counter.accept()
        connection.sendall(str(asked).encode())
        connection.close()
threading.Thread(target=count, daemon=True).start()
while True:
    connection, _ = silent.accept()
    connection.recv(4096)
    asked += 1
    kept.append(connection)
PY
python3 silent.py &
started+=($!)
until [ -s ports ]; do sleep 0.1; done
read -r silent counter < ports
cat > ask.lua <<LUA
core.register_service("ask", "http", function(applet)
    local answer = core.httpclient():get { url = "http://127.0.0.1:$silent/", timeout = 300 }
    local text = tostring(answer.status)
    applet:set_status(200)
    applet:add_header("content-length", #text)
    applet:start_response()
    applet:send(text)
end)
LUA
cat > haproxy.cfg <<CFG
global
    lua-load $work/ask.lua
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend clients
    bind unix@$work/clients.sock
    http-request use-service lua.ask
CFG
"$haproxy" -db -f haproxy.cfg 2>/dev/null &
started+=($!)
until [ -S clients.sock ]; do sleep 0.1; done

cat > measure.py <<'PY'
import socket, sys, time
client = socket.socket(socket.AF_UNIX)
client.connect("clients.sock")
began = time.monotonic()
client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
answer = b"".join(iter(lambda: client.recv(4096), b"")).decode()
took = time.monotonic() - began
asked = socket.create_connection(("127.0.0.1", int(sys.argv[1]))).recv(64).decode()
status = answer.rsplit("\r\n", 1)[1]
print(f"asked {asked} times, {'more than a second' if took > 1 else 'at most a second'}, status {status}")
PY
echo "asked 4 times, more than a second, status 504" > expected
python3 measure.py "$counter" | tee found
diff expected found >&2 || { echo "this has changed" >&2; exit 1; }
