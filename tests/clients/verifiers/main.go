// Verifies tokens with a library of Go, as its documentation shows, and with its own cache of the keys.
//
// The argument names the library. The standard input has a JSON object a line, and each is answered with one:
// {"issuer": …} makes a new verifier, which may fetch what it wants, and {"token": …} asks it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

type asked struct {
	Issuer, Audience, Token string
}

type answered struct {
	Accepted bool   `json:"accepted"`
	Why      string `json:"why"`
}

type verify = func(ctx context.Context, token string) error

var libraries = map[string]func(ctx context.Context, issuer, audience string) (verify, error){
	"go-oidc": func(ctx context.Context, issuer, audience string) (verify, error) {
		provider, err := oidc.NewProvider(ctx, issuer)
		if err != nil {
			return nil, err
		}
		verifier := provider.Verifier(&oidc.Config{ClientID: audience})
		return func(ctx context.Context, token string) error {
			_, err := verifier.Verify(ctx, token)
			return err
		}, nil
	},
	"jwx": func(ctx context.Context, issuer, audience string) (verify, error) {
		cache, err := jwk.NewCache(ctx, httprc.NewClient())
		if err != nil {
			return nil, err
		}
		at := issuer + "/.well-known/jwks.json"
		if err := cache.Register(ctx, at); err != nil {
			return nil, err
		}
		keys, err := cache.CachedSet(at)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, token string) error {
			_, err := jwt.Parse([]byte(token), jwt.WithKeySet(keys), jwt.WithIssuer(issuer), jwt.WithAudience(audience))
			return err
		}, nil
	},
}

func main() {
	ctx := context.Background()
	library := libraries[os.Args[1]]
	var current verify
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one asked
		err := json.Unmarshal(lines.Bytes(), &one)
		switch {
		case err != nil:
		case one.Issuer != "":
			current, err = library(ctx, one.Issuer, one.Audience)
		default:
			err = current(ctx, one.Token)
		}
		answer := answered{Accepted: err == nil}
		if err != nil {
			answer.Why = err.Error()
		}
		text, _ := json.Marshal(answer)
		fmt.Println(string(text))
	}
}
