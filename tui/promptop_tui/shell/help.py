"""Help for where you are: what the focused widgets say about themselves, and the keys that work there now.

Both are read from the running widgets, so the page cannot go out of date.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from promptop_tui.shell.key_names import with_keys


def subjects(screen: Screen[object]) -> list[tuple[str, str]]:
    """Return (title, HELP) of the focused widget and what it lies in, innermost first."""
    node: DOMNode | None = screen.focused or screen
    out: list[tuple[str, str]] = []
    while node is not None:
        text = getattr(node, "HELP", None)
        if text and all(text != known for _, known in out):
            name = "promptop" if node is screen.app else type(node).__name__.removesuffix("Pane")
            out.append((name, _unwrapped(with_keys(node, text))))
        node = node.parent
    return out


def _unwrapped(text: str) -> str:
    """Join the lines of each paragraph: the page wraps them at its own width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def keys(screen: Screen[object]) -> list[tuple[str, str, str]]:
    """Return (keys, what they do, binding id) of every binding that works now, in the order of the widgets."""
    rows: dict[tuple[str, str], list[str]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if not active.enabled or binding.system or not (binding.description or binding.tooltip):
            continue
        text = binding.tooltip or binding.description
        rows.setdefault((text, binding.id or ""), []).append(screen.app.get_key_display(binding))
    return [(" ".join(dict.fromkeys(shown)), text, identifier) for (text, identifier), shown in rows.items()]


class HelpDialog(ModalScreen[None]):
    """A page over the app; any of its keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q", "dismiss", "Close", id="help.close", tooltip="Close the help"),
    ]

    def __init__(self, under: Screen[object]) -> None:
        super().__init__()
        self._subjects = subjects(under)
        self._keys = keys(under)

    def compose(self) -> ComposeResult:
        """Lay out what the widgets say, then the keys."""
        with VerticalScroll(id="help") as page:
            page.border_title = "Help"
            page.border_subtitle = "esc closes"
            for title, text in self._subjects:
                yield Static(title, classes="help-title", markup=False)
                yield Static(text, classes="help-text", markup=False)
            yield Static("Keys that work here", classes="help-title")
            width = min(16, max((len(shown) for shown, _, _ in self._keys), default=0))
            for shown, text, identifier in self._keys:
                yield Static(
                    Content.assemble((f"{shown:<{width}}  ", "bold"), text, (f"  {identifier}", "dim")),
                    classes="help-key",
                )
            yield Static('Change a key in the settings: [keys] id = "key" (promptop config path)', markup=False)

    def on_mount(self) -> None:
        """Let the arrow keys scroll."""
        self.query_one("#help").focus()
