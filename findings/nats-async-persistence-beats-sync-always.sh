#!/usr/bin/env bash
# nats-server 2.12.2 and 2.15.3: a stream's `persist_mode: async` beats the server's `sync_interval: always`.
#
# One would think that an operator who configures `sync_interval: always` knows what each acknowledgement of the server means. Whoever makes a
# stream switches that off for it, without a word in the server's log: acknowledged messages are lost when the process is killed,
# which needs no power cut. The update of a stream can't switch it back.
#
# Needs Go 1.26. Exits 0 as long as that is so, and 1 once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"

# Publishes message after message, each acknowledged, kills the server at once by SIGKILL, starts it again and counts what is missing.
cat > main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	rounds   = 10
	messages = 300
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return value
}

func start(at string) (*exec.Cmd, jetstream.JetStream) {
	conf := fmt.Sprintf("listen: \"127.0.0.1:-1\"\nports_file_dir: %q\njetstream { store_dir: %q, sync_interval: always }\n", at, at+"/store")
	if err := os.WriteFile(at+"/conf", []byte(conf), 0o600); err != nil {
		must(0, err)
	}
	server := exec.Command(os.Args[1], "--config", at+"/conf")
	if err := server.Start(); err != nil {
		must(0, err)
	}
	address := regexp.MustCompile(`nats://[0-9.:]+`)
	ports := filepath.Join(at, fmt.Sprintf("nats-server_%d.ports", server.Process.Pid))
	for since := time.Now(); time.Since(since) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
		if text, err := os.ReadFile(ports); err == nil && address.Match(text) {
			return server, must(jetstream.New(must(nats.Connect(string(address.Find(text)), nats.NoReconnect()))))
		}
	}
	panic("the server does not listen")
}

func kill(server *exec.Cmd) {
	_ = server.Process.Kill()
	_ = server.Wait()
}

// How many acknowledged messages are missing after all rounds.
func lost(mode jetstream.PersistModeType) (missing uint64) {
	ctx := context.Background()
	for range rounds {
		at := must(os.MkdirTemp("", "finding"))
		server, js := start(at)
		must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, PersistMode: mode}))
		for n := range messages {
			must(js.Publish(ctx, "s", fmt.Appendf(nil, "%d", n)))
		}
		kill(server)
		server, js = start(at)
		missing += messages - must(must(js.Stream(ctx, "S")).Info(ctx)).State.Msgs
		kill(server)
		_ = os.RemoveAll(at)
	}
	return missing
}

func loses(mode jetstream.PersistModeType) string {
	missing := lost(mode)
	fmt.Fprintf(os.Stderr, "  %v: %d of %d acknowledged messages are lost\n", mode, missing, rounds*messages)
	if missing > 0 {
		return "loses acknowledged messages"
	}
	return "loses none"
}

func main() {
	fmt.Println("default", loses(jetstream.DefaultPersistMode))
	fmt.Println("async", loses(jetstream.AsyncPersistMode))
}
GO
export GOFLAGS=-buildvcs=false
go mod init finding >/dev/null 2>&1
go get github.com/nats-io/nats.go@v1.55.0 >/dev/null 2>&1
go build -o ask .

cat > expected <<'END'
v2.12.2 default loses none
v2.12.2 async loses acknowledged messages
v2.15.3 default loses none
v2.15.3 async loses acknowledged messages
END
for version in v2.12.2 v2.15.3; do
    GOBIN="$work/$version" go install "github.com/nats-io/nats-server/v2@$version" >/dev/null 2>&1
    ./ask "$version/nats-server" | sed "s/^/$version /"
done | tee found
diff expected found >&2 || { echo "this has changed" >&2; exit 1; }
