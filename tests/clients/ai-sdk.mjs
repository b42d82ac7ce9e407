// The Vercel AI SDK against our surface; prints one JSON object of what it read.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

const [baseURL, apiKey] = process.argv.slice(2);
const model = createOpenAICompatible({ name: "palaver", baseURL, apiKey, includeUsage: true })("mock/echo");
const common = { model, maxRetries: 0 };
const weather = tool({
  description: "Tells the weather",
  inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } } }),
  execute: async ({ city }) => `sunny in ${city}`,
});
const found = {};

const whole = await generateText({ ...common, prompt: "hi" });
found.whole = [whole.text.trim(), whole.finishReason, whole.usage.totalTokens];

const streamed = streamText({ ...common, prompt: "hi" });
found.streamed = "";
for await (const piece of streamed.textStream) found.streamed += piece;
found.usage = (await streamed.usage).totalTokens;
found.finish = await streamed.finishReason;

const thinking = streamText({ ...common, prompt: "think" });
found.thinking = [(await thinking.reasoningText)?.trim(), (await thinking.text).trim()];

const agent = streamText({ ...common, prompt: "weather", tools: { get_weather: weather }, stopWhen: stepCountIs(2) });
await agent.consumeStream();
const steps = await agent.steps;
found.tools = [steps.length, steps[0].toolResults.map((result) => result.output), steps[1]?.text.trim()];

const failed = await generateText({ ...common, prompt: "slow down" }).catch((error) => error);
found.failed = [failed.statusCode, failed.isRetryable];

const errors = [];
let before = "";
const broken = streamText({ ...common, prompt: "break", onError: ({ error }) => errors.push(String(error?.message ?? error)) });
for await (const part of broken.fullStream) {
  if (part.type === "text-delta") before += part.text;
}
found.broken = [before.trim(), errors];

console.log(JSON.stringify(found));
