// Presents tokens with DPoP proofs of npm's oauth4webapi, as its documentation shows.
//
//   cd .tools/node && node ../../tests/clients/dpop_node.mjs ES256|RS256
//
// First it prints a line {"jkt": …}, the thumbprint of its key. Then the standard input has a JSON object a line,
// {"token": …, "method": …, "uri": …}, and each is answered with the headers that the client would send.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// The library is where this is run, not beside this file.
const library = `${process.cwd()}/node_modules/oauth4webapi/build/index.js`;
const oauth = await import(pathToFileURL(library));

const DPoP = oauth.DPoP({ client_id: "a" }, await oauth.generateKeyPair(process.argv[2]));
console.log(JSON.stringify({ jkt: await DPoP.calculateThumbprint() }));
for await (const line of createInterface({ input: process.stdin })) {
  const { token, method, uri } = JSON.parse(line);
  let sent;
  await oauth.protectedResourceRequest(token, method, new URL(uri), undefined, undefined, {
    DPoP,
    [oauth.allowInsecureRequests]: true,
    [oauth.customFetch]: (_, { headers }) => {
      sent = Object.fromEntries(new Headers(headers));
      return new Response();
    },
  });
  console.log(JSON.stringify({ authorization: sent.authorization, dpop: sent.dpop }));
}
