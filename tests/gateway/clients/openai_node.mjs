// What a user of OpenAI's Node SDK does, against the address in the first argument; prints what came as JSON.
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/");
const { OpenAI } = require("openai");

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "hello" }];
const tools = [{ type: "function", function: { name: "find", parameters: { type: "object", properties: {} } } }];
const schema = { type: "object", properties: { intent: { type: "string" } }, required: ["intent"] };
const seen = {};

seen.whole = (await client.chat.completions.create({ model: "chat", messages })).choices[0].message.content;
seen.stream = "";
const options = { model: "chat", messages, stream: true, stream_options: { include_usage: true } };
for await (const chunk of await client.chat.completions.create(options)) {
  seen.stream += chunk.choices[0]?.delta?.content ?? "";
  if (chunk.usage) seen.stream_usage = chunk.usage.total_tokens;
}
const called = (await client.chat.completions.create({ model: "chat", messages, tools })).choices[0].message.tool_calls[0];
seen.tool = [called.function.name, JSON.parse(called.function.arguments)];
const final = await client.chat.completions.stream({ model: "chat", messages, tools }).finalChatCompletion();
seen.streamed_tool = final.choices[0].message.tool_calls[0].function.name;
const response_format = { type: "json_schema", json_schema: { name: "intent", schema } };
const parsed = await client.chat.completions.create({ model: "chat", messages, response_format });
seen.structured = JSON.parse(parsed.choices[0].message.content).intent;
seen.embedding = (await client.embeddings.create({ model: "chat", input: "x", encoding_format: "float" })).data[0].embedding;
seen.response = (await client.responses.create({ model: "chat", input: "hello" })).output_text;
seen.streamed_response = "";
for await (const event of await client.responses.create({ model: "chat", input: "hello", stream: true }))
  if (event.type === "response.output_text.delta") seen.streamed_response += event.delta;
try {
  await client.chat.completions.create({ model: "chat", messages: [{ role: "user", content: "fail" }] });
} catch (error) {
  seen.error = [error.status, error.code];
}
try {
  await client.chat.completions.create({ model: "absent", messages });
} catch (error) {
  seen.absent = error.code;
}
try {
  await new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models.list();
} catch (error) {
  seen.wrong_key = error.code;
}
seen.models = [];
for await (const model of client.models.list()) seen.models.push(model.id);
console.log(JSON.stringify(seen));
