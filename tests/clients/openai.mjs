// OpenAI's Node SDK against a gateway: what it made of everything, as JSON.
import diagnostics from "node:diagnostics_channel";
import OpenAI from "openai";

let connections = 0;
diagnostics.subscribe("undici:client:connected", () => connections++);

const client = new OpenAI({ baseURL: `${process.env.BASE_URL}/v1`, apiKey: process.env.API_KEY, maxRetries: 0 });
const messages = [{ role: "user", content: "Hi" }];
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
const said = {};

said.models = (await client.models.list()).data.map((model) => model.id);
const whole = await client.chat.completions.create({ model: "scripted", messages });
said.whole = [whole.choices[0].message.content, whole.choices[0].finish_reason, whole.usage.total_tokens];

const before = connections;
said.streams = [];
for (let round = 0; round < 3; round++) {
  let text = "", usage = null, finish = null;
  const ids = new Set();
  const stream = await client.chat.completions.create({
    model: "scripted", messages, stream: true, stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    ids.add(chunk.id);
    text += chunk.choices[0]?.delta?.content ?? "";
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  said.streams.push([text, finish, usage.total_tokens, ids.size]);
}

said.reconnected = connections - before;

const runner = client.chat.completions.stream({ model: "scripted", messages, tools });
said.final = await runner.finalContent();

for (const [name, ask] of Object.entries({
  missing: () => client.chat.completions.create({ model: "no-such-model", messages }),
  wrong: () => client.chat.completions.create({ model: "scripted", messages, temperature: 9 }),
  stranger: () => client.withOptions({ apiKey: "cb_wrong" }).models.list(),
})) {
  try {
    await ask();
    said[name] = null;
  } catch (error) {
    said[name] = [error.constructor.name, error.status, error.code, error.param];
  }
}
console.log(JSON.stringify(said));
