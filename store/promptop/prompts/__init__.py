"""The prompt document: messages by marker lines, variables, front matter, and the files it is kept in.

Standard library only at import; YAML is loaded when a text has front matter, sqlite-utils when the library opens.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.prompts.document import ROLES as ROLES
    from promptop.prompts.document import Message as Message
    from promptop.prompts.document import Prompt as Prompt
    from promptop.prompts.document import compose as compose
    from promptop.prompts.document import fill as fill
    from promptop.prompts.document import parse as parse

__all__ = ["ROLES", "Message", "Prompt", "compose", "fill", "parse"]

_HOMES = dict.fromkeys(__all__, "promptop.prompts.document")


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptop.prompts' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
