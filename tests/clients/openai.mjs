// OpenAI's own SDK for Node against our surface; prints one JSON object of what it read.
import OpenAI, { NotFoundError, AuthenticationError, APIError } from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const ask = (content) => [{ role: "user", content }];
const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object", properties: {} } } }];
const model = "mock/echo";
const found = {};

const whole = await client.chat.completions.create({ model, messages: ask("hi") });
found.whole = [whole.choices[0].message.content.trim(), whole.choices[0].finish_reason, whole.usage.total_tokens];

found.streamed = "";
for await (const chunk of await client.chat.completions.create({
  model, messages: ask("hi"), stream: true, stream_options: { include_usage: true },
})) {
  found.streamed += chunk.choices[0]?.delta?.content ?? "";
  if (chunk.usage) found.usage = [chunk.choices.length, chunk.usage.total_tokens];
}

const runner = client.chat.completions.stream({ model, messages: ask("weather"), tools });
const called = await runner.finalChatCompletion();
const call = called.choices[0].message.tool_calls[0];
found.call = [call.id, call.function.name, JSON.parse(call.function.arguments), called.choices[0].finish_reason];

found.models = [];
for await (const listed of client.models.list()) found.models.push(listed.id);

const failure = async (work) => {
  try { await work(); } catch (error) { return error; }
};
const unknown = await failure(() => client.chat.completions.create({ model: "nobody/has-this", messages: ask("hi") }));
found.unknown = [unknown instanceof NotFoundError, unknown.code, unknown.requestID.startsWith("req_")];
const stranger = new OpenAI({ baseURL, apiKey: "wrong-key-wrong-key", maxRetries: 0 });
found.stranger = (await failure(() => stranger.models.list())) instanceof AuthenticationError;

let before = "";
const broken = await failure(async () => {
  for await (const chunk of await client.chat.completions.create({ model, messages: ask("break"), stream: true })) {
    before += chunk.choices[0]?.delta?.content ?? "";
  }
});
found.broken = [before.trim(), broken instanceof APIError, broken?.message];

console.log(JSON.stringify(found));
