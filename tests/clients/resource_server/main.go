// Asks about tokens with the resource server of github.com/zitadel/oidc, as its documentation shows.
//
//	resource_server ISSUER ID SECRET
//
// The standard input has a token a line, and each is answered with the introspection, one JSON object a line.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/zitadel/oidc/v3/pkg/client/rs"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

func main() {
	ctx := context.Background()
	server, err := rs.NewResourceServerClientCredentials(ctx, os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	tokens, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for tokens.Scan() {
		shown, err := rs.Introspect[*oidc.IntrospectionResponse](ctx, server, tokens.Text())
		if err != nil {
			log.Fatal(err)
		}
		if err := out.Encode(shown); err != nil {
			log.Fatal(err)
		}
	}
}
