"""The area that a prompt is written in: Textual's TextArea, made exact and fast, with a gutter of tokens per line.

Against the stock widget (key to painted, measured in a pty: tests/benchmarks/editor_keys.py):

* the text is kept exactly (:mod:`.document`) and each change is told as :class:`PromptArea.Edited` with its span;
* one row is rendered from its own characters, never from the whole text, and cached by what it shows, so that an edit
  costs the rows it changed;
* wrapping, height and undo touch only what changed (:mod:`.wrapping`);
* control characters are painted as pictures.

It overrides parts of TextArea that carry no promise: Textual is pinned, and tests/promptop_tui/editor/test_hooks.py
fails when one of them changes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.document._document import Location
from textual.document._document_navigator import DocumentNavigator
from textual.document._edit import Edit
from textual.document._history import EditHistory
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widgets import TextArea

from promptop_tui.widgets.prompt_area.document import EditSpan, ExactDocument
from promptop_tui.widgets.prompt_area.token_overlay import HEAT_CLASSES, MERGED_CLASS, TOKEN_CLASSES, TokenOverlay
from promptop_tui.widgets.prompt_area.wrapping import SHOWN_IN_LINE, BlockWrappedDocument

_UNDO_STEPS = 500
_TOKENS_WIDTH = 5
_BRACKET_LINES = 2000
_BRACKET_COLUMNS = 5000


class PromptArea(TextArea):
    """An exact text area for prompts of any size."""

    show_tokens: reactive[bool] = reactive(True, init=False)
    """Whether the second gutter, tokens per line, is shown."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "prompt-area--tokens",
        "prompt-area--cursor-tokens",
        *TOKEN_CLASSES,
        MERGED_CLASS,
        *HEAT_CLASSES,
    }

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f6", "toggle_edges", "Tokens", id="draft.tokens", tooltip="Show where tokens begin", show=False),
        Binding("f7", "toggle_heat", "Heat", id="draft.heat", tooltip="Show which lines take the tokens", show=False),
    ]

    @dataclass
    class Edited(Message):
        """The text changed: by these spans in this order, or as a whole (``reset``)."""

        area: PromptArea
        spans: list[EditSpan]
        reset: bool = False
        version: int = 0
        """The area's version with this change."""

        @property
        def control(self) -> PromptArea:
            """The area that changed."""
            return self.area

    @dataclass
    class ViewChanged(Message):
        """Other lines may be visible than before."""

        area: PromptArea

        def can_replace(self, message: Message) -> bool:
            """Let one such message stand for all that wait."""
            return isinstance(message, PromptArea.ViewChanged)

        @property
        def control(self) -> PromptArea:
            """The area that was scrolled or resized."""
            return self.area

    def __init__(self, text: str = "", *, placeholder: str = "", id: str | None = None) -> None:  # noqa: A002 (Textual's name)
        self.overlay = TokenOverlay(self.get_component_rich_style)
        self._line_tokens: dict[int, int] = {}
        self.version = 0
        """Counts the changes of the text."""
        self.exact = ExactDocument(text)
        self.wrapping = BlockWrappedDocument(self.exact)
        super().__init__(
            text, id=id, placeholder=placeholder, show_line_numbers=True, max_checkpoints=_UNDO_STEPS, compact=True
        )

    # The document

    def _set_document(self, text: str, language: str | None) -> None:
        """Install a new document; ``language`` is not used (highlighting reads the whole text at each key)."""
        self._highlight_query = None
        self.exact = ExactDocument(text)
        self.document = self.exact
        self.wrapping = BlockWrappedDocument(self.exact, self.wrap_width if self.is_mounted else 0, self.indent_width)
        self.wrapped_document = self.wrapping
        self.navigator = DocumentNavigator(self.wrapping)
        self._line_tokens.clear()
        self.overlay.clear()
        self.version += 1
        self.move_cursor((0, 0))
        if self.is_mounted:
            self._refresh_size()
            self.post_message(self.Edited(self, [], reset=True, version=self.version))

    def _watch_language(self, language: str | None) -> None:
        """Keep the document: a language would not change it."""

    def _build_highlight_map(self) -> None:
        """Tell what changed; TextArea calls this once per change that a user sees, after edit, undo and redo."""
        spans = self.exact.take_pending()
        if not spans:
            return
        self.version += 1
        for span in spans:
            self._move_line_tokens(span)
            self.overlay.move(span)
        if self.is_mounted:
            self.post_message(self.Edited(self, spans, version=self.version))

    def edit_whole(self, text: str) -> None:
        """Replace the whole text as one change that undo takes back."""
        self.history.checkpoint()
        self.edit(Edit(text, (0, 0), self.exact.end, False))
        self.history.checkpoint()

    def edit_at(self, start: int, end: int, text: str) -> None:
        """Replace the characters [start, end) as one change that undo takes back."""
        self.history.checkpoint()
        self.edit(Edit(text, self.exact.location_at(start), self.exact.location_at(end), True))
        self.history.checkpoint()

    def forget_history(self) -> None:
        """Make the present text the one that undo stops at."""
        self.history = EditHistory(_UNDO_STEPS, checkpoint_timer=2.0, checkpoint_max_characters=100)

    # Undo: stock 8.2.8 re-wraps one merged range for the whole batch, which is wrong where edits of the batch moved
    # each other (ValueError after a multi-line paste and undo, textual#6686). Here each edit is wrapped as it is done.

    def _undo_batch(self, edits: Sequence[Edit]) -> None:
        gutter = self.gutter_width
        for edit in reversed(edits):
            if edit._edit_result is not None:
                old_end = edit._edit_result.end_location
                edit.undo(self)
                self.wrapping.wrap_range(edit.top, old_end, edit.bottom)
        self._after_batch(list(reversed(edits)), gutter)

    def _redo_batch(self, edits: Sequence[Edit]) -> None:
        gutter = self.gutter_width
        for edit in edits:
            result = edit.do(self, record_selection=False)
            self.wrapping.wrap_range(edit.top, edit.bottom, result.end_location)
        self._after_batch(edits, gutter)

    def _after_batch(self, edits: Sequence[Edit], gutter: int) -> None:
        if not edits:
            return
        if gutter != self.gutter_width:
            self.wrapping.wrap(self.wrap_width, self.indent_width)
        self._refresh_size()
        for edit in edits:
            edit.after(self)
        self._build_highlight_map()
        self.post_message(self.Changed(self))

    def _refresh_size(self) -> None:
        super()._refresh_size()
        if self.is_mounted:
            self.post_message(self.ViewChanged(self))

    # Keys

    async def _on_paste(self, event: events.Paste) -> None:
        # Terminals send CR for line breaks inside a bracketed paste. Handlers of every class in the MRO run unless
        # the default is prevented: the stock one would insert the text a second time.
        event.prevent_default()
        event.stop()
        if self.read_only:
            return
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        text = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate could not be saved
        if result := self._replace_via_keyboard(text, *self.selection):
            self.move_cursor(result.end_location)
            self.focus()

    async def _on_key(self, event: events.Key) -> None:
        character = event.character
        if character and not self.read_only and len(character) == 1 and unicodedata.category(character) == "Cf":
            # Joiners (ZWJ, ZWNJ …) are not "printable" to Textual, and emoji, Persian and Hindi need them.
            event.prevent_default()
            event.stop()
            self._replace_via_keyboard(character, *self.selection)

    def find_matching_bracket(self, bracket: str, search_from: Location) -> Location | None:
        """Search as TextArea does, but not through megabytes."""
        if self.exact.line_count > _BRACKET_LINES or len(self.exact.get_line(search_from[0])) > _BRACKET_COLUMNS:
            return None
        return super().find_matching_bracket(bracket, search_from)

    # Gutter and spans

    @property
    def gutter_width(self) -> int:
        """Cells left of the text: line numbers, tokens, one blank."""
        if not self.show_line_numbers:
            return 0
        numbers = max(2, len(str(self.document.line_count))) + 1
        return numbers + _TOKENS_WIDTH + 1 if self.show_tokens else numbers

    def watch_show_tokens(self) -> None:
        """Make room, or give it back."""
        self._rewrap_and_refresh_virtual_size()
        self.refresh()

    def visible_lines(self) -> tuple[int, int]:
        """Return the first and the last line that are on the screen, both included."""
        top = round(self.scroll_y)
        return self.wrapping.line_at(top)[0], self.wrapping.line_at(top + max(1, self.size.height) - 1)[0]

    def set_line_tokens(self, first: int, tokens: Sequence[int]) -> None:
        """Show these tokens beside the lines from ``first``; other lines show none until they are known."""
        fresh = dict(enumerate(tokens, first))
        if fresh != self._line_tokens:
            self._line_tokens = fresh
            self.refresh()

    def set_totals(self, tokens: int) -> None:
        """Tell the tokens of the whole text, which heat is measured by."""
        self.overlay.total_tokens, self.overlay.line_count = tokens, self.exact.line_count
        if self.overlay.shows_heat:
            self.refresh()

    @property
    def line_tokens(self) -> Mapping[int, int]:
        """Line → tokens, for the lines that are known."""
        return self._line_tokens

    def _move_line_tokens(self, span: EditSpan) -> None:
        moved = span.new_end[0] - span.old_end[0]
        if moved:
            kept = self._line_tokens.items()
            self._line_tokens = {
                line + moved if line > span.old_end[0] else line: tokens
                for line, tokens in kept
                if line <= span.start[0] or line > span.old_end[0]
            }

    def action_toggle_edges(self) -> None:
        """Paint tokens, or stop it."""
        self.overlay.shows_tokens = not self.overlay.shows_tokens
        self.overlay.clear()
        self.post_message(self.ViewChanged(self))
        self.refresh()

    def action_toggle_heat(self) -> None:
        """Paint lines by their share of the tokens, or stop it."""
        self.overlay.shows_heat = not self.overlay.shows_heat
        self.refresh()

    def visible_characters(self) -> tuple[int, int]:
        """Return the offsets of the first visible character and of the one behind the last."""
        top = round(self.scroll_y)
        first, section = self.wrapping.line_at(top)
        last, last_section = self.wrapping.line_at(top + max(1, self.size.height) - 1)
        start = self.exact.offset_at((first, self.wrapping.row_span(first, section)[0]))
        return start, self.exact.offset_at((last, self.wrapping.row_span(last, last_section)[1]))

    def _watch_scroll_y(self) -> None:
        super()._watch_scroll_y()
        self.post_message(self.ViewChanged(self))

    # Painting

    def render_line(self, y: int) -> Strip:
        """Render one row; ``y`` is relative to the visible part."""
        scroll_x, scroll_y = self.scroll_offset
        theme_base = self._theme.base_style
        base = self.rich_style if theme_base is None else theme_base
        if self.placeholder and not self.exact.length:
            return self._render_placeholder(y, base)
        if scroll_y + y >= self.wrapping.height:
            return Strip.blank(self.size.width, base)
        line, section = self.wrapping.line_at(scroll_y + y)
        start, end = self.wrapping.row_span(line, section)
        text = self.exact.get_line(line)
        row = text[start:end] if end < len(text) else text[start:] + " "  # the blank is where the cursor may rest
        on_cursor_line = self.selection.end[0] == line and self.highlight_cursor_line and self._has_cursor
        paints = tuple(
            (max(first - start, 0), min(behind - start, len(row)), style)
            for first, behind, style in self._paints(line, len(text))
            if behind > start and first < start + len(row)
        )
        number = str(line + 1) if section == 0 else ""
        tokens = self._token_label(line, section)
        # By content: an edit leaves all rows cached but those it changed, also where it moved them.
        key = (row, paints, number, tokens, on_cursor_line, self.size, self.gutter_width, scroll_x, self.soft_wrap)
        strip = self._line_cache.get(key)
        if strip is None:
            strip = self._render_row(row, paints, on_cursor_line, base)
            if self.show_line_numbers:
                gutter = self._gutter(number, tokens, on_cursor_line)
                strip = Strip.join([Strip(gutter, self.gutter_width).apply_style(base), strip])
            self._line_cache[key] = strip
        return strip

    def _paints(self, line: int, length: int) -> Iterator[tuple[int, int, Style]]:
        """Yield what is painted over a line's text, in the order of painting; columns are the line's."""
        theme = self._theme
        top, bottom = sorted(self.selection)
        cursor_row, cursor_column = self.selection.end
        if self.overlay.shows_tokens or self.overlay.shows_heat:
            yield from self.overlay.spans(line, length + 1, self._line_tokens)
        if top != bottom and top[0] <= line <= bottom[0] and theme.selection_style:
            behind = bottom[1] if line == bottom[0] else length + 1
            yield (top[1] if line == top[0] else 0), behind, theme.selection_style
        bracket = self._matching_bracket_location
        if bracket and top == bottom and self.match_cursor_bracket and theme.bracket_matching_style:
            if cursor_row == line:
                yield cursor_column, cursor_column + 1, theme.bracket_matching_style
            if bracket[0] == line:
                yield bracket[1], bracket[1] + 1, theme.bracket_matching_style
        if cursor_row == line and self._draw_cursor and theme.cursor_style:
            yield cursor_column, cursor_column + 1, theme.cursor_style

    def _render_row(
        self, row: str, paints: Sequence[tuple[int, int, Style]], on_cursor_line: bool, base: Style
    ) -> Strip:
        theme = self._theme
        text = Text(row.translate(SHOWN_IN_LINE), end="", no_wrap=True)
        if on_cursor_line and theme.cursor_line_style:
            text.stylize(theme.cursor_line_style)
        for first, behind, style in paints:
            text.stylize(style, first, behind)
        if "\t" in row:
            text.expand_tabs(self.indent_width)
        width = self.scrollable_content_region.size.width - self.gutter_width
        strip = Strip(text.render(self.app.console), text.cell_len)
        if not self.soft_wrap:
            strip = strip.crop(self.scroll_offset.x, self.scroll_offset.x + width)
        fill = theme.cursor_line_style if on_cursor_line else theme.base_style
        return strip.adjust_cell_length(width, fill).apply_style(base)

    def _render_placeholder(self, y: int, base: Style) -> Strip:
        room = self.scrollable_content_region.width - self.gutter_width - 1
        lines = Text(str(self.placeholder)).wrap(self.app.console, max(room, 1))
        text = lines[y] if y < len(lines) else Text()
        # Mixed with the background, which the partial style is not: the colour is a share of the text's.
        text.stylize(self.get_component_rich_style("text-area--placeholder"))
        if y == 0 and self._draw_cursor and self._theme.cursor_style:
            text.pad_right(1)
            text.stylize(self._theme.cursor_style, 0, 1)
        left = Strip([Segment(" " * self.gutter_width)], self.gutter_width)
        strip = Strip.join([left, Strip(text.render(self.app.console), text.cell_len)])
        return strip.adjust_cell_length(self.scrollable_content_region.width).apply_style(base)

    def _token_label(self, line: int, section: int) -> str:
        if section or not self.show_tokens:
            return ""
        tokens = self._line_tokens.get(line)
        if tokens is None:
            return "·"
        return self.overlay.share(tokens) if self.overlay.shows_heat else short(tokens)

    def _gutter(self, number: str, tokens: str, on_cursor_line: bool) -> list[Segment]:
        theme = self._theme
        numbers = max(2, len(str(self.document.line_count)))
        style = theme.cursor_line_gutter_style if on_cursor_line else theme.gutter_style
        segments = [Segment(f"{number:>{numbers}} ", style)]
        if self.show_tokens:
            name = "prompt-area--cursor-tokens" if on_cursor_line else "prompt-area--tokens"
            segments.append(Segment(f"{tokens:>{_TOKENS_WIDTH}} ", self.get_component_rich_style(name)))
        return segments


def short(number: int) -> str:
    """Write a count in at most five cells: 1234, 12.3k, 1234k, 12M."""
    if number < 10_000:
        return str(number)
    if number < 99_950:
        return f"{number / 1000:.1f}k"
    return f"{round(number / 1000)}k" if number < 9_999_500 else f"{round(number / 1_000_000)}M"
