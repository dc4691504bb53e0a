"""Messages of the chat API as JSON: a list of them, or a whole request body."""

from __future__ import annotations

import json
import re
from typing import Any

from promptop.base.sanitize import has_lone_surrogate, whole_text
from promptop.prompts.document import ROLES, Prompt
from promptop.prompts.formats.draft import FileDraft, draft_of
from promptop.prompts.notes import PromptNote

KIND = "chat messages in JSON"
_OURS = {"stream": "whether the answer is streamed is chosen here", "stream_options": ""}
"""Fields of a body that are not taken over, with the reason if it is worth a word."""
_LOOKS_LIKE = re.compile(r'"role"\s*:\s*"')
MOST_LEVELS = 200


def read(text: str) -> FileDraft | None:
    """Return the draft of chat messages in JSON; None for another text, which may be JSON of another kind.

    A text that looks like messages and cannot be taken as such gets a note.
    """
    start = text.lstrip("\ufeff \t\r\n")
    if start[:1] not in ("[", "{"):
        return None
    try:
        value = json.loads(start)
    except RecursionError:
        return None
    except json.JSONDecodeError as error:
        if _LOOKS_LIKE.search(start[:4000]) is None:
            return None
        if error.msg == "Extra data":
            if start[error.pos : error.pos + 1] not in ("{", "["):
                return None  # a text that begins with JSON
            said = PromptNote("this is JSON Lines, and it is sent as one text", remedy="promptop batch sends each line")
        else:
            said = PromptNote(
                f"this looks like chat messages and is not valid JSON ({error.msg}), so it is sent as text",
                error.lineno,
            )
        return FileDraft(text, notes=(said,))
    return of_value(value, text)


def of_value(value: Any, text: str) -> FileDraft | None:
    """Return the draft of what was read from ``text``; None if it holds no messages."""
    if isinstance(value, dict) and "messages" not in value and _is_message(value):
        value = [value]
    messages = value.get("messages") if isinstance(value, dict) else value
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        if isinstance(value, dict) and any(isinstance(value.get(key), list) for key in ("contents", "input")):
            return FileDraft(
                text, notes=(PromptNote("this is a request of another API than chat, so it is sent as text"),)
            )
        return None
    if not any("role" in each for each in messages):
        if all({"from", "value"} <= each.keys() or {"type", "content"} <= each.keys() for each in messages):
            said = "this is a conversation without roles of the chat API, so it is sent as text"
            return FileDraft(text, notes=(PromptNote(said),))
        return None
    if wrong := next((each for each in messages if not _is_message(each)), None):
        said = f"a message has the role {wrong.get('role')!r} or no content, so the JSON is sent as text"
        return FileDraft(text, notes=(PromptNote(said, remedy=f"roles: {', '.join(ROLES)}"),))
    notes: list[PromptNote] = []
    front: dict[str, Any] = {}
    if isinstance(value, dict):
        if isinstance(value.get("model"), str):
            front["model"] = value["model"]
        rest = {
            key: each for key, each in value.items() if key not in ("model", "messages", *_OURS) and each is not None
        }
        if "system" in rest:  # Anthropic's API has it beside the messages
            messages = [{"role": "system", "content": rest.pop("system")}, *messages]
        notes += [PromptNote(f"{key} is left out: {why}") for key, why in _OURS.items() if why and key in value]
        front["parameters"] = rest
    if has_lone_surrogate(value):
        messages, front = whole_text(messages), whole_text(front)
        notes.append(PromptNote("half of a surrogate pair stands in it, and is sent as U+FFFD"))
    return draft_of(KIND, messages, front, notes)


def _is_message(value: dict[str, Any]) -> bool:
    content = value.get("content")
    has_content = isinstance(content, str) or (
        isinstance(content, list) and all(isinstance(part, dict) for part in content)
    )
    return value.get("role") in ROLES and (has_content or (content is None and len(value) > 1))


def write(prompt: Prompt) -> str:
    """Write the request body, variables filled."""
    return json.dumps(body_of(prompt), ensure_ascii=False, indent=2) + "\n"


def body_of(prompt: Prompt, default_model: str = "gpt-4o-mini") -> dict[str, Any]:
    """Return the request body, variables filled."""
    parameters = {key: value for key, value in prompt.parameters.items() if value is not None}
    return {"model": prompt.model or default_model, "messages": prompt.openai(), **parameters}
