"""Help for where you are: what the focused widgets say about themselves, and the keys that work there now.

Both are read from the running widgets, so the page cannot go out of date.
"""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import Screen

from promptop.base.texts import paragraphs, tr
from promptop_tui.shell.key_names import display_key, with_keys
from promptop_tui.widgets.dialog import TextDialog


def subjects(screen: Screen[object]) -> list[tuple[str, str]]:
    """Return (title, HELP) of the focused widget and what it lies in, innermost first."""
    node: DOMNode | None = screen.focused or screen
    out: list[tuple[str, str]] = []
    while node is not None:
        text = getattr(node, "HELP", None)
        if text and all(text != known for _, known in out):
            name = "promptop" if node is screen.app else type(node).__name__.removesuffix("Pane")
            out.append((name, with_keys(node, tr(paragraphs(text)))))
        node = node.parent
    return out


def keys(screen: Screen[object]) -> list[tuple[str, str, str]]:
    """Return (keys, what they do, binding id) of every binding that works now, in the order of the widgets."""
    rows: dict[tuple[str, str], list[str]] = {}
    for key, active in screen.active_bindings.items():
        binding = active.binding
        if not active.enabled or binding.system or not (binding.description or binding.tooltip):
            continue
        text = tr(binding.tooltip or binding.description)
        rows.setdefault((text, binding.id or ""), []).append(display_key(key))
    return [(" ".join(dict.fromkeys(shown)), text, identifier) for (text, identifier), shown in rows.items()]


class HelpDialog(TextDialog[None]):
    """A page over the app."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "close", "Close", id="help.close", tooltip="Close the help", show=False),
    ]

    def __init__(self, under: Screen[object]) -> None:
        """Explain what is focused on this screen."""
        super().__init__(tr("Help"), page(subjects(under), keys(under)))


def page(said: list[tuple[str, str]], found: list[tuple[str, str, str]]) -> Content:
    """Return what the widgets say, then the keys, as they are read."""
    parts: list[str | tuple[str, str]] = []
    for title, text in said:
        parts += [(f"{title}\n", "$text-primary bold"), f"{text}\n\n"]
    parts.append((tr("Keys that work here") + "\n", "$text-primary bold"))
    width = min(16, max((len(shown) for shown, _, _ in found), default=0))
    for shown, text, identifier in found:
        parts += [(f"{shown:<{width}}  ", "bold"), text, (f"  {identifier}\n", "dim")]
    parts.append("\n" + tr('Change a key in the settings: [keys] id = "key" (promptop config path)'))
    return Content.assemble(*parts)
