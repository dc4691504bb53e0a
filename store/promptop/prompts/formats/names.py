"""Names of variables in the template languages of other programs, which allow fewer of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping

from promptop.prompts.document import Prompt
from promptop.prompts.syntax.variables import VARIABLE

_WORD = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*|\[\d+\])*")


_ASCII = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def jinja_names(prompt: Prompt) -> dict[str, str]:
    """Return name → name in Jinja and Nunjucks for names that mean something else there: ``a-b`` is a subtraction."""
    return _names(prompt.variables, _WORD)


def template_names(prompt: Prompt) -> dict[str, str]:
    """Return name → ``var1`` … for names that Python's ``string.Template`` does not take: dots, blanks, no ASCII."""
    taken = {name for name in prompt.variables if _ASCII.fullmatch(name)}
    free = (name for number in itertools.count(1) if (name := f"var{number}") not in taken)
    return {name: next(free) for name in prompt.variables if name not in taken}


def _names(names: Iterable[str], allowed: re.Pattern[str]) -> dict[str, str]:
    names = list(names)
    taken = {name for name in names if allowed.fullmatch(name)}
    found: dict[str, str] = {}
    for name in names:
        if name in taken:
            continue
        plain = re.sub(r"\W+", "_", name)
        plain = plain if re.match(r"[^\W\d]", plain) else f"var_{plain}"
        numbered = (f"{plain}_{at}" for at in itertools.count(2))
        found[name] = next(each for each in itertools.chain([plain], numbered) if each not in taken)
        taken.add(found[name])
    return found


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Return a text with the variables of ``names`` called by their other names."""
    if not names:
        return text
    return VARIABLE.sub(lambda found: f"{{{{{names.get(found['name'], found['name'])}}}}}", text)
