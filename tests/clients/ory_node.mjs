// Drives npm's @ory/client or @ory/kratos-client, unmodified, and says what it called.
//
//   cd .tools/node && node ../../tests/clients/ory_node.mjs @ory/client|@ory/kratos-client < input.json
//
// Standard input and output: as ory_python.py has them. The routes are taken from the requests that were sent. All of the
// sessions are ended here.
import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";

// The clients are where this is run, not beside this file.
const require = createRequire(`${process.cwd()}/`);
const { Configuration, FrontendApi, IdentityApi } = require(process.argv[2]);
const input = JSON.parse(readFileSync(0, "utf8"));
const base = new URL(input.base_url).pathname.replace(/\/$/, "");

// In which identities of subjects that are no UUID are named.
const NAMESPACE = "6f5a1c1e-5f0e-5c0a-9d3b-2b6f0c9f7a11";
const LEEWAY_MS = 120_000;
const UNAUTHORIZED = "The request could not be authorized";
const NO_CREDENTIALS = "No valid session credentials found in the request.";
const NO_COOKIE = "No valid session cookie found.";
const NO_SUCH_TOKEN = "The provided Ory Session Token could not be found, is invalid, or otherwise malformed.";
const NOT_FOUND = "Unable to locate the resource";
const BAD_LENGTH = 'uuid: incorrect UUID length 7 in string "BADUUID"';
const PAGE_SIZE = 2;

// @ory/kratos-client takes the same secret as an API key, which it sends as it is: the scheme is the caller's to add.
const client = (Api, keys) => new Api(new Configuration({ basePath: input.base_url, ...keys }));
const frontend = client(FrontendApi);
const admin = client(IdentityApi, { accessToken: input.admin_token, apiKey: `Bearer ${input.admin_token}` });
const stranger = client(IdentityApi);

function expect(truth, what) {
  if (!truth) {
    console.error(`failed: ${what}`);
    process.exit(1);
  }
}

/** The path with its ids taken out. */
function routeOf(address) {
  const path = new URL(address).pathname.slice(base.length);
  return path.replace(/^(\/admin\/sessions\/|\/admin\/identities\/|\/sessions\/)(?!whoami$)[^/]+/, "$1{id}");
}

/** Calls by that name, expects that status, and gives the response, also where axios throws it. */
async function call(api, name, status, parameters) {
  const response = await api[name](parameters).catch((error) => error.response ?? Promise.reject(error));
  const found = response.status;
  expect(found === status, `${name} ${JSON.stringify(parameters)} must be answered ${status}, but was ${found}: ${JSON.stringify(response.data)}`);
  const { method, url } = response.config;
  console.log(JSON.stringify({ call: name, method: method.toUpperCase(), route: routeOf(url), status }));
  return response;
}

async function refused(api, name, status, parameters, message, reason) {
  const { error } = (await call(api, name, status, parameters)).data;
  expect(error.code === status, `${name}: code ${status} in ${JSON.stringify(error)}`);
  expect(error.message === message && error.reason === reason, `${name}: ${message}, ${reason} in ${JSON.stringify(error)}`);
}

function identityOf(subject) {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(subject)) return subject;
  const hash = createHash("sha1").update(Buffer.from(NAMESPACE.replaceAll("-", ""), "hex"));
  const bytes = hash.update(`${input.tenant}\0${subject}`).digest().subarray(0, 16);
  bytes[6] = (bytes[6] & 0x0f) | 0x50;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function assertSession(found, given, { active = true, expanded = true } = {}) {
  const at = (member) => new Date(found[member]).getTime();
  expect(found.id === given.id, `session ${given.id}, not ${found.id}`);
  expect(found.active === active, `session ${found.id} active ${active}, not ${found.active}`);
  expect(at("issued_at") <= Date.now() + LEEWAY_MS && at("authenticated_at") <= Date.now() + LEEWAY_MS, `${found.id} was issued in the past`);
  expect(at("expires_at") > at("issued_at"), `${found.id} expires after it was issued`);
  expect(/^aal[0-3]$/.test(found.authenticator_assurance_level), `${found.id} has an assurance level`);
  expect(Array.isArray(found.authentication_methods), `${found.id} has authentication methods`);
  expect(!JSON.stringify(found).includes(given.session_token), `${found.id} does not show its token`);
  if (!expanded) {
    expect(found.identity === null && found.devices.length === 0, `${found.id} is not expanded`);
    return;
  }
  const { identity, devices } = found;
  expect(identity.id === identityOf(given.subject), `${found.id} is of identity ${identityOf(given.subject)}, not ${identity.id}`);
  expect(identity.schema_id && identity.schema_url && identity.state === "active", `${identity.id} is active and has a schema`);
  if (given.traits) expect(isDeepStrictEqual(identity.traits, given.traits), `the traits of ${found.id} are as they were given`);
  for (const [member, value] of Object.entries(given.device ?? {})) {
    expect(devices[0][member] === value, `${member} of ${found.id}'s device is ${value}, not ${devices[0][member]}`);
  }
}

/** Every session of a list, by its Link headers, and the number in X-Total-Count of its first page. */
async function pages(api, name, parameters = {}) {
  const found = [];
  let pageToken, total;
  do {
    const { data, headers } = await call(api, name, 200, { ...parameters, pageSize: PAGE_SIZE, pageToken });
    expect(data.length <= PAGE_SIZE, `a page of ${name} has no more than was asked for`);
    if (pageToken === undefined) total = headers["x-total-count"] && Number(headers["x-total-count"]);
    found.push(...data);
    const next = /<([^>]*)>; *rel="next"/.exec(headers.link ?? "");
    // An empty list has a next page in Kratos, and so here.
    pageToken = next && data.length > 0 && new URL(next[1], input.base_url).searchParams.get("page_token");
  } while (pageToken);
  const times = found.map((session) => Date.parse(session.issued_at));
  expect(times.every((time, at) => at === 0 || time <= times[at - 1]), `${name} has the newest first`);
  expect(new Set(found.map((session) => session.id)).size === found.length, `${name} has each session once`);
  return { found, total };
}

const ids = (sessions) => sessions.map((session) => session.id).sort();
const holdsAll = (found, wanted) => ids(wanted).every((id) => ids(found).includes(id));

async function alive(session) {
  const { data } = await call(frontend, "toSession", 200, { xSessionToken: session.session_token });
  assertSession(data, session);
}

// Deleted with all that its identity had: the surface does not know it any more.
async function deleted(session) {
  await refused(frontend, "toSession", 401, { xSessionToken: session.session_token }, UNAUTHORIZED, NO_CREDENTIALS);
  await refused(admin, "getSession", 404, { id: session.id }, NOT_FOUND);
}

async function dead(session) {
  await refused(frontend, "toSession", 401, { xSessionToken: session.session_token }, UNAUTHORIZED, NO_CREDENTIALS);
  const { data } = await call(admin, "getSession", 200, { id: session.id });
  assertSession(data, session, { active: false, expanded: false });
}

async function whoami(current) {
  const cookie = `theme=dark; ory_kratos_session=${current.session_token}`;
  for (const credential of [{ xSessionToken: current.session_token }, { cookie }]) {
    const { data, headers } = await call(frontend, "toSession", 200, credential);
    assertSession(data, current);
    const named = headers["x-kratos-authenticated-identity-id"];
    expect(named === identityOf(current.subject), `the header names the identity, not ${named}`);
  }
  await refused(frontend, "toSession", 401, {}, UNAUTHORIZED, NO_CREDENTIALS);
  // The first credential that is there counts, good or not.
  await refused(frontend, "toSession", 401, { xSessionToken: "x".repeat(32), cookie }, UNAUTHORIZED, NO_CREDENTIALS);
}

async function ownSessions(current, others, foreign) {
  const xSessionToken = current.session_token;
  const { found, total } = await pages(frontend, "listMySessions", { xSessionToken });
  expect(isDeepStrictEqual(ids(found), ids(others)) && total === others.length, `all but the current one, not ${ids(found)} of ${total}`);
  await refused(frontend, "listMySessions", 401, {}, UNAUTHORIZED, NO_COOKIE);

  const disable = (id, status) => call(frontend, "disableMySession", status, { id, xSessionToken });
  await refused(frontend, "disableMySession", 401, { id: others[0].id }, UNAUTHORIZED, NO_COOKIE);
  await refused(frontend, "disableMySession", 400, { id: current.id, xSessionToken }, "cannot revoke current session");
  await refused(frontend, "disableMySession", 400, { id: "BADUUID", xSessionToken }, BAD_LENGTH);
  await disable(foreign.id, 204);
  await disable(randomUUID(), 204);
  await alive(foreign);
  await alive(current);
  await disable(others[0].id, 204);
  await dead(others[0]);
  await disable(others[0].id, 204);
}

async function logOut(leaving) {
  const body = (token) => ({ performNativeLogoutBody: { session_token: token } });
  await call(frontend, "performNativeLogout", 204, body(leaving.session_token));
  await dead(leaving);
  await call(frontend, "performNativeLogout", 204, body(leaving.session_token));
  await refused(frontend, "performNativeLogout", 403, body("x".repeat(32)), "The requested action was forbidden", NO_SUCH_TOKEN);
}

async function administer(sessions, ended, target) {
  const live = sessions.filter((session) => !ended.includes(session));
  const all = (await pages(admin, "listSessions")).found;
  expect(holdsAll(all, sessions), "the list has every session");
  expect(all.every(({ identity, devices }) => identity === null && devices === null), "a list is not expanded unasked");
  const active = (await pages(admin, "listSessions", { active: true, expand: ["identity", "devices"] })).found;
  expect(!ids(ended).some((id) => ids(active).includes(id)), "the list of the active has no ended one");
  for (const session of live) assertSession(active.find(({ id }) => id === session.id), session);

  const { id } = target;
  assertSession((await call(admin, "getSession", 200, { id })).data, target, { expanded: false });
  const before = (await call(admin, "getSession", 200, { id, expand: ["identity", "devices"] })).data;
  assertSession(before, target);
  const extended = (await call(admin, "extendSession", 200, { id })).data;
  expect(extended.active && Date.parse(extended.expires_at) >= Date.parse(before.expires_at), "extending takes nothing away");
  await call(admin, "disableSession", 204, { id });
  await dead(target);
  await call(admin, "disableSession", 204, { id });
  for (const name of ["getSession", "disableSession", "extendSession"]) {
    await refused(admin, name, 404, { id: randomUUID() }, NOT_FOUND);
  }
  await refused(admin, "disableSession", 400, { id: "BADUUID" }, BAD_LENGTH);
  await call(stranger, "listSessions", 401, {});
  await call(stranger, "disableSession", 401, { id: live[0].id });
  await alive(live[0]);
}

async function identities(owner, sessions) {
  const id = identityOf(owner.subject);
  const mine = sessions.filter((session) => session.subject === owner.subject);
  const { found, total } = await pages(admin, "listIdentitySessions", { id });
  expect(holdsAll(found, mine) && total === found.length, `all of the identity's, not ${ids(found)} of ${total}`);
  await call(admin, "deleteIdentitySessions", 204, { id });
  for (const session of mine) await deleted(session);
  expect((await pages(admin, "listIdentitySessions", { id })).found.length === 0, "none of them is listed");
  await refused(admin, "deleteIdentitySessions", 404, { id }, NOT_FOUND);
  await refused(admin, "deleteIdentitySessions", 404, { id: randomUUID() }, NOT_FOUND);
  expect((await pages(admin, "listIdentitySessions", { id: randomUUID() })).found.length === 0, "an unknown identity has no sessions");
}

const { sessions } = input;
const mine = sessions.filter((session) => session.subject === sessions[0].subject);
const theirs = sessions.filter((session) => !mine.includes(session));
expect(mine.length >= 6 && theirs.length >= 2, "sessions are given as the head of ory_python.py says");
const [current, ...others] = mine;

await whoami(current);
await ownSessions(current, others, theirs[0]);
await logOut(others[1]);
await administer(sessions, others.slice(0, 2), others[2]);
const remaining = others.slice(3);
const { data } = await call(frontend, "disableMyOtherSessions", 200, { xSessionToken: current.session_token });
expect(data.count === remaining.length, `${remaining.length} others were ended, not ${data.count}`);
await refused(frontend, "disableMyOtherSessions", 401, {}, UNAUTHORIZED, NO_COOKIE);
for (const session of remaining) await dead(session);
await alive(current);
await identities(theirs[0], sessions);
await identities(current, sessions);
