"""The last line: the keys that work here, read from the live bindings, as many as can be read at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.reactive import reactive
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from promptop.base.texts import tr
from promptop_tui.shell.key_names import display_key

MOST = 7
"""Keys that are shown, Help among them."""
_GAP = 3
_HELP = "app.help"
_UNSAID = ("app.quit",)
"""Bindings that need no place here: the help and the palette name them."""


@dataclass(frozen=True, slots=True)
class FooterKey:
    """One key of the footer: how it is written, what it does, how the app is sent it."""

    name: str
    label: str
    key: str

    @property
    def cells(self) -> int:
        """Cells of the key and its label."""
        return cell_len(self.name) + 1 + cell_len(self.label)


def footer_keys(screen: Screen[object]) -> tuple[tuple[FooterKey, ...], FooterKey | None]:
    """Return the keys of the screen's focus, innermost first and at most :data:`MOST` with Help, and Help."""
    found: list[FooterKey] = []
    help_key: FooterKey | None = None
    seen: set[tuple[str, str]] = set()
    for pressed, active in screen.active_bindings.items():
        binding = active.binding
        mark = (binding.action, binding.id or "")
        if not (active.enabled and binding.show and binding.description) or binding.system or mark in seen:
            continue
        seen.add(mark)
        key = FooterKey(binding.key_display or display_key(pressed), tr(binding.description), pressed)
        if binding.id == _HELP:
            help_key = key
        elif binding.id not in _UNSAID:
            found.append(key)
    return tuple(found[: MOST - 1]), help_key


def laid_out(keys: tuple[FooterKey, ...], last: FooterKey | None, width: int) -> list[tuple[int, FooterKey]]:
    """Return (column, key): evenly apart from the left, ``last`` at the right; keys without room are left out."""
    end = width - 1 - last.cells if last is not None else width
    out: list[tuple[int, FooterKey]] = []
    column = 1
    for key in keys:
        if column + key.cells > end - _GAP:
            break
        out.append((column, key))
        column += key.cells + _GAP
    if last is not None and end >= 0:
        out.append((end, last))
    return out


class KeyFooter(Widget, can_focus=False):
    """The line of keys; a click on one presses it."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"footer--key", "footer--label"}

    keys: reactive[tuple[tuple[FooterKey, ...], FooterKey | None]] = reactive(((), None))

    def on_mount(self) -> None:
        """Follow what works where the focus is."""
        self.screen.bindings_updated_signal.subscribe(self, self._read)
        self._read(self.screen)

    def _read(self, screen: Screen[object]) -> None:
        if self.is_attached and not self.app.app_focus:
            return
        if self.is_attached and screen is self.app.screen:
            self.keys = footer_keys(screen)

    def render_line(self, y: int) -> Strip:
        """Return the keys."""
        key_style = self.get_component_rich_style("footer--key")
        label_style = self.get_component_rich_style("footer--label")
        out: list[Segment] = []
        used = 0
        for column, key in laid_out(*self.keys, self.size.width):
            out += [
                Segment(" " * (column - used), label_style),
                Segment(key.name, key_style),
                Segment(f" {key.label}", label_style),
            ]
            used = column + key.cells
        return Strip(out).adjust_cell_length(self.size.width, self.rich_style)

    def on_click(self, event: events.Click) -> None:
        """Press the key under the mouse."""
        for column, key in laid_out(*self.keys, self.size.width):
            if column <= event.x < column + key.cells:
                self.app.simulate_key(key.key)
                return
