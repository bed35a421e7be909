// OpenFeature's web SDK with its OFREP provider, polling a server.
//
//   node ofrep_web.mjs FOLDER URL TOKEN FLAG < contexts
//
// FOLDER is where the packages are installed. Each line read is an evaluation context as JSON; the
// provider begins with the first one. Each line written is what happened: {"polled": …} an answer of
// the server, {"value": …} the flag after a context was set, {"refused": …} why it could not be, and
// {"changed": …} the flag after a poll that changed something.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, baseUrl, token, flag] = process.argv.slice(2);
const require = createRequire(`${folder}/package.json`);
const { OpenFeature, ProviderEvents } = require("@openfeature/web-sdk");
const { OFREPWebProvider } = require("@openfeature/ofrep-web-provider");

const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

async function watched(request, options) {
  const answer = await fetch(request, options);
  const known = request.headers.get("If-None-Match");
  tell({ polled: { status: answer.status, known, tag: answer.headers.get("ETag") } });
  return answer;
}

const client = OpenFeature.getClient();

function details() {
  const { value, reason, variant, flagMetadata, errorCode } = client.getNumberDetails(flag, -1);
  return { value, reason, variant, version: flagMetadata.version, errorCode };
}

// One that could not be initialised stays so: each attempt has its own.
const provider = () =>
  new OFREPWebProvider({
    baseUrl,
    headers: [["Authorization", `Bearer ${token}`]],
    pollInterval: 50,
    cacheMode: "disabled",
    fetchImplementation: watched,
  });

client.addHandler(ProviderEvents.ConfigurationChanged, ({ flagsChanged }) =>
  tell({ changed: { flags: flagsChanged, ...details() } }),
);

let started = false;

async function setContext(context) {
  await OpenFeature.setContext(context);
  if (!started) await OpenFeature.setProviderAndWait(provider());
  started = true;
}

for await (const line of createInterface({ input: process.stdin })) {
  await setContext(JSON.parse(line)).then(
    () => tell({ value: details() }),
    (error) => tell({ refused: error.message }),
  );
}
await OpenFeature.close();
