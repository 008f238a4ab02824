// Drives npm's @slashid/slashid, unmodified, and says what it called.
//
//   cd .tools/node && node ../../tests/clients/slashid_node.mjs < input.json
//
// Standard input: {base_url, token, container, origin?}: two live JWTs of one issuer whose `oid` is a tenant of it; `container`
// is a token container, the other is not. Both are ended here. With `origin`, a browser's preflight is sent too.
// Standard output: one JSON line a call: {call, method, route, status}. Exit 1 with the reason if anything is not as it should be.
//
// What the library needs outside a browser: `User` builds a SlashID, which wants `window` and `localStorage`; `SSR.User`, which
// is its base class and has the calls, wants `fetch` alone, and Node has that from 18 on. The address is the option `baseURL`,
// which goes before each path as it is; `environment` must not be given with it. logout() swallows whatever the server answers,
// so fetch is watched here, and passes everything on as it came.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";

// The library is where this is run, not beside this file.
const require = createRequire(`${process.cwd()}/`);
const input = JSON.parse(readFileSync(0, "utf8"));
const base = new URL(input.base_url).pathname.replace(/\/$/, "");
const calls = [];

const send = globalThis.fetch;
globalThis.fetch = async (address, options) => {
  const response = await send(address, options);
  const route = new URL(address).pathname.slice(base.length);
  calls.push({ method: options.method, route, status: response.status, headers: new Headers(options.headers), body: options.body });
  return response;
};
const { SSR } = require("@slashid/slashid");

function expect(truth, what) {
  if (!truth) {
    console.error(`failed: ${what}`);
    process.exit(1);
  }
}

/** The one request that the library made since the last call. */
function called(call, { route, status, token }) {
  expect(calls.length === 1, `${call} makes one request, not ${calls.length}`);
  const [made] = calls.splice(0);
  expect(made.method === "POST" && made.route === route, `${call} is POST ${route}, not ${made.method} ${made.route}`);
  expect(made.status === status, `${call} must be answered ${status}, but was ${made.status}`);
  // The contract relies on it: who holds the token may end it, and no key is sent.
  expect(made.headers.get("authorization") === `Bearer ${token}`, `${call} bears the token itself`);
  expect(!made.headers.has("slashid-api-key") && made.headers.has("slashid-sdkversion"), `${call} names its version, and sends no key`);
  expect(isDeepStrictEqual(JSON.parse(made.body), { token }), `${call} sends the token alone`);
  console.log(JSON.stringify({ call, method: made.method, route, status }));
}

const user = (token) => new SSR.User(token, { baseURL: input.base_url });
const validate = { route: "/token/validate", status: 200 };
const revoke = { route: "/token/revoke" };

async function validates(token, sent) {
  const result = await user(token).validateToken();
  called("validateToken", { ...validate, token: sent });
  return result;
}

async function assertLive(token, sent) {
  const before = Date.now();
  const { valid, expires_in_seconds: seconds, expires_at: at } = await validates(token, sent);
  expect(valid === true, "the token is valid");
  expect(Number.isInteger(seconds) && seconds > 0, `expires_in_seconds is a whole number, not ${seconds}`);
  const drift = Math.abs(new Date(at).getTime() - before - seconds * 1000);
  expect(drift < 60_000, `expires_at ${at} agrees with expires_in_seconds ${seconds}`);
}

async function assertRevoked(token, sent) {
  const result = await validates(token, sent);
  expect(result.valid === false && result.invalidity_reason === "revoked", `revoked, not ${JSON.stringify(result)}`);
}

async function logOut(token, sent, status) {
  const leaving = user(token);
  await leaving.logout();
  called("logout", { ...revoke, status, token: sent });
  expect(leaving.token === "", "the library has forgotten the token");
}

async function preflight(origin) {
  const wanted = "authorization,content-type,slashid-sdkversion";
  const headers = { origin, "access-control-request-method": "POST", "access-control-request-headers": wanted };
  const response = await send(`${input.base_url}/token/revoke`, { method: "OPTIONS", headers });
  const allowed = (name) => (response.headers.get(`access-control-allow-${name}`) ?? "").toLowerCase();
  expect(response.ok, `the preflight is answered with success, not ${response.status}`);
  expect(allowed("origin") === origin.toLowerCase(), `the preflight allows ${origin}`);
  for (const header of wanted.split(",")) expect(allowed("headers").includes(header), `the preflight allows ${header}`);
  expect(allowed("credentials") === "", "no credentials are asked for");
  console.log(JSON.stringify({ call: "preflight", method: "OPTIONS", route: "/token/revoke", status: response.status }));
}

if (input.origin) await preflight(input.origin);

await assertLive(input.token, input.token);
expect(await user(input.token).isAuthenticated(), "its person is authenticated");
called("isAuthenticated", { ...validate, token: input.token });
await logOut(input.token, input.token, 204);
await assertRevoked(input.token, input.token);
// A token that is revoked already is 400, which the library takes for success.
await logOut(input.token, input.token, 400);

const inner = JSON.parse(Buffer.from(input.container.split(".")[1], "base64url")).user_token;
await assertLive(input.container, inner);
await logOut(input.container, inner, 204);
await assertRevoked(inner, inner);
