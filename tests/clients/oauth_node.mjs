// Asks, revokes and gets tokens as OAuth clients of npm do it, as their documentation shows.
//
//   cd .tools/node && node ../../tests/clients/oauth_node.mjs openid-client|oauth4webapi|@ory/hydra-client
//
// The standard input has one JSON object: the issuer, a client with a secret, one with a key, root with its secret, and a token
// for each way to authenticate. Each call that was answered as it should be is a line of the standard output.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const require = createRequire(`${process.cwd()}/`);
const library = process.argv[2];
const input = JSON.parse(await text(process.stdin));
const issuer = new URL(input.issuer);

const privateKey = async () => {
  const der = Buffer.from(input.keyed.pkcs8, "base64");
  const key = await crypto.subtle.importKey("pkcs8", der, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
  return { key, kid: input.keyed.kid };
};

const done = (call) => console.log(JSON.stringify({ call }));

function isActive(answer, method) {
  assert.equal(answer.active, true, `${method}: active`);
  assert.equal(answer.sub, input.subject);
  assert.deepEqual(answer.aud, ["api"]);
  assert.equal(answer.scope, "read write");
  assert.equal(answer.token_type, "Bearer");
  assert.ok(answer.exp > answer.iat);
}

// Each way to authenticate, with the client that does so.
const ways = async ({ ClientSecretBasic, ClientSecretPost, PrivateKeyJwt }) => [
  ["client_secret_basic", input.client.id, ClientSecretBasic(input.client.secret)],
  ["client_secret_post", input.client.id, ClientSecretPost(input.client.secret)],
  ["private_key_jwt", input.keyed.id, PrivateKeyJwt(await privateKey())],
  ["client_secret_basic, every character", "root", ClientSecretBasic(input.root)],
];

const libraries = {
  async "openid-client"() {
    const client = await import(require.resolve("openid-client"));
    const execute = [client.allowInsecureRequests];
    for (const [method, id, authentication] of await ways(client)) {
      const token = input.tokens.shift();
      const config = await client.discovery(issuer, id, {}, authentication, { execute, algorithm: "oauth2" });
      done(`${method}: discovery`);
      isActive(await client.tokenIntrospection(config, token), method);
      done(`${method}: introspection`);
      // Signed, by the algorithm that this client registers.
      const metadata = { introspection_signed_response_alg: input.algorithm };
      const signed = await client.discovery(issuer, id, metadata, authentication, { execute, algorithm: "oauth2" });
      client.enableNonRepudiationChecks(signed);
      isActive(await client.tokenIntrospection(signed, token), method);
      done(`${method}: signed introspection`);
      if (id !== "root") {
        const granted = await client.clientCredentialsGrant(config, { scope: "introspect" });
        assert.equal(granted.token_type, "bearer");
        // Tokens expire at whole seconds.
          assert.ok([3599, 3600].includes(granted.expires_in));
        done(`${method}: client credentials`);
      }
      await client.tokenRevocation(config, token);
      await client.tokenRevocation(config, token);
      done(`${method}: revocation`);
      for (const asked of [config, signed]) {
        assert.deepEqual(await client.tokenIntrospection(asked, token), { active: false });
      }
      done(`${method}: introspection of a revoked token`);
    }
    const wrong = await client.discovery(issuer, input.client.id, {}, client.ClientSecretBasic("wrong"), { execute, algorithm: "oauth2" });
    await assert.rejects(client.tokenIntrospection(wrong, "t"), (error) => error.error === "invalid_client" || error.status === 401);
    done("a wrong secret is an error that the client understands");
  },
  async oauth4webapi() {
    const oauth = await import(require.resolve("oauth4webapi"));
    const insecure = { [oauth.allowInsecureRequests]: true };
    const found = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
    const server = await oauth.processDiscoveryResponse(issuer, found);
    const resource = await oauth.resourceDiscoveryRequest(issuer, insecure);
    assert.deepEqual((await oauth.processResourceDiscoveryResponse(issuer, resource)).authorization_servers, [input.issuer]);
    done("discovery");
    for (const [method, client_id, authentication] of await ways(oauth)) {
      const token = input.tokens.shift();
      const ask = async (client, options = {}) => {
        const answer = await oauth.introspectionRequest(server, client, authentication, token, { ...insecure, ...options });
        const shown = await oauth.processIntrospectionResponse(server, client, answer);
        if (options.requestJwtResponse) await oauth.validateApplicationLevelSignature(server, answer, insecure);
        return shown;
      };
      isActive(await ask({ client_id }), method);
      done(`${method}: introspection`);
      // Without an algorithm of the client's the server's metadata count.
      for (const client of [{ client_id }, { client_id, introspection_signed_response_alg: input.algorithm }]) {
        isActive(await ask(client, { requestJwtResponse: true }), method);
      }
      done(`${method}: signed introspection`);
      const revoked = await oauth.revocationRequest(server, { client_id }, authentication, token, insecure);
      await oauth.processRevocationResponse(revoked);
      done(`${method}: revocation`);
      assert.deepEqual(await ask({ client_id }), { active: false });
      assert.deepEqual(await ask({ client_id }, { requestJwtResponse: true }), { active: false });
      done(`${method}: introspection of a revoked token`);
    }
    const client = { client_id: input.client.id };
    const refused = await oauth.introspectionRequest(server, client, oauth.ClientSecretBasic("wrong"), "t", insecure);
    await assert.rejects(oauth.processIntrospectionResponse(server, client, refused), (error) => error.status === 401);
    done("a wrong secret is an error that the client understands");
  },
  async "@ory/hydra-client"() {
    const { Configuration, OAuth2Api } = require("@ory/hydra-client");
    const headers = { Authorization: `Bearer ${input.client.secret}` };
    const api = new OAuth2Api(new Configuration({ basePath: input.issuer, baseOptions: { headers } }));
    const token = input.tokens.shift();
    const { data } = await api.introspectOAuth2Token({ token });
    isActive(data, "hydra");
    assert.equal(data.token_use, "access_token");
    done("introspection");
    assert.equal((await api.introspectOAuth2Token({ token, scope: "read" })).data.active, true);
    assert.equal((await api.introspectOAuth2Token({ token, scope: "admin" })).data.active, false);
    done("introspection with a scope");
    const own = new Configuration({ basePath: input.issuer, username: input.client.id, password: input.client.secret });
    await new OAuth2Api(own).revokeOAuth2Token({ token });
    done("revocation");
    assert.deepEqual((await api.introspectOAuth2Token({ token })).data, { active: false });
    done("introspection of a revoked token");
  },
};

await libraries[library]();
