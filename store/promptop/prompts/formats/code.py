"""A call of a prompt as code: with curl, and with the openai SDK of Python. A key never stands in it."""

from __future__ import annotations

import json
import shlex

from promptop.prompts.document import Prompt
from promptop.prompts.formats.chat_json import body_of

DEFAULT_URL = "https://api.openai.com/v1"
_KEYWORDS = frozenset(
    {"audio", "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "max_tokens", "metadata"}
    | {"modalities", "model", "n", "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key"}
    | {"reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier", "stop", "store"}
    | {"temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity", "web_search_options"}
)
"""Parameters that the SDK's method has; it takes others in ``extra_body``."""


def curl(prompt: Prompt) -> str:
    """Write a call from the shell."""
    body = json.dumps(body_of(prompt), ensure_ascii=False, indent=2)
    return (
        f'curl -sS "${{OPENAI_BASE_URL:-{DEFAULT_URL}}}/chat/completions" \\\n'
        '  -H "Authorization: Bearer $OPENAI_API_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(body)}\n"
    )


def python(prompt: Prompt) -> str:
    """Write a program with the openai SDK."""
    body = body_of(prompt)
    messages = "".join(
        "        {" + ", ".join(f'"{name}": {value!r}' for name, value in message.items()) + "},\n"
        for message in body.pop("messages")
    )
    more = {name: value for name, value in body.items() if name not in _KEYWORDS}
    given = {name: value for name, value in body.items() if name in _KEYWORDS} | ({"extra_body": more} if more else {})
    rest = "".join(f"    {name}={value!r},\n" for name, value in given.items())
    return (
        "from openai import OpenAI\n\nclient = OpenAI()  # takes OPENAI_API_KEY and OPENAI_BASE_URL\n"
        f"answer = client.chat.completions.create(\n{rest}    messages=[\n{messages}    ],\n)\n"
        "print(answer.choices[0].message.content)\n"
    )
