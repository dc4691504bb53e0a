"""The area that a prompt is written in: Textual's TextArea, made exact and fast, with a gutter of tokens per line.

Against the stock widget (key to painted, measured in a pty: tests/benchmarks/editor_keys.py):

* the text is kept exactly (:mod:`.document`) and each change is told as :class:`PromptArea.Edited` with its span;
* one row is rendered from its own characters, never from the whole text, and cached by what it shows, so that an edit
  costs the rows it changed;
* wrapping, height and undo touch only what changed (:mod:`.wrapping`);
* control characters are painted as pictures;
* the cursor stands between characters as people see them (:mod:`.graphemes`);
* roles, headings, variables, tags and code are coloured by the visible rows alone (:mod:`.syntax`).

It overrides parts of TextArea that carry no promise: Textual is pinned, and tests/promptop_tui/editor/test_hooks.py
fails when one of them changes.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.document._document import Location, Selection
from textual.document._edit import Edit
from textual.document._history import EditHistory
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widgets import TextArea

from promptop_tui.widgets.prompt_area import line_edits
from promptop_tui.widgets.prompt_area.document import EditSpan, ExactDocument
from promptop_tui.widgets.prompt_area.graphemes import next_boundary
from promptop_tui.widgets.prompt_area.history import Step, restore, steps
from promptop_tui.widgets.prompt_area.navigator import GraphemeNavigator
from promptop_tui.widgets.prompt_area.syntax import SYNTAX_CLASSES, State, SyntaxIndex, spans
from promptop_tui.widgets.prompt_area.token_overlay import (
    HEAT_CLASSES,
    MERGED_CLASS,
    TOKEN_CLASSES,
    WEIGHT_CLASSES,
    TokenOverlay,
)
from promptop_tui.widgets.prompt_area.wrapping import SHOWN_IN_LINE, BlockWrappedDocument

_UNDO_STEPS = 500
_TOKENS_WIDTH = 5
_BRACKET_LINES = 2000
_BRACKET_COLUMNS = 5000
MATCH_CLASSES = ("prompt-area--match", "prompt-area--match-now")
_EDITING = frozenset({"indent", "dedent", "leave", "move_lines", "duplicate_lines", "toggle_off"})
"""Actions of an area that is a document, not a field of a form."""


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
        *WEIGHT_CLASSES.values(),
        *SYNTAX_CLASSES,
        *MATCH_CLASSES,
    }

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f6", "toggle_edges", "Tokens", id="draft.tokens", tooltip="Show where tokens begin", show=False),
        Binding("f7", "toggle_heat", "Heat", id="draft.heat", tooltip="Show which lines take the tokens", show=False),
        Binding("ctrl+home", "cursor_top", "Top", id="draft.top", tooltip="Go to the first line", show=False),
        Binding("ctrl+end", "cursor_bottom", "Bottom", id="draft.bottom", tooltip="Go to the last line", show=False),
        Binding("ctrl+shift+home", "cursor_top(True)", "Select to the top", show=False),
        Binding("ctrl+shift+end", "cursor_bottom(True)", "Select to the end", show=False),
        Binding(
            "alt+a", "select_all", "Select all", id="draft.select_all", tooltip="Select the whole text", show=False
        ),
        Binding("tab", "indent", "Indent", id="draft.indent", tooltip="Indent; Esc leaves the draft", show=False),
        Binding("shift+tab", "dedent", "Dedent", id="draft.dedent", tooltip="Take one step of indent back", show=False),
        Binding("escape", "leave", "Leave", id="draft.leave", tooltip="Go on to the next panel", show=False),
        Binding("alt+up", "move_lines(False)", "Move up", id="draft.move_up", tooltip="Move the lines up", show=False),
        Binding(
            "alt+down", "move_lines(True)", "Move down", id="draft.move_down", tooltip="Move the lines down", show=False
        ),
        Binding(
            "alt+d,alt+shift+down",
            "duplicate_lines(True)",
            "Duplicate",
            id="draft.duplicate",
            tooltip="Repeat the lines below",
            show=False,
        ),
        Binding(
            "alt+shift+up",
            "duplicate_lines(False)",
            "Duplicate above",
            id="draft.duplicate_up",
            tooltip="Repeat the lines above",
            show=False,
        ),
        Binding(
            "ctrl+underscore,ctrl+slash",
            "toggle_off",
            "Off / on",
            id="draft.toggle_off",
            tooltip="Switch the lines off: they stay in the file and are not sent",
            show=False,
        ),
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

    def __init__(
        self,
        text: str = "",
        *,
        placeholder: str = "",
        id: str | None = None,  # noqa: A002 (Textual's name)
        is_document: bool = False,
    ) -> None:
        """``is_document``: Tab indents and Esc leaves; else Tab leaves, as in a field of a form."""
        self._is_document = is_document
        self._matches: tuple[list[int], list[int], int | None] = ([], [], None)
        self.overlay = TokenOverlay(self.get_component_rich_style)
        self._line_tokens: dict[int, int] = {}
        self.version = 0
        """Counts the changes of the text."""
        self.exact = ExactDocument(text)
        self.syntax = SyntaxIndex(self.exact)
        self.wrapping = BlockWrappedDocument(self.exact)
        super().__init__(
            text, id=id, placeholder=placeholder, show_line_numbers=True, max_checkpoints=_UNDO_STEPS, compact=True
        )

    # The document

    def _set_document(self, text: str, language: str | None) -> None:
        """Install a new document; ``language`` is not used (highlighting reads the whole text at each key)."""
        self._highlight_query = None
        self.exact = ExactDocument(text)
        self.syntax = SyntaxIndex(self.exact)
        self.document = self.exact
        self.wrapping = BlockWrappedDocument(self.exact, self.wrap_width if self.is_mounted else 0, self.indent_width)
        self.wrapped_document = self.wrapping
        self.navigator = GraphemeNavigator(self.wrapping)
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
            self.syntax.move(span)
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

    def _apply(self, change: line_edits.LineEdit | None) -> None:
        """Make an edit of whole lines, as one step of undo."""
        if change is None or self.read_only:
            return
        self.history.checkpoint()
        end = (change.last, len(self.exact.get_line(change.last)))
        self.edit(Edit("\n".join(change.lines), (change.first, 0), end, True))
        self.selection = change.selection
        self.history.checkpoint()

    def undo_steps(self) -> tuple[list[Step], list[Step]]:
        """Return what undo and redo would take, as plain data."""
        return steps(self.history)

    def restore_undo(self, undo: Sequence[Step], redo: Sequence[Step]) -> None:
        """Take over the steps of an earlier session, which led to exactly this text."""
        restore(self.history, undo, redo)

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
        elif event.key == "enter" and self._is_document and not self.read_only:
            event.prevent_default()
            event.stop()
            row, column = min(self.selection)
            line = self.exact.get_line(row)
            margin = line_edits.indentation(line[:column])
            self._replace_via_keyboard(("\r\n" if line.endswith("\r") else "\n") + margin, *self.selection)

    def clamp_visitable(self, location: Location) -> Location:
        """Keep the cursor before the CR of a line that has one (in a file that mixes line ends): it ends the line."""
        row, column = super().clamp_visitable(location)
        line = self.exact.get_line(row)
        return (row, column - 1) if column and column == len(line) and line.endswith("\r") else (row, column)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave Tab and Esc to the form where this is one of its fields."""
        return self._is_document or action not in _EDITING

    def action_indent(self) -> None:
        """Indent the selected lines, or go to the next stop in the line."""
        if self.read_only:
            return
        if self.selection.start[0] != self.selection.end[0]:
            self._apply(line_edits.indent(self.exact.lines, self.selection))
            return
        row, column = min(self.selection)
        unit = line_edits.unit_near(self.exact.lines, row, row)
        blanks = unit if unit == "\t" else " " * (len(unit) - column % len(unit))
        self._replace_via_keyboard(blanks, *self.selection)

    def action_dedent(self) -> None:
        """Take one step of indentation from the selected lines."""
        self._apply(line_edits.dedent(self.exact.lines, self.selection))

    def action_leave(self) -> None:
        """Give the focus to what comes next."""
        self.screen.focus_next()

    def action_move_lines(self, down: bool) -> None:
        """Swap the selected lines with their neighbour."""
        self._apply(line_edits.move(self.exact.lines, self.selection, down=down))

    def action_duplicate_lines(self, down: bool) -> None:
        """Repeat the selected lines."""
        self._apply(line_edits.duplicate(self.exact.lines, self.selection, down=down))

    def action_toggle_off(self) -> None:
        """Switch the selected lines off for the next call, or on again."""
        self._apply(line_edits.toggle_off(self.exact.lines, self.selection))

    def action_cursor_top(self, select: bool = False) -> None:
        """Go to the first character."""
        self.move_cursor((0, 0), select=select)

    def action_cursor_bottom(self, select: bool = False) -> None:
        """Go behind the last character."""
        self.move_cursor(self.exact.end, select=select)

    def go_to(self, row: int, column: int = 0) -> None:
        """Put the cursor at a line and column that may lie outside the text, and show it in the middle."""
        row = max(0, min(row, self.exact.line_count - 1))
        self.move_cursor((row, max(0, min(column, len(self.exact.get_line(row))))), center=True)

    async def _on_click(self, event: events.Click) -> None:
        """Select the word at the second click, the line at the third."""
        if event.chain not in (2, 3):
            return
        event.prevent_default()
        event.stop()
        row, column = self.selection.end
        if event.chain == 3:
            self.select_line(row)
        else:
            start, end = word_at(self.exact.get_line(row), column)
            self.selection = Selection((row, start), (row, end))

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

    def set_matches(self, matches: Sequence[tuple[int, int]], now: int | None) -> None:
        """Mark these characters, as offsets in order; the one at index ``now`` stands out."""
        found = [start for start, _ in matches], [end for _, end in matches], now
        if found != self._matches:
            self._matches = found
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
            for first, behind, style in self._paints(line, text, start, start + len(row))
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

    def _paints(self, line: int, text: str, first: int, behind: int) -> Iterator[tuple[int, int, Style]]:
        """Yield what is painted over the columns [first, behind) of a line, in the order of painting."""
        theme = self._theme
        length = len(text)
        for start, end, name in spans(text, self.syntax.state(line), first, behind, self.syntax.language(line)):
            yield start, end, self.get_component_rich_style(name)
        yield from self._match_paints(line, first, behind)
        top, bottom = sorted(self.selection)
        cursor_row, cursor_column = self.selection.end
        if self.overlay.is_shown:
            sent = self._line_tokens if self.syntax.state(line) is not State.FRONT else {}
            yield from self.overlay.spans(line, length + 1, sent)
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
            yield cursor_column, max(cursor_column + 1, next_boundary(text, cursor_column)), theme.cursor_style

    def _match_paints(self, line: int, first: int, behind: int) -> Iterator[tuple[int, int, Style]]:
        starts, ends, now = self._matches
        if not starts:
            return
        offset = self.exact.offset_at((line, 0))
        at = bisect_left(ends, offset + first + 1)
        while at < len(starts) and starts[at] < offset + behind:
            name = MATCH_CLASSES[at == now]
            yield max(0, starts[at] - offset), ends[at] - offset, self.get_component_rich_style(name)
            at += 1

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
        if section or not self.show_tokens or self.syntax.state(line) is State.FRONT:
            return ""  # front matter is never sent
        tokens = self._line_tokens.get(line)
        if tokens is None:
            return "·"
        if not tokens:
            return ""
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


def word_at(line: str, column: int) -> tuple[int, int]:
    """Return where the word at a column begins and ends: letters and digits, else blanks, else one kind of sign."""
    if not line:
        return 0, 0
    at = min(column, len(line) - 1)

    def kind(character: str) -> str:
        if character.isalnum() or character == "_" or unicodedata.combining(character):
            return "word"
        return "blank" if character.isspace() else character

    start = end = at
    while start and kind(line[start - 1]) == kind(line[at]):
        start -= 1
    while end < len(line) and kind(line[end]) == kind(line[at]):
        end += 1
    return start, end
