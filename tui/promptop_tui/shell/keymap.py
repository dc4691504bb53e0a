"""Key bindings from the settings, checked: Textual takes unknown ids and keys that no terminal sends in silence."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import KEY_NAME_REPLACEMENTS, Keys, _character_to_key

_NAMED = {key.value for key in Keys} | {f"f{n}" for n in range(1, 25)} | set(KEY_NAME_REPLACEMENTS.values())
_MODIFIERS = {"ctrl", "shift", "alt", "super", "hyper", "meta"}


def is_key(key: str) -> bool:
    """Tell whether ``key`` is a key that Textual can name: ``f5``, ``ctrl+t``, ``g``, ``question_mark``."""
    *modifiers, name = key.split("+")
    if any(modifier not in _MODIFIERS for modifier in modifiers):
        return False
    return key in _NAMED or name in _NAMED or _is_character(name)


def _is_character(name: str) -> bool:
    if len(name) == 1:
        return True
    try:
        return _character_to_key(unicodedata.lookup(name.replace("_", " ").upper())) == name
    except KeyError:
        return False


def binding_ids(classes: Iterable[type[DOMNode]]) -> set[str]:
    """Return the ids of all bindings that ``classes`` declare."""
    return {
        binding.id
        for kind in classes
        for binding in kind.BINDINGS
        if isinstance(binding, Binding) and binding.id is not None
    }


def check(keymap: Mapping[str, str], known: set[str], prefixes: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Return the entries of ``keymap`` that can be applied, and a message for each that cannot.

    An id is judged only if it starts with one of ``prefixes`` (the tabs that are loaded) or with no known tab at all.
    """
    good: dict[str, str] = {}
    problems: list[str] = []
    for identifier, keys in keymap.items():
        bad = [key for key in keys.split(",") if not is_key(key.strip())]
        if bad:
            problems.append(f"[keys] {identifier}: {', '.join(map(repr, bad))} is not a key")
            continue
        if identifier not in known and identifier.split(".")[0] in prefixes:
            problems.append(f"[keys] {identifier}: there is no binding with this id; F1 lists them")
            continue
        good[identifier] = keys
    return good, problems
