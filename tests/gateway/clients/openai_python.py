"""What a user of OpenAI's Python SDK does, against the address in the first argument; prints what came as JSON."""

import json
import sys

import openai
from pydantic import BaseModel

client = openai.OpenAI(base_url=sys.argv[1], api_key=sys.argv[2], max_retries=0)
HELLO = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]
seen = {}


class Intent(BaseModel):
    intent: str


seen["whole"] = client.chat.completions.create(model="chat", messages=HELLO).choices[0].message.content
chunks = list(
    client.chat.completions.create(model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True})
)
seen["stream"] = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
seen["stream_usage"] = chunks[-1].usage.total_tokens
called = client.chat.completions.create(model="chat", messages=HELLO, tools=TOOLS).choices[0].message.tool_calls[0]
seen["tool"] = [called.function.name, json.loads(called.function.arguments)]
with client.chat.completions.stream(model="chat", messages=HELLO, tools=TOOLS) as stream:
    final = stream.get_final_completion()
seen["streamed_tool"] = final.choices[0].message.tool_calls[0].function.name
parsed = client.chat.completions.parse(model="chat", messages=HELLO, response_format=Intent)
seen["structured"] = parsed.choices[0].message.parsed.intent
seen["embedding"] = client.embeddings.create(model="chat", input="x", encoding_format="float").data[0].embedding
seen["response"] = client.responses.create(model="chat", input="hello").output_text
events = list(client.responses.create(model="chat", input="hello", stream=True))
seen["streamed_response"] = "".join(one.delta for one in events if one.type == "response.output_text.delta")
try:
    client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "fail"}])
except openai.BadRequestError as error:
    seen["error"] = [error.status_code, error.code]
try:
    client.chat.completions.create(model="absent", messages=HELLO)
except openai.NotFoundError as error:
    seen["absent"] = error.code
try:
    openai.OpenAI(base_url=sys.argv[1], api_key="wrong", max_retries=0).models.list()
except openai.AuthenticationError as error:
    seen["wrong_key"] = error.code
seen["models"] = [one.id for one in client.models.list()]
print(json.dumps(seen))
