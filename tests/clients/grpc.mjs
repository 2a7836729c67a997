// gRPC's official Node library against a gateway: what it made of everything, as JSON. `node grpc.mjs SCENE …`.
import fs from "node:fs";
import path from "node:path";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const { BASE_URL: TARGET, API_KEY } = process.env;
const [, , scene, ...given] = process.argv;
const OPTIONS = { keepCase: true, longs: Number, enums: String, oneofs: true };
const PROTO = path.join(import.meta.dirname, "../../proto");
const { clawdbot } = grpc.loadPackageDefinition(
  loader.loadSync("clawdbot/v1/chat.proto", { ...OPTIONS, includeDirs: [PROTO] }),
);
const PLAIN = grpc.credentials.createInsecure();
const open = (more = {}) =>
  new clawdbot.v1.ChatService(TARGET, PLAIN, { "grpc.use_local_subchannel_pool": 1, ...more });
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

function credentials(key = API_KEY, language = "en") {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${key}`);
  metadata.set("accept-language", language);
  return metadata;
}

const told = (error) => [grpc.status[error.code], error.metadata.get("clawdbot-code")[0] ?? null];

/** [the answer or null, the error or null, trailing metadata] */
function chat(client, request = { message: "Hi" }, { key, ...options } = {}) {
  return new Promise((resolve) => {
    let answer = null, error = null;
    const call = client.Chat(request, credentials(key), options, (failed, said) => { error = failed; answer = said; });
    call.on("status", (status) => resolve([answer, error, status.metadata.getMap()]));
  });
}

/** Everything a call says, in order, then its status; `each` hears it as it comes. */
async function heard(call, each = () => {}) {
  const said = [];
  const status = new Promise((resolve) => call.on("status", resolve));
  const error = new Promise((resolve) => call.on("error", resolve).on("end", () => resolve(null)));
  call.on("data", (message) => { said.push(message); each(message); });
  return { said, error: await error, status: await status };
}

const kinds = (said) => said.map((event) => event.kind);
const text = (said) => said.map((event) => event.delta?.content ?? "").join("");

async function answered() {
  const client = open();
  const [whole, , trailing] = await chat(client);
  const stream = client.StreamChat({ message: "Hi" }, credentials());
  let begun = null;
  stream.on("metadata", (metadata) => { begun = metadata.getMap(); });
  const { said, status } = await heard(stream);
  const done = said.at(-1).done;
  return {
    whole: [whole.message.content, whole.usage.total_tokens, whole.id === trailing["x-clawdbot-decision"]],
    kinds: [...new Set(kinds(said))], text: text(said), done: done.message.content, status: grpc.status[status.code],
    begun: begun["x-clawdbot-decision"] === said[0].start.id,
  };
}

/** Two turns side by side; the first is cancelled once both are under way, then the client half-closes. */
async function conversation() {
  const call = open().Converse(credentials());
  const deltas = new Set();
  const over = heard(call, (frame) => {
    if (frame.kind === "delta" && !deltas.has(frame.ref)) {
      deltas.add(frame.ref);
      if (deltas.size === 2) call.write({ ref: "a", cancel: {} });
    }
    if (frame.kind === "error") call.write({ ref: "p", ping: {} });
    if (frame.kind === "pong") call.end();
  });
  for (const ref of ["a", "b"]) call.write({ ref, chat: { message: `I am ${ref}` } });
  const { said, status } = await over;
  const of = (ref) => said.filter((frame) => frame.ref === ref);
  return {
    a: [...new Set(kinds(of("a")))], code: of("a").at(-1).error?.code,
    b: [...new Set(kinds(of("b")))], text: text(of("b")), status: grpc.status[status.code],
  };
}

async function refused() {
  const client = open();
  const errors = {};
  for (const [name, request, options] of [
    ["stranger", { message: "Hi" }, { key: "cb_wrong" }],
    ["wrong", { message: "Hi", temperature: 9 }, {}],
  ]) {
    const [, error] = await chat(client, request, options);
    errors[name] = [...told(error), error.metadata.get("clawdbot-param")[0] ?? null, error.metadata.get("retryable")[0]];
  }
  const { error } = await heard(client.StreamChat({ message: "Hi" }, credentials("cb_wrong")));
  errors.stream = told(error);
  errors.chinese = (await heard(client.StreamChat({ message: "Hi" }, credentials("cb_wrong", "zh-CN")))).error.details;
  return errors;
}

/** Of a turn that does not end by itself. */
async function deadline() {
  const client = open(), begun = Date.now();
  const [, whole] = await chat(client, undefined, { deadline: Date.now() + 1500 });
  const stream = await heard(client.StreamChat({ message: "Hi" }, credentials(), { deadline: Date.now() + 1500 }));
  return { codes: [told(whole)[0], told(stream.error)[0]], said: kinds(stream.said), seconds: (Date.now() - begun) / 1000 };
}

/** Of a turn that does not end by itself. The channel serves on. */
async function cancelled() {
  const client = open();
  const call = client.StreamChat({ message: "Hi" }, credentials());
  const { said, error } = await heard(call, (event) => event.kind === "delta" && call.cancel());
  const waiting = client.Chat({ message: "Hi" }, credentials(), () => {});
  const left = new Promise((resolve) => waiting.on("status", (status) => resolve(grpc.status[status.code])));
  await pause(1);
  waiting.cancel();
  const [, after] = await chat(client, { message: "Hi", temperature: 9 });
  return { codes: [told(error)[0], await left], said: kinds(said), after: told(after)[1] };
}

async function compressed() {
  const codes = [];
  for (const algorithm of [grpc.compressionAlgorithms.gzip, grpc.compressionAlgorithms.deflate]) {
    const client = open({ "grpc.default_compression_algorithm": algorithm });
    const [whole] = await chat(client, { message: "Please repeat. ".repeat(2000) });
    const call = client.Converse(credentials());
    const over = heard(call, (frame) => frame.kind === "done" && call.end());
    call.write({ ref: "a", chat: { message: "Please repeat. ".repeat(200) } });
    codes.push([whole.message.content, text((await over).said)]);
  }
  return codes;
}

/** Pings each 100 ms, with no call and beside one, for far more than grpc's own servers forgive. */
async function pinged() {
  const client = open({
    "grpc.keepalive_time_ms": 100, "grpc.keepalive_timeout_ms": 5000, "grpc.keepalive_permit_without_calls": 1,
  });
  const ends = [];
  for (let round = 0; round < 3; round++) {
    ends.push((await heard(client.StreamChat({ message: "Hi" }, credentials()))).status.code);
    await pause(1);
  }
  return { ends, state: grpc.connectivityState[client.getChannel().getConnectivityState(false)] };
}

/** A mebibyte to the model, and one back, whole and as a stream; the reader of the stream pauses in between. */
async function large() {
  const client = open();
  const message = "0123456789abcdef".repeat(65_536);
  const [whole, failed] = await chat(client, { message });
  if (failed) throw failed;
  const call = client.StreamChat({ message }, credentials());
  let paused = 0;
  const { said, status } = await heard(call, (event) => {
    if (event.kind === "delta" && !paused++) {
      call.pause();
      setTimeout(() => call.resume(), 500);
    }
  });
  return {
    whole: whole.message.content.length, stream: text(said).length, done: said.at(-1).done.message.content.length,
    status: grpc.status[status.code],
  };
}

/** So many calls at once on one channel, half of them streams, twice. */
async function many(amount = "100") {
  const client = open();
  const texts = {};
  for (let round = 0; round < 2; round++) {
    const calls = Array.from({ length: Number(amount) }, async (_, number) => {
      if (number % 2) return (await chat(client))[0]?.message.content;
      return text((await heard(client.StreamChat({ message: "Hi" }, credentials()))).said);
    });
    for (const said of await Promise.all(calls)) texts[said] = (texts[said] ?? 0) + 1;
  }
  return texts;
}

/** What is refused before all of it has come: by its size for the caller, for the transport, and by its sender's key. */
async function tooMuch() {
  const client = open(), codes = [];
  for (const [mebibytes, key] of [[3, API_KEY], [22, API_KEY], [3, "cb_wrong"]]) {
    const [, error] = await chat(client, { message: "x".repeat(mebibytes << 20) }, { key });
    codes.push(told(error));
    codes.push((await chat(client))[0]?.message.content);
  }
  const call = client.Converse(credentials());
  const over = heard(call);
  call.write({ ref: "a", chat: { message: "x".repeat(22 << 20) } });
  codes.push(told((await over).error));
  return codes;
}

/** Calls one after the other and side by side, for seconds in which the server ends its connections again and again. */
async function moved(seconds = "3") {
  const client = open(), until = Date.now() + Number(seconds) * 1000;
  let answered = 0;
  const errors = [];
  const ask = async () => {
    while (Date.now() < until) {
      const [answer, error] = await chat(client);
      if (answer) answered++;
      else errors.push([...told(error), error.details]);
    }
  };
  await Promise.all([ask(), ask(), ask(), ask()]);
  return { answered, errors };
}

/** Over TLS, with a file of the authorities that are believed; and to who believes none of them. */
async function secured(authorities) {
  const found = [];
  for (const believed of [fs.readFileSync(authorities), null]) {
    const client = new clawdbot.v1.ChatService(TARGET, grpc.credentials.createSsl(believed));
    const [answer, error] = await chat(client);
    found.push(answer ? answer.message.content : told(error)[0]);
  }
  return found;
}

/** Health, asked once and watched, and reflection; a file given describes both, as the library has them not. */
async function beside(described) {
  const found = grpc.loadPackageDefinition(loader.loadFileDescriptorSetFromBuffer(fs.readFileSync(described), OPTIONS));
  const health = new found.grpc.health.v1.Health(TARGET, PLAIN);
  const check = (service) =>
    new Promise((resolve) => health.Check({ service }, (error, said) => resolve(error ? told(error)[0] : said.status)));
  const said = { checks: [await check(""), await check("clawdbot.v1.ChatService"), await check("nobody")] };
  const watching = health.Watch({ service: "" });
  said.watched = await new Promise((resolve) => watching.on("data", (message) => resolve(message.status)).on("error", () => {}));
  watching.cancel();
  const call = new found.grpc.reflection.v1alpha.ServerReflection(TARGET, PLAIN).ServerReflectionInfo();
  call.write({ list_services: "" });
  call.end();
  said.services = (await heard(call)).said[0].list_services_response.service.map((service) => service.name).sort();
  return said;
}

const SCENES = { answered, conversation, refused, deadline, cancelled, compressed, pinged, large, many, tooMuch, moved, secured, beside };
console.log(JSON.stringify(await SCENES[scene](...given)));
process.exit(0);
