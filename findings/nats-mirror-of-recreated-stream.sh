#!/usr/bin/env bash
# nats-server 2.12.2 and 2.15.3: a mirror of a stream that was deleted and made again.
#
# One would think that a mirror is a copy of its origin, or says that it can't be one. Where the origin is deleted and made again under
# its name, the mirror keeps its old messages and goes on behind them with the new stream's: it holds a mixture that was never in any
# stream, lacks the new stream's first messages, and reports neither an error nor a lag. A stream that has the same origin as a
# *source* did so too, until 2.12; in 2.15 it notices, and takes the new stream from its first message.
#
# Needs Go 1.26. Exits 0 as long as that is so, and 1 once it has changed. It takes a minute and a half.
set -euo pipefail
work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    chmod -R u+w "$work" && rm -rf "$work"
}
trap finish EXIT
cd "$work"

# Five old messages, both kinds of copies, then the origin anew with eight messages.
cat > main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return value
}

// All that a stream holds, once it has held the same for two seconds.
func held(ctx context.Context, js jetstream.JetStream, name string) (string, string) {
	var last uint64
	for since := time.Now(); time.Since(since) < 2*time.Second; time.Sleep(50 * time.Millisecond) {
		if now := must(must(js.Stream(ctx, name)).Info(ctx)).State.LastSeq; now != last {
			last, since = now, time.Now()
		}
	}
	stream := must(js.Stream(ctx, name))
	info := must(stream.Info(ctx))
	var all []string
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		if message, err := stream.GetMsg(ctx, seq); err == nil {
			all = append(all, string(message.Data))
		}
	}
	upstream := info.Mirror
	if upstream == nil {
		upstream = info.Sources[0]
	}
	trouble := "no error"
	if upstream.Error != nil {
		trouble = upstream.Error.Description
	}
	return strings.Join(all, " "), fmt.Sprintf("lag %d, %s", upstream.Lag, trouble)
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	js := must(jetstream.New(must(nats.Connect(os.Args[1]))))
	origin := jetstream.StreamConfig{Name: "ORIGIN", Subjects: []string{"records"}}
	publish := func(word string, count int) {
		for n := 1; n <= count; n++ {
			must(js.Publish(ctx, "records", fmt.Appendf(nil, "%s-%d", word, n)))
		}
	}
	must(js.CreateStream(ctx, origin))
	publish("old", 5)
	from := &jetstream.StreamSource{Name: "ORIGIN"}
	must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "MIRROR", Mirror: from}))
	must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "SOURCE", Sources: []*jetstream.StreamSource{from}}))
	held(ctx, js, "MIRROR")
	held(ctx, js, "SOURCE")
	if err := js.DeleteStream(ctx, "ORIGIN"); err != nil {
		must(0, err)
	}
	must(js.CreateStream(ctx, origin))
	publish("new", 8)
	// A mirror looks for its origin again every ten seconds.
	time.Sleep(25 * time.Second)
	for _, name := range []string{"MIRROR", "SOURCE"} {
		has, how := held(ctx, js, name)
		fmt.Printf("%s %s, %s\n", strings.ToLower(name), has, how)
	}
}
GO
export GOFLAGS=-buildvcs=false
go mod init finding >/dev/null 2>&1
go get github.com/nats-io/nats.go@v1.55.0 >/dev/null 2>&1
go build -o ask .

# What a server of that version makes of it.
seen() {
    GOBIN="$work/$1" go install "github.com/nats-io/nats-server/v2@$1" >/dev/null 2>&1
    printf 'listen: "127.0.0.1:-1"\nports_file_dir: "%s"\njetstream { store_dir: "%s/store" }\n' "$work/$1" "$work/$1" > "$1/conf"
    "$1/nats-server" --config "$1/conf" >/dev/null 2>&1 &
    server=$!
    until [ -s "$1/nats-server_$server.ports" ]; do sleep 0.1; done
    ./ask "$(grep -o 'nats://[0-9.:]*' "$1/nats-server_$server.ports" | head -n 1)" | sed "s/^/$1 /"
    kill "$server"
    wait "$server" || true
    server=
}

cat > expected <<'END'
v2.12.2 mirror old-1 old-2 old-3 old-4 old-5 new-6 new-7 new-8, lag 0, no error
v2.12.2 source old-1 old-2 old-3 old-4 old-5 new-6 new-7 new-8, lag 0, no error
v2.15.3 mirror old-1 old-2 old-3 old-4 old-5 new-6 new-7 new-8, lag 0, no error
v2.15.3 source old-1 old-2 old-3 old-4 old-5 new-1 new-2 new-3 new-4 new-5 new-6 new-7 new-8, lag 0, no error
END
for version in v2.12.2 v2.15.3; do seen "$version"; done | tee found
diff expected found >&2 || { echo "this has changed" >&2; exit 1; }
