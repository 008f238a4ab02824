// A verifier of JavaScript: jose checks signatures, @sd-jwt/jwt-status-list reads the list. Input: {issuer, tokens: [{token, revoked}]}.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// The libraries are where this is run, not beside this file.
const require = createRequire(`${process.cwd()}/`);
const { createRemoteJWKSet, jwtVerify } = require("jose");
const { getListFromStatusListJWT, getStatusListFromJWT } = require("@sd-jwt/jwt-status-list");

const { issuer, tokens } = JSON.parse(readFileSync(0, "utf8"));
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
const lists = new Map();
let read = 0;
for (const { token, revoked } of tokens) {
  await jwtVerify(token, keys, { issuer, typ: "JWT" });
  const { idx, uri } = getStatusListFromJWT(token);
  if (!lists.has(uri)) {
    const answer = await fetch(uri, { headers: { accept: "application/statuslist+jwt" } });
    if (answer.status !== 200 || answer.headers.get("content-type") !== "application/statuslist+jwt") {
      throw new Error(`${answer.status} ${answer.headers.get("content-type")}`);
    }
    const list = await answer.text();
    const { payload } = await jwtVerify(list, keys, { issuer, typ: "statuslist+jwt", subject: uri });
    if (!(payload.ttl > 0)) throw new Error("no ttl");
    lists.set(uri, getListFromStatusListJWT(list));
  }
  const status = lists.get(uri).getStatus(idx);
  if (status !== (revoked ? 1 : 0)) throw new Error(`entry ${idx} of ${uri} is ${status}, and the token's revocation is ${revoked}`);
  read += 1;
}
const [uri] = lists.keys();
const all = await (await fetch(`${issuer}/status-lists`)).json();
if (!all.status_lists.includes(uri)) throw new Error(`the aggregation lacks ${uri}`);
try {
  lists.get(uri).getStatus(lists.get(uri).statusList.length);
  throw new Error("an entry beyond the list is read");
} catch (error) {
  if (!/out of bounds|range/i.test(error.message)) throw error;
}
console.log(JSON.stringify({ library: "@sd-jwt/jwt-status-list", read }));
