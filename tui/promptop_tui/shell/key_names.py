"""Keys as they are bound now, for texts that name them: a key that the user bound anew is told as it is.

A text names a binding by its id in braces, ``{editor.save}``, and :func:`with_keys` puts the key there.
"""

from __future__ import annotations

import itertools
import re

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import format_key

_NAMES = {
    "escape": "Esc",
    "enter": "Enter",
    "tab": "Tab",
    "space": "Space",
    "backspace": "Backspace",
    "delete": "Del",
    "home": "Home",
    "end": "End",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "ctrl+underscore": "Ctrl+/",
    "ctrl+slash": "Ctrl+/",
}
_PLACE = re.compile(r"\{(?P<id>[a-z][a-z_-]*\.[a-z][a-z_.-]*)\}")


def display_key(key: str) -> str:
    """Write a key as it stands on the keyboard: F5, Ctrl+F, Alt+A, Esc, w, ?."""
    key = key.strip()
    if key in _NAMES:
        return _NAMES[key]
    *modifiers, name = key.split("+")
    if name in _NAMES:
        shown = _NAMES[name]
    elif re.fullmatch(r"f\d{1,2}", name) or (len(name) == 1 and modifiers):
        shown = name.upper()
    else:
        shown = name if len(name) == 1 else format_key(name)
    return "+".join([*(modifier.capitalize() for modifier in modifiers), shown])


def key_name(node: DOMNode, identifier: str) -> str:
    """Return the first key of the binding ``identifier`` of a widget, its ancestors, what lies in it, or screens below.

    Raises KeyError if none of them has such a binding.
    """
    bound = node.app._keymap.get(identifier)
    if bound:
        return display_key(bound.split(",")[0])
    inside = node.walk_children() if node.is_attached else ()
    below = (each for screen in reversed(node.app.screen_stack) for each in screen.walk_children())
    for each in itertools.chain(node.ancestors_with_self, inside, below):
        for binding in _declared(type(each)):
            if binding.id == identifier:
                return display_key(binding.key.split(",")[0])
    raise KeyError(identifier)


def with_keys(node: DOMNode, text: str) -> str:
    """Put keys into a text where it names bindings in braces; braces around anything else stay."""

    def put(found: re.Match[str]) -> str:
        try:
            return key_name(node, found["id"])
        except KeyError:
            return found[0]

    return _PLACE.sub(put, text)


def _declared(kind: type) -> list[Binding]:
    return [
        binding
        for base in kind.__mro__
        for binding in vars(base).get("BINDINGS", ())
        if isinstance(binding, Binding) and binding.id is not None
    ]
