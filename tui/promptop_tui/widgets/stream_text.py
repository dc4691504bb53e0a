"""Text that grows while it is read: wrapped once, appended at the cost of its last row, drawn by the row.

Pieces may arrive from any thread at any rate (:meth:`StreamView.feed`); they are shown by :meth:`StreamView.flush`,
which the playground calls for all panes in one frame 10 times a second. Textual's ``Log`` takes three times the time
for the same stream and ``MarkdownStream`` shows an eighth of it (4 panes × 100 tokens/s).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from promptop.base.sanitize import clean
from promptop.base.texts import tr
from promptop_tui.widgets.text_wrap import TAB, wrap

Match = tuple[tuple[int, int, int], ...]
"""Row, first character and the one behind the last of each piece."""
KINDS = ("text", "reasoning", "refusal", "tool", "called", "given", "note", "error")


@dataclass(slots=True)
class _Block:
    """A run of text of one kind; ``rows_before`` rows of the view stand above it."""

    kind: str
    rows_before: int
    parts: list[str] = field(default_factory=list)
    characters: int = 0


class StreamView(ScrollView, can_focus=True):
    """Append-only soft-wrapped text of several kinds; follows its end unless scrolled up."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"stream--{kind}" for kind in KINDS} | {"stream--fold"}

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._inbox: deque[tuple[str, str]] = deque()
        self._blocks: list[_Block] = []
        self._rows: list[tuple[str, str]] = []
        self._wrap_width = 0
        self._carriage = ""
        self._styles_by_kind: dict[str, Style] = {}
        self._unfolded = False
        self._wanted = ""
        self.matches: Sequence[Match] = ()
        """Where what is looked for stands, from the top; a match that is wrapped has several pieces."""
        self._current: int | None = None
        self.following = True
        """Whether the end is shown; false while the reader has scrolled up."""

    # What is in it

    def feed(self, kind: str, text: str) -> None:
        """Take a piece, on any thread; it is shown at the next :meth:`flush`."""
        self._inbox.append((kind, text))

    def flush(self) -> bool:
        """Show what was fed since the last flush; return whether there was anything."""
        pending: list[tuple[str, str]] = []
        while self._inbox:
            kind, text = self._inbox.popleft()
            if pending and pending[-1][0] == kind:
                pending[-1] = (kind, pending[-1][1] + text)
            else:
                pending.append((kind, text))
        if not pending:
            return False
        first_dirty = max(0, len(self._rows) - 1)
        for kind, text in pending:
            self._append(kind, text)
        self._grown(first_dirty)
        return True

    def clear(self) -> None:
        """Empty the view and follow again."""
        self._inbox.clear()
        self._blocks.clear()
        self._rows.clear()
        self._carriage = ""
        self.following = True
        self.virtual_size = Size(self._wrap_width, 0)
        self.scroll_to(0, 0, animate=False, immediate=True)
        self.refresh()

    def drop(self, kind: str) -> None:
        """Take away all pieces of a kind: they are said otherwise now."""
        kept = [block for block in self._blocks if block.kind != kind]
        if len(kept) != len(self._blocks):
            self._blocks = kept
            self._rewrap()

    @property
    def rows(self) -> tuple[str, ...]:
        """The wrapped rows as they are shown."""
        return tuple(text for _, text in self._rows)

    @property
    def texts(self) -> list[tuple[str, str]]:
        """Kind and text of each block as it is shown; folded reasoning is its one line."""
        found = []
        for block in self._blocks:
            if block.kind == "reasoning" and not self._unfolded:
                found.append(("fold", _folded(block)))
            else:
                found.append((block.kind, "".join(block.parts)))
        return found

    @property
    def has_reasoning(self) -> bool:
        """Whether there is reasoning to fold or unfold."""
        return any(block.kind == "reasoning" for block in self._blocks)

    @property
    def unfolded(self) -> bool:
        """Whether reasoning is shown in full."""
        return self._unfolded

    def fold(self, *, unfolded: bool) -> None:
        """Show reasoning in full, or as one line that tells its length."""
        if unfolded != self._unfolded:
            self._unfolded = unfolded
            self._rewrap()

    # Searching

    def mark(self, text: str) -> None:
        """Mark every place where this text stands, whatever its case; empty: none."""
        self._wanted = text
        self._find()
        self.refresh()

    def look_at_match(self, number: int | None) -> None:
        """Mark one match above the others, and show it."""
        self._current = number
        if number is not None and number < len(self.matches):
            row = self.matches[number][0][0]
            if not self.scroll_offset.y <= row < self.scroll_offset.y + self.size.height:
                self.scroll_to(0, max(0, row - self.size.height // 2), animate=False, immediate=True)
        self.refresh()

    def row_texts(self) -> list[str]:
        """Return the rows as they are painted."""
        return [text for _, text in self._rows]

    def _find(self) -> None:
        self.matches = matches_in(self.row_texts(), self._wanted) if self._wanted else ()
        if self._current is not None and self._current >= len(self.matches):
            self._current = None

    def _marked(self, strip: Strip, row: int) -> Strip:
        """Return a row with its matches underlined, the one that is looked at in reverse, too."""
        for number, pieces in enumerate(self.matches):
            for at, start, end in pieces:
                if at != row:
                    continue
                left, right = (cell_len(strip.text[:edge]) for edge in (start, end))
                if left == right:
                    continue  # the row is to be wrapped anew: the width has just changed
                before, inside, after = strip.divide([left, right, strip.cell_length])
                style = Style(underline=True, bold=True, reverse=number == self._current)
                strip = Strip.join([before, inside.apply_style(style), after])
        return strip

    # Layout

    def _append(self, kind: str, text: str) -> None:
        text = self._carriage + text
        # A CRLF may be cut between two pieces; the second half decides what the first one meant.
        self._carriage = "\r" if text.endswith("\r") else ""
        shown = clean(text.removesuffix("\r")).replace("\t", TAB)
        if not shown:
            return
        if not self._blocks or self._blocks[-1].kind != kind:
            self._blocks.append(_Block(kind, len(self._rows)))
        block = self._blocks[-1]
        block.parts.append(shown)
        block.characters += len(shown)
        self._lay(block, shown)

    def _lay(self, block: _Block, text: str) -> None:
        """Add the rows of ``text`` behind those of its block."""
        if block.kind == "reasoning" and not self._unfolded:
            del self._rows[block.rows_before :]
            self._rows.append(("fold", _folded(block)))
            return
        width = self._wrap_width or 80
        first, *others = text.split("\n")
        tail = self._rows.pop()[1] if len(self._rows) > block.rows_before else ""
        self._rows.extend((block.kind, row) for row in wrap(tail + first, width))
        for line in others:
            self._rows.extend((block.kind, row) for row in wrap(line, width))

    def _rewrap(self) -> None:
        self._rows.clear()
        for block in self._blocks:
            block.rows_before = len(self._rows)
            block.parts = ["".join(block.parts)]
            self._lay(block, block.parts[0])
        self._grown(0)

    def _grown(self, first_dirty: int) -> None:
        if self._wanted:
            self._find()
        if not self.is_attached:
            return
        self.virtual_size = Size(self._wrap_width, len(self._rows))
        top = max(0, first_dirty - self.scroll_offset.y)
        if top < self.size.height:
            self.refresh(Region(0, top, self.size.width, self.size.height - top))
        if self.following:
            self._to_end()

    def _to_end(self) -> None:
        # The sheet always shows the scrollbar: one that comes and goes would change the width of what is wrapped, and
        # Textual does not scroll a widget whose scrollbar is hidden.
        self.scroll_end(animate=False, immediate=True, x_axis=False)

    def on_resize(self, event: events.Resize) -> None:
        """Wrap again where the width changed."""
        width = self.scrollable_content_region.width
        if width != self._wrap_width:
            self._wrap_width = width
            self._rewrap()
        elif self.following:
            self._to_end()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow while the end is in sight."""
        super().watch_scroll_y(old_value, new_value)
        self.following = self.is_vertical_scroll_end

    # Drawing

    def notify_style_update(self) -> None:
        """Forget the styles; the theme or a class changed."""
        self._styles_by_kind.clear()
        super().notify_style_update()

    def _style_of(self, kind: str) -> Style:
        style = self._styles_by_kind.get(kind)
        if style is None:
            style = self.get_component_rich_style(f"stream--{kind}") if kind else self.rich_style
            self._styles_by_kind[kind] = style
        return style

    def render_line(self, y: int) -> Strip:
        """Return one row of the viewport."""
        row = y + self.scroll_offset.y
        width = self.size.width
        if row >= len(self._rows):
            return Strip.blank(width, self._style_of(""))
        kind, text = self._rows[row]
        strip = Strip([Segment(text, self._style_of(kind))]).adjust_cell_length(width, self._style_of(""))
        return self._marked(strip, row) if self.matches else strip


def matches_in(rows: Sequence[str], wanted: str) -> list[Match]:
    """Return where ``wanted`` stands in rows that were wrapped, whatever its case, across their ends too."""
    whole = "".join(rows)
    text, sought = whole.lower(), wanted.lower()
    if len(text) != len(whole):  # a letter whose small form is longer: places would be others'
        text, sought = whole, wanted
    starts = list(accumulate((len(row) for row in rows), initial=0))
    found: list[Match] = []
    at = text.find(sought)
    while at >= 0 and sought:
        pieces, end = [], at + len(sought)
        row = bisect_right(starts, at) - 1
        while row < len(rows) and starts[row] < end:
            start = max(0, at - starts[row])
            stop = min(len(rows[row]), end - starts[row])
            if start < stop:
                pieces.append((row, start, stop))
            row += 1
        found.append(tuple(pieces))
        at = text.find(sought, end)
    return found


def _folded(block: _Block) -> str:
    return tr("▸ reasoning, {characters:,} characters", characters=block.characters)
