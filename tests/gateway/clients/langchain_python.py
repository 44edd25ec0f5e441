"""What a user of LangChain does, against the address in the first argument; prints what came as JSON."""

import json
import sys

import openai
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

url, key = sys.argv[1:3]
chat = ChatOpenAI(base_url=url, api_key=key, model="chat", max_retries=0)
seen = {}


class Intent(BaseModel):
    """What is asked for."""

    intent: str


@tool
def find() -> str:
    """Find it."""
    return ""


seen["whole"] = chat.invoke("hello").content
seen["stream"] = "".join(chunk.content for chunk in chat.stream("hello"))
called = chat.bind_tools([find]).invoke("hello").tool_calls[0]
seen["tool"] = [called["name"], called["args"]]
seen["streamed_tool"] = next(
    piece["name"] for chunk in chat.bind_tools([find]).stream("hello") for piece in chunk.tool_call_chunks
)
seen["structured"] = chat.with_structured_output(Intent, method="json_schema").invoke("hello").intent
embeddings = OpenAIEmbeddings(base_url=url, api_key=key, model="chat", check_embedding_ctx_length=False)
seen["embedding"] = embeddings.embed_query("x")
respond = ChatOpenAI(base_url=url, api_key=key, model="chat", max_retries=0, use_responses_api=True)
seen["response"] = respond.invoke("hello").text
try:
    chat.invoke("fail")
except openai.BadRequestError as error:
    seen["error"] = [error.status_code, error.code]
print(json.dumps(seen))
