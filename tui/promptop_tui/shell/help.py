"""Help for where you are: what the focused widgets say about themselves, and the keys that work there now.

Both are read from the running widgets, so the page cannot go out of date.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual.app import App
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget

from promptop.base.sanitize import clean_line
from promptop.base.texts import mark, paragraphs, tr
from promptop_tui.shell.key_names import display_key, with_keys
from promptop_tui.shell.tabs import TABS
from promptop_tui.widgets.dialog import Dialog, TextDialog

_PANE = "pane-"
_FIELDS = {"PromptArea": mark("Text field"), "DataTable": mark("Table"), "Grid": mark("Grid")}
"""Widgets without a heading of their own → what they are called."""


def subjects(screen: Screen[object]) -> list[tuple[str, str]]:
    """Return (title, HELP) of the focused widget and what it lies in, innermost first."""
    node: DOMNode | None = screen.focused or screen
    out: list[tuple[str, str]] = []
    while node is not None:
        text = getattr(node, "HELP", None)
        if text and all(text != known for _, known in out):
            out.append(("promptop" if node is screen.app else place_title(node), with_keys(node, tr(paragraphs(text)))))
        node = node.parent
    return out


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """The keys of one place: its title, and (keys, what they do, binding id) of each."""

    title: str
    keys: tuple[tuple[str, str, str], ...]


def keys(screen: Screen[object]) -> tuple[KeyGroup, ...]:
    """Return what works now: the tab's keys (or the dialog's), those of its panels, the app's, then those of moving.

    Bindings without an id are Textual's own: how a cursor or a list is moved.
    """
    outermost = [node for node in (screen.focused or screen).ancestors_with_self if isinstance(node, Widget)]
    tab = next((node for node in outermost if (node.id or "").startswith(_PANE)), screen)
    rows: dict[DOMNode | None, dict[tuple[str, str], list[str]]] = {}
    for key, active in screen.active_bindings.items():
        binding = active.binding
        if not active.enabled or binding.system or not (binding.description or binding.tooltip):
            continue
        place = active.node if binding.id else None
        text = tr(binding.tooltip or binding.description)
        rows.setdefault(place, {}).setdefault((text, binding.id or ""), []).append(display_key(key))

    def order(place: DOMNode | None) -> int:
        return 3 if place is None else 0 if place is tab else 2 if place in (screen.app, screen) else 1

    return tuple(
        KeyGroup(
            tr("Moving and selecting") if place is None else place_title(place),
            tuple((" ".join(dict.fromkeys(shown)), text, name) for (text, name), shown in rows[place].items()),
        )
        for place in sorted(rows, key=order)
    )


def place_title(node: DOMNode) -> str:
    """Return what a tab, panel, dialog or field is called on the screen."""
    if isinstance(node, App):
        return tr("Everywhere")
    if isinstance(node, Dialog):
        return clean_line(node.dialog_title)
    identifier = node.id or ""
    if identifier.startswith(_PANE):
        return tr(TABS[identifier.removeprefix(_PANE)][1])
    if head := getattr(node, "HEAD", ""):
        return tr(head)
    name = type(node).__name__
    return tr(_FIELDS[name]) if name in _FIELDS else name.removesuffix("Panel").removesuffix("Pane")


class HelpDialog(TextDialog[None]):
    """A page over the app."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "close", "Close", id="help.close", tooltip="Close the help", show=False),
    ]

    def __init__(self, under: Screen[object]) -> None:
        """Explain what is focused on this screen."""
        super().__init__(tr("Help"), page(subjects(under), keys(under)))


def page(said: list[tuple[str, str]], found: Sequence[KeyGroup]) -> Content:
    """Return the keys, then what the widgets say, as they are read."""
    parts: list[str | tuple[str, str]] = []
    for group in found:
        parts.append((f"{group.title}\n", "$text-primary bold"))
        width = min(20, max((cell_len(shown) for shown, _, _ in group.keys), default=0))
        for shown, text, identifier in group.keys:
            parts += [(f"  {shown:<{width}}  ", "bold"), text, (f"  {identifier}\n", "$dim")]
        parts.append("\n")
    for title, text in said:
        parts += [(f"{title}\n", "$text-primary bold"), f"{text}\n\n"]
    parts.append(tr('Change a key in the settings: [keys] id = "key" (promptop config path)'))
    return Content.assemble(*parts)
