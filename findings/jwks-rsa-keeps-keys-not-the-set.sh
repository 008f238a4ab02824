#!/usr/bin/env bash
# jwks-rsa 4.1.0 (npm): which keys of a published set are in its cache.
#
# Its README says that signing keys are cached, and one would think that a client which has fetched a set with two keys knows both, so
# that a key which is published ahead of its first signature needs no further request. The cache is by `kid`: each key that is asked for
# fetches the whole set once more, though the set that it has just read held the key. jose 6.2.18, beside it, keeps the set, and fetches
# once. So a key that was published ahead is not in jwks-rsa's cache when it begins to sign: the issuer's server must be reachable then, or
# good tokens are refused.
#
# Needs node 18 and npm. Exits 0 as long as that is so, and 1 once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --prefix "$work" jwks-rsa@4.1.0 jose@6.2.18 >/dev/null || exit 2
cat > count.mjs <<'JS'
import { createServer } from "node:http";
import { generateKeyPairSync } from "node:crypto";
import { createRequire } from "node:module";
const require = createRequire(`${process.cwd()}/`);
const jwksRsa = require("jwks-rsa");
const { createRemoteJWKSet } = await import(require.resolve("jose"));

const keys = ["signs", "next"].map((kid) => {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { ...publicKey.export({ format: "jwk" }), kid, alg: "ES256", use: "sig" };
});
let fetched = 0;
const server = createServer((_, answer) => {
  fetched += 1;
  answer.setHeader("content-type", "application/json");
  answer.end(JSON.stringify({ keys }));
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const address = `http://127.0.0.1:${server.address().port}/jwks.json`;
const requests = async (ask) => {
  const counts = [];
  for (const { kid } of keys) {
    await ask(kid);
    counts.push(fetched);
  }
  fetched = 0;
  return counts.join(", ");
};
const client = jwksRsa({ jwksUri: address, cache: true });
const first = await requests((kid) => client.getSigningKey(kid));
const set = createRemoteJWKSet(new URL(address));
const second = await requests((kid) => set({ kid, alg: "ES256" }));
server.close();
console.log(`requests after each of two keys of one set: jwks-rsa ${first}; jose ${second}`);
process.exit(first === "1, 2" && second === "1, 1" ? 0 : 1);
JS
node count.mjs
