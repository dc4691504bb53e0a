"""Variables of a prompt: ``{{name}}``, filled by plain replacement, and what of a text only a template engine fills.

A name is a word, or words with single blanks between them; it may hold ``.``, ``-`` and ``[0]``, which reach into
nested values: ``{{customer.orders[0].id}}``. Everything else between ``{{`` and ``}}``, and ``{% … %}``, is a
*construct*: a filter, a block or a helper. Plain replacement leaves it as it is written, so whoever sends the text
must name it first (:func:`constructs`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_WORD = r"\w[\w.-]*(?:\[\d+\][\w.-]*)*"
VARIABLE = re.compile(rf"\{{\{{\s*(?P<name>{_WORD}(?: {_WORD})*)\s*\}}\}}")
_INDEX = re.compile(r"\.(\d+)(?![\w-])")
_CONSTRUCT = re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
_HANDLEBARS = re.compile(r"\{\{[#/^]")
_HELPERS = frozenset({"else", "this", "history", "section"})
"""Words that Handlebars and dotprompt give a meaning, where a text has their blocks."""
LITERAL_BRACE = '{{ "{" }}'
"""How a brace is written where Jinja or Nunjucks would take it for the beginning of a statement."""
LONGEST_CONSTRUCT = 200
"""Characters between braces beyond which they are taken for text: a JSON object, a piece of code."""


def variables_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the variables in texts, in order of their first appearance."""
    return tuple(dict.fromkeys(found["name"] for text in texts for found in VARIABLE.finditer(text)))


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its variables replaced by ``values`` in one pass; those that have none stay."""
    return VARIABLE.sub(lambda found: str(values.get(key_of(found["name"]), found[0])), text)


def key_of(name: str) -> str:
    """Return a name as :func:`flat` writes it: ``items.0`` is ``items[0]``."""
    return _INDEX.sub(r"[\1]", name) if "." in name else name


def constructs(text: str) -> tuple[str, ...]:
    """Return what of a text is written for a template engine and no plain variable, each once, in order."""
    if "{%" not in text and "{{" not in text:
        return ()
    with_blocks = _HANDLEBARS.search(text) is not None
    found: dict[str, None] = {}
    for each in _CONSTRUCT.finditer(text):
        said = each[0]
        if len(said) > LONGEST_CONSTRUCT or "\n\n" in said:
            continue
        inner = said[2:-2].strip("-~ \t\r\n")
        plain = VARIABLE.fullmatch(said)
        if plain is not None and not (with_blocks and plain["name"].split(".")[0] in _HELPERS):
            continue
        # `{{}}` and `{{"a": 1}}` are escaped or nested braces of something else: JSON, format strings, LaTeX.
        if said.startswith("{%") or re.match(r"[#/^>!&]?[ \t]*[\w$@.]", inner):
            found[" ".join(said.split())] = None
    return tuple(found)


_FOR_JINJA = re.compile(
    rf"(?P<variable>{VARIABLE.pattern.replace('?P<name>', '?:')})|\{{(?={VARIABLE.pattern})|\{{\{{|\{{(?=[%#])"
)


def as_jinja(text: str) -> str:
    """Return a text of plain variables as a Jinja template: every other ``{{``, ``{%`` and ``{#`` stays text."""

    def written(found: re.Match[str]) -> str:
        return found[0] if found["variable"] else f'{{{{ "{found[0]}" }}}}'

    return _FOR_JINJA.sub(written, text)


def without_literals(text: str) -> str:
    """Return a text with the braces that :func:`as_jinja` wrote as they were."""
    return text.replace(LITERAL_BRACE, "{").replace('{{ "{{" }}', "{{")


def flat(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values by the names that reach them: ``a.b``, ``a[0]``; lists and mappings also as JSON."""
    return dict(_flat("", values))


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        yield from _named(f"{prefix}{key}", value)


def _named(name: str, value: Any) -> Iterator[tuple[str, str]]:
    yield name, text_of_value(value)
    if isinstance(value, Mapping):
        yield from _flat(f"{name}.", value)
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _named(f"{name}[{at}]", each)


def nested(data: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Return ``data`` with ``values`` put where their names reach: ``customer.name`` inside ``customer``."""
    found: dict[str, Any] = dict(data)
    for name, value in values.items():
        found[name] = value
        *path, last = name.split(".")
        place = found
        for step in path:
            inner = place.get(step)
            place[step] = dict(inner) if isinstance(inner, Mapping) else {}
            place = place[step]
        place[last] = value
    return found


def text_of_value(value: Any) -> str:
    """Return a value as it stands in a prompt: texts as they are, nothing for null, lists and mappings as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


_TRIPLE = re.compile(rf"\{{\{{\{{\s*({_WORD})\s*\}}\}}\}}")


def without_triples(text: str) -> str:
    """Return a Mustache text with ``{{{name}}}`` as ``{{name}}``: nothing is escaped in a prompt."""
    return _TRIPLE.sub(r"{{\1}}", text)


_ANY_FORMAT = re.compile(r"(?<![{$\w\\])\{[A-Za-z_][A-Za-z0-9_]*\}(?!\})")
_ANY_DOLLAR = re.compile(r"(?<![\w$`])\$(?:\{[A-Za-z_]\w*\}|[A-Za-z_]{2,}\w*)(?![\w`/])")


def other_variables(text: str) -> tuple[str, ...]:
    """Return what looks like variables of format strings (``{name}``) or of shells and llm (``$name``), each once."""
    found = [each[0] for pattern in (_ANY_FORMAT, _ANY_DOLLAR) for each in pattern.finditer(text)]
    return tuple(dict.fromkeys(found))


_FORMAT = r"(?<![{{$\w])\{{{name}(?:![rsa])?(?::[^{{}}\n]{{0,20}})?\}}(?!\}})"
_DOLLAR = r"(?<![\w$])\$(?:\{{{name}\}}|{name}\b)"


def other_spelling(name: str, texts: Iterable[str]) -> str:
    """Return how a text writes a variable of this name in another convention (``{name}``, ``$name``); empty if not."""
    patterns = [re.compile(each.format(name=re.escape(name))) for each in (_FORMAT, _DOLLAR)]
    for text in texts:
        for pattern in patterns:
            if found := pattern.search(text):
                return found[0]
    return ""
