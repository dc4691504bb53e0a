"""A framed region: title upper left, state upper right, hint lower right; the frame is heavy while it has the focus.

The style sheet decides the frame (``.panel``, app.tcss): its kind and colour are read from there, so that the line
between title and state is always the frame's own.
"""

from __future__ import annotations

from typing import ClassVar

from textual.containers import Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.style import Style
from textual.widget import Widget

from promptop.base.texts import tr

_RULES = {"heavy": "━", "round": "─", "solid": "─"}
_RESERVED = 6
"""Cells of the upper line that stay: a corner, a cell of frame and a blank at either end."""
_LEAST_RULE = 2
"""Cells of frame between title and state; with less room the state gives way."""


def top_line(title: Content, state: Content, width: int, rule: str, line: Style) -> Content:
    """Return title and state, apart by the frame's ``rule``, for a frame of ``width`` cells.

    Where both do not fit, the state loses its last parts, cut at `` · ``; the title is the last to go.
    """
    room = width - _RESERVED - title.cell_length - _LEAST_RULE - 2
    if state.cell_length > room:
        state = _shortened(state, room)
    if not state.cell_length:
        return title
    rest = width - _RESERVED - title.cell_length - state.cell_length - 2
    return Content.assemble(title, " ", (rule * rest, line), " ", state)


def _shortened(state: Content, room: int) -> Content:
    """Return as many of the state's parts as fit into ``room`` cells."""
    shown = state
    while shown.cell_length > room:
        cut = shown.plain.rfind(" · ")
        if cut < 0:
            return Content()
        shown = shown[:cut]
    return shown


class Frame:
    """Keeps the upper and lower line of a framed widget true to its texts, its width and its style."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._drawn: tuple[object, ...] = ()

    def show(self, title: str | Content, state: str | Content, hint: str | Content) -> None:
        """Write the texts into the frame; cheap where nothing has changed."""
        widget = self._widget
        kind, color = widget.styles.border_top
        drawn = (title, state, hint, widget.outer_size.width, kind, color)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        _, ground = widget.background_colors
        line = Style(foreground=ground + color, bold=False)
        width = widget.outer_size.width
        plain = Style(foreground=ground + widget.styles.border_subtitle_color, bold=False)
        widget.border_title = top_line(
            _content(title), _content(state).stylize_before(plain), width, _RULES.get(kind, "─"), line
        )
        widget.border_subtitle = _content(hint)


def _content(text: str | Content) -> Content:
    return Content(text) if isinstance(text, str) else text


class Panel(Vertical):
    """A container in a frame. The class ``-alarm`` colours the frame; its title or state says why."""

    HEAD: ClassVar[str] = ""
    """The title of a panel that has the same always."""

    heading: reactive[str | Content] = reactive("", layout=False)
    """Upper left: what the panel holds."""
    state: reactive[str | Content] = reactive("", layout=False)
    """Upper right: how it stands; its parts are parted by `` · `` and leave from the last on."""
    hint: reactive[str | Content] = reactive("", layout=False)
    """Lower right: choices, figures or keys."""

    def __init__(
        self,
        *children: Widget,
        heading: str = "",
        id: str | None = None,  # noqa: A002 (Textual's name)
        classes: str | None = None,
    ) -> None:
        super().__init__(*children, id=id, classes=classes)
        self.add_class("panel")
        self._frame = Frame(self)
        self.set_reactive(Panel.heading, heading or tr(self.HEAD))

    def on_mount(self) -> None:
        """Draw the frame's texts."""
        self.draw_frame()

    def on_resize(self) -> None:
        """Draw the frame's texts for the new width."""
        self.draw_frame()

    def notify_style_update(self) -> None:
        """Draw the frame's texts in the new style: the focus came or went, or another theme."""
        super().notify_style_update()
        if self.is_attached:
            self.draw_frame()

    def watch_heading(self) -> None:
        """Show the title."""
        self.draw_frame()

    def watch_state(self) -> None:
        """Show the state."""
        self.draw_frame()

    def watch_hint(self) -> None:
        """Show the hint."""
        self.draw_frame()

    def draw_frame(self) -> None:
        """Write the texts into the frame."""
        if self.is_attached:
            heading = tr(self.heading) if isinstance(self.heading, str) else self.heading
            self._frame.show(heading, self.state, self.hint)
