// The Vercel AI SDK with its OpenAI-compatible provider against a gateway: what it made of everything, as JSON.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, Output, streamText, tool } from "ai";

const provider = createOpenAICompatible({
  name: "gateway",
  baseURL: `${process.env.BASE_URL}/v1`,
  apiKey: process.env.API_KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider("scripted");
const schema = jsonSchema({
  type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false,
});
const weather = tool({ description: "The weather.", inputSchema: schema });
const said = {};
const streamed = async (options) => {
  const result = streamText({ model, maxRetries: 0, onError: () => {}, ...options });
  const parts = [];
  for await (const part of result.fullStream) parts.push(part);
  return parts;
};
const of = (parts, kind) => parts.filter((part) => part.type === kind);

switch (process.argv[2]) {
  case "text": {
    const whole = await generateText({ model, prompt: "Hi", maxRetries: 0 });
    said.whole = [whole.text, whole.finishReason, whole.usage.totalTokens];
    const parts = await streamed({ prompt: "Hi" });
    const finish = of(parts, "finish")[0];
    said.stream = [of(parts, "text-delta").map((part) => part.text).join(""), finish.finishReason, finish.totalUsage.totalTokens];
    said.reasoning = of(parts, "reasoning-delta").map((part) => part.text).join("");
    break;
  }
  case "tools": {
    const whole = await generateText({ model, prompt: "Hi", tools: { weather }, toolChoice: "required", maxRetries: 0 });
    said.whole = [whole.toolCalls.map((call) => [call.toolName, call.input]), whole.finishReason];
    const parts = await streamed({ prompt: "Hi", tools: { weather } });
    said.stream = [of(parts, "tool-call").map((call) => [call.toolName, call.input]), of(parts, "finish")[0].finishReason];
    break;
  }
  case "schema": {
    const made = await generateText({ model, prompt: "Hi", output: Output.object({ schema }), maxRetries: 0 });
    said.made = made.output;
    break;
  }
  case "error": {
    try {
      await generateText({ model: provider("no-such-model"), prompt: "Hi", maxRetries: 0 });
    } catch (error) {
      said.refused = [error.name, error.statusCode, error.message];
    }
    const parts = await streamed({ prompt: "Hi" });
    said.broken = of(parts, "error").map((part) => part.error.message ?? String(part.error));
    break;
  }
}
console.log(JSON.stringify(said));
