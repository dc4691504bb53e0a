"""What every dialog of the app is made of: a frame with a title, its keys below, and text to be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Generic, TypeVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from promptop.base.sanitize import clean
from promptop.base.texts import tr
from promptop_tui.shell.key_names import display_key

Result = TypeVar("Result")
_FRAME = 6
"""Cells of the border that no key may cover: corners, and a line and a blank on either side."""


class Dialog(ModalScreen[Result], Generic[Result]):
    """A framed box over a tab. Its lower border names the keys that work in it, read from the live bindings."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="dialog.close", tooltip="Close this; nothing is changed"),
    ]

    def __init__(self, title: str, *, classes: str | None = None) -> None:
        """``title`` stands in the upper border; it may come from anywhere."""
        super().__init__(classes=classes)
        self.dialog_title = title

    def frame(self) -> Vertical:
        """Return the box, to be filled by ``with self.frame():`` in ``compose``."""
        box = Vertical(id="dialog")
        box.border_title = Content(clean(self.dialog_title))
        return box

    @property
    def box(self) -> Vertical:
        """The box."""
        return self.query_one("#dialog", Vertical)

    def retitle(self, title: str) -> None:
        """Show another title."""
        self.dialog_title = title
        self.box.border_title = Content(clean(title))

    def on_mount(self) -> None:
        """Name the keys, now and whenever other ones work. (Textual calls the handlers of subclasses too.)"""
        self.bindings_updated_signal.subscribe(self, self._name_keys)

    def on_resize(self) -> None:
        """Name as many keys as there is room for."""
        self.call_after_refresh(self._name_keys, self)

    def _name_keys(self, _: Screen[Any]) -> None:
        if self.is_attached and self.query("#dialog"):
            self.box.border_subtitle = Content(legend(self, self.box.outer_size.width - _FRAME))

    def action_close(self) -> None:
        """Close without a result."""
        self.dismiss(None)


class TextDialog(Dialog[Result], Generic[Result]):
    """A text to be read, scrolled by the arrows; ``q`` and Enter close it too."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,enter", "close", "Close", id="dialog.close_text", tooltip="Close this", show=False),
    ]

    def __init__(self, title: str, text: str | Content = "", *, head: str = "", classes: str | None = None) -> None:
        """``text`` and ``head``, which stays above it, may come from anywhere; a :class:`Content` is taken as it is."""
        super().__init__(title, classes=classes)
        self._text = text
        self._head = head

    def compose(self) -> ComposeResult:
        """Lay out the text."""
        with self.frame():
            if self._head:
                yield Static(clean(self._head), id="dialog-head", markup=False)
            with VerticalScroll(id="dialog-scroll"):
                yield Static(_cleaned(self._text), id="dialog-text", markup=False)

    def on_mount(self) -> None:
        """Let the arrows scroll."""
        self.query_one("#dialog-scroll").focus()

    def show_text(self, text: str | Content) -> None:
        """Show another text, if the dialog is still there."""
        if self.is_attached:
            self.query_one("#dialog-text", Static).update(_cleaned(text))


def _cleaned(text: str | Content) -> str | Content:
    return clean(text) if isinstance(text, str) else text


_SEPARATOR = " · "


def legend(screen: Screen[Any], width: int, *, last: str = "dialog.close") -> str:
    """Return the keys that work now with what they do, as many as fit into ``width`` cells; ``last`` is never cut."""
    keys = list(_shown(screen))
    if all(identifier != last for identifier, _, _ in keys):  # a dialog whose Esc does more than close it
        last = next((identifier for identifier, key, _ in keys if key == display_key("escape")), last)
    end = [f"{key} {text}" for identifier, key, text in keys if identifier == last]
    line: list[str] = []
    for identifier, key, text in keys:
        longer = [*line, f"{key} {text}"]
        if identifier != last and cell_len(_SEPARATOR.join([*longer, *end])) <= width:
            line = longer
    return _SEPARATOR.join([*line, *end])


def _shown(screen: Screen[Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (id, key, description) of each binding that is to be seen, the first of its keys only."""
    seen: set[tuple[str, str]] = set()
    for key, active in screen.active_bindings.items():
        binding = active.binding
        if not (active.enabled and binding.show and binding.description) or (binding.action, binding.id) in seen:
            continue
        seen.add((binding.action, binding.id or ""))
        yield binding.id or "", display_key(key), tr(binding.description)
