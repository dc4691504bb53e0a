"""YAML as it is found in prompt files: read in bounded time and memory, values as they are written.

Aliases make a text of ten lines grow to millions of values once something walks it, so the values that a document
*means* are counted on its nodes before anything is built. Dates, ``yes``/``no``, times and octal numbers of YAML 1.1
stay texts: in a prompt they are words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

MOST_VALUES = 200_000
"""Values that a document may mean, aliases counted as often as they are used."""
MOST_DEPTH = 100
"""Levels of lists and mappings inside each other."""
LONGEST = 4 << 20
"""Characters of YAML that are read; it takes some seconds."""

_CORE: dict[str, re.Pattern[str]] = {
    "null": re.compile(r"(?:~|null|Null|NULL|)\Z"),
    "bool": re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"),
    "int": re.compile(r"[-+]?(?:0|[1-9][0-9]{0,99})\Z"),
    "float": re.compile(
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)\.[0-9]*|(?:0|[1-9][0-9]*)(?=[eE]))(?:[eE][-+]?[0-9]{1,3})?\Z"
    ),
}
_STANDARD = "tag:yaml.org,2002:"


class YamlError(ValueError):
    """A text that cannot be read as YAML; ``line`` is counted from 1, None where it is not known."""

    def __init__(self, cause: str, line: int | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.line = line


def read_yaml(text: str) -> Any:
    """Return what a YAML text means, numbers and booleans typed; keys are texts.

    Raises :class:`YamlError` if it is not valid, means more than :data:`MOST_VALUES` values or contains itself.
    """
    node = _node(text)
    return None if node is None else _value(node, typed=True)


def read_yaml_texts(text: str) -> Any:
    """Return what a YAML text means with every scalar as it is written (``1.10`` stays ``1.10``)."""
    node = _node(text)
    return None if node is None else _value(node, typed=False)


def _node(text: str) -> yaml.Node | None:
    import yaml

    if len(text) > LONGEST:
        raise YamlError(f"it is longer than {LONGEST >> 20} million characters")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        raise YamlError(str(getattr(error, "problem", None) or type(error).__name__), line) from None
    except (RecursionError, ValueError) as error:  # nested too deep for the parser; an escape that is not a character
        raise YamlError("it is nested too deep" if isinstance(error, RecursionError) else str(error)) from None
    if node is not None:
        _check(node)
    return node


def _check(root: yaml.Node) -> None:
    """Count what the document means: each node once, what aliases repeat as often as they do."""
    sizes: dict[int, int] = {}
    inside: set[int] = set()
    stack: list[tuple[yaml.Node, bool]] = [(root, False)]
    while stack:
        node, is_left = stack.pop()
        key = id(node)
        children = _children(node)
        if is_left:
            inside.discard(key)
            sizes[key] = 1 + sum(sizes[id(child)] for child in children)
            if sizes[key] > MOST_VALUES:
                raise YamlError(f"its aliases grow to more than {MOST_VALUES:,} values", node.start_mark.line + 1)
            continue
        if key in sizes:
            continue
        if key in inside:
            raise YamlError("it contains itself by an alias", node.start_mark.line + 1)
        inside.add(key)
        if len(inside) > MOST_DEPTH:
            raise YamlError(f"it is nested deeper than {MOST_DEPTH} levels", node.start_mark.line + 1)
        stack.append((node, True))
        for child in children:
            if id(child) in inside:
                raise YamlError("it contains itself by an alias", node.start_mark.line + 1)
            stack.append((child, False))


def _children(node: yaml.Node) -> list[yaml.Node]:
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return []


def _value(node: yaml.Node, *, typed: bool) -> Any:
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, typed=typed)
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, typed=typed) for each in node.value]
    assert isinstance(node, yaml.MappingNode)
    found: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key, value in node.value:
        read = _value(value, typed=typed)
        if isinstance(key, yaml.ScalarNode) and key.value == "<<" and not key.style:
            for each in read if isinstance(read, list) else [read]:
                merged = {**(each if isinstance(each, dict) else {}), **merged}
        else:
            name = str(_value(key, typed=False))
            if name in found:
                raise YamlError(f"the key {name!r} stands twice", key.start_mark.line + 1)
            found[name] = read
    return {**merged, **found}


def _scalar(node: yaml.ScalarNode, *, typed: bool) -> Any:
    text: str = node.value
    is_plain = not node.style and (node.tag.startswith(_STANDARD) or node.tag == "!")
    if not typed or not is_plain:
        return text
    if _CORE["null"].match(text):
        return None
    if _CORE["bool"].match(text):
        return text.lower() == "true"
    if _CORE["int"].match(text):
        return int(text)
    if _CORE["float"].match(text):
        return float(text)
    return text


def write_yaml(value: Mapping[str, Any]) -> str:
    """Return a mapping as YAML in the order of its keys, long texts as blocks that people can read."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes each value out: no aliases."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        # A block cannot carry trailing blanks on its lines or other line breaks; such a text is quoted.
        is_plain = "\n" in value and not re.search(r"[ \t]+\n|[\r\x85\u2028\u2029]|^\s", value)
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if is_plain else None)

    Dumper.add_representer(str, text)
    dumped: str = yaml.dump(dict(value), Dumper=Dumper, allow_unicode=True, sort_keys=False, width=100_000)
    return dumped
