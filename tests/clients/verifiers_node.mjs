// Verifies tokens with a library of npm, as its documentation shows, and with its own cache of the keys.
//
//   cd .tools/node && node ../../tests/clients/verifiers_node.mjs jose|jsonwebtoken|express-oauth2-jwt-bearer
//
// The standard input has a JSON object a line, and each is answered with one: {"issuer": …, "audience": …} makes a new
// verifier, which may fetch what it wants, and {"token": …} asks it.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// The libraries are where this is run, not beside this file.
const require = createRequire(`${process.cwd()}/`);
const library = process.argv[2];

const makers = {
  jose({ issuer, audience }) {
    const { createRemoteJWKSet, jwtVerify } = require("jose");
    const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
    return (token) => jwtVerify(token, keys, { issuer, audience });
  },
  jsonwebtoken({ issuer, audience }) {
    const { verify } = require("jsonwebtoken");
    const client = require("jwks-rsa")({ jwksUri: `${issuer}/.well-known/jwks.json` });
    const key = ({ kid }, done) =>
      client.getSigningKey(kid).then((key) => done(null, key.getPublicKey()), (error) => done(error));
    return (token) =>
      new Promise((resolve, reject) => {
        const options = { issuer, audience, algorithms: ["ES256", "RS256"] };
        verify(token, key, options, (error, claims) => (error ? reject(error) : resolve(claims)));
      });
  },
  "express-oauth2-jwt-bearer"({ issuer, audience }) {
    const middleware = require("express-oauth2-jwt-bearer").auth({ issuerBaseURL: issuer, audience });
    return (token) =>
      new Promise((resolve, reject) => {
        // What Express hands to its handlers, as far as this one looks.
        const headers = { host: "api.example", authorization: `Bearer ${token}` };
        const get = (name) => headers[name.toLowerCase()];
        const request = { headers, get, protocol: "https", method: "GET", originalUrl: "/", query: {}, is: () => false };
        middleware(request, {}, (error) => (error ? reject(error) : resolve(request.auth)));
      });
  },
};

let verifier;
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  let answer = { accepted: true, why: "" };
  try {
    if (asked.token) await verifier(asked.token);
    else verifier = makers[library](asked);
  } catch (error) {
    answer = { accepted: false, why: String(error) };
  }
  console.log(JSON.stringify(answer));
}
