"""What a user of litellm's client does, against the address in the first argument; prints what came as JSON."""

import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

url, key = sys.argv[1:3]
to = {"model": "openai/chat", "api_base": url, "api_key": key, "num_retries": 0, "max_retries": 0}
HELLO = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]
SCHEMA = {"type": "object", "properties": {"intent": {"type": "string"}}, "required": ["intent"]}
seen = {}

seen["whole"] = litellm.completion(messages=HELLO, **to).choices[0].message.content
chunks = list(litellm.completion(messages=HELLO, stream=True, stream_options={"include_usage": True}, **to))
seen["stream"] = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
called = litellm.completion(messages=HELLO, tools=TOOLS, **to).choices[0].message.tool_calls[0]
seen["tool"] = [called.function.name, json.loads(called.function.arguments)]
form = {"type": "json_schema", "json_schema": {"name": "intent", "schema": SCHEMA}}
parsed = litellm.completion(messages=HELLO, response_format=form, **to)
seen["structured"] = json.loads(parsed.choices[0].message.content)["intent"]
seen["embedding"] = litellm.embedding(input=["x"], encoding_format="float", **to).data[0]["embedding"]
seen["response"] = litellm.responses(input="hello", **to).output[0].content[0].text
try:
    litellm.completion(messages=[{"role": "user", "content": "fail"}], **to)
except litellm.BadRequestError as error:
    seen["error"] = [error.status_code, "bad_thing" if "bad_thing" in str(error) else None]
print(json.dumps(seen))
