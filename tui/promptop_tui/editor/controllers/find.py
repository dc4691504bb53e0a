"""Find and replace over the draft: which matches there are now, which of them is meant, what is put in its place."""

from __future__ import annotations

from textual.document._document import Selection

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop_tui.editor.views.find_bar import FindBar
from promptop_tui.widgets.prompt_area.area import PromptArea
from promptop_tui.widgets.prompt_area.document import EditSpan
from promptop_tui.widgets.prompt_area.search import MOST, Matches, find, replaced


class Find:
    """Looks in ``area`` for what ``bar`` says, while the bar is open."""

    def __init__(self, area: PromptArea, bar: FindBar) -> None:
        self._area = area
        self._bar = bar
        self._found = Matches()
        self._at: int | None = None
        self._from = 0
        self._within: tuple[int, int] | None = None
        self._problem = ""
        self._followed = -1
        """Version of the text that the selection which is searched has followed already."""

    @property
    def found(self) -> Matches:
        """The matches of the present text."""
        return self._found

    def open(self) -> None:
        """Open the bar: a selection inside one line is what to find, a longer one is where."""
        area = self._area
        start, end = sorted(area.exact.offset_at(place) for place in area.selection)
        text = area.selected_text
        is_long = "\n" in text
        if start < end:
            self._within = (start, end)
        self._from = start
        self._bar.open("" if is_long else text, within=is_long)

    def handle(self, message: FindBar.Changed | FindBar.Wanted) -> None:
        """Do what the bar asks for."""
        if isinstance(message, FindBar.Changed):
            self.look()
            return
        match message.what:
            case "next":
                self._step(1)
            case "previous":
                self._step(-1)
            case "replace":
                self._replace()
            case "replace all":
                self._replace_all()
            case _:
                self._close()

    def look(self) -> None:
        """Find all matches, and mark the first from where the search began."""
        self._search()
        self._at = self._found.at_or_after(self._from)
        self._show()

    def text_edited(self, message: PromptArea.Edited) -> None:
        """Follow an edit: the selection that is searched moves with its text, and the matches are found anew."""
        if message.version <= self._followed:
            return
        if message.reset:
            self._within = None
        for span in message.spans:
            if self._within is not None:
                self._within = _moved(self._within, span)
        if self._bar.display:
            self._search()
            self._at = self._found.at_or_after(self._area.exact.offset_at(min(self._area.selection)))
            self._paint()

    def _search(self, replacement: str | None = None) -> None:
        within = self._within if self._bar.is_within else None
        self._problem = ""
        try:
            self._found = find(self._bar.query_now, self._area.text, within, replacement)
        except PromptopError as error:
            self._found = Matches()
            self._problem = clean_line(error.cause)

    def _show(self) -> None:
        """Select the match that is meant, and bring it into view."""
        self._paint()
        if self._at is not None:
            match = self._found.matches[self._at]
            exact = self._area.exact
            self._area.selection = Selection(exact.location_at(match.start), exact.location_at(match.end))
            self._area.scroll_cursor_visible(center=True)

    def _paint(self) -> None:
        matches = self._found.matches
        self._area.set_matches([(match.start, match.end) for match in matches], self._at)
        if self._problem:
            self._bar.say(self._problem, is_wrong=True)
        elif not self._bar.query_now.text:
            self._bar.say("")
        elif self._at is None:
            self._bar.say(tr("no match"), is_wrong=True)
        else:
            more = "+" if self._found.has_more else ""
            self._bar.say(f"{self._at + 1:,} of {len(matches):,}{more}")

    def _step(self, by: int) -> None:
        if self._at is not None:
            self._at = (self._at + by) % len(self._found.matches)
            self._from = self._found.matches[self._at].start
        self._show()

    def _replace(self) -> None:
        """Replace the match that is meant, and go on to the next one behind it."""
        self._search(self._bar.replacement.value)
        if self._at is None or self._at >= len(self._found.matches):
            self._show()
            return
        match = self._found.matches[self._at]
        self._area.edit_at(match.start, match.end, match.replacement)
        self._follow(match.start, match.end, len(match.replacement))
        self._from = match.start + len(match.replacement)
        self.look()

    def _replace_all(self) -> None:
        self._search(self._bar.replacement.value)
        matches = self._found.matches
        if not matches:
            self._show()
            return
        start, end, text = replaced(self._area.text, matches)
        self._area.edit_at(start, end, text)
        self._follow(start, end, len(text))
        self._from = start
        self._search()
        self._at = self._found.at_or_after(start)
        self._paint()
        left = tr(" (there are more: once again)") if len(matches) == MOST else ""
        self._bar.say(tr("{n:,} replaced{left}", n=len(matches), left=left))

    def _follow(self, start: int, end: int, length: int) -> None:
        """Let the selection that is searched grow or shrink by a replacement; its message comes too late for that."""
        if self._within is not None and self._within[0] <= start:
            self._within = self._within[0], self._within[1] + length - (end - start)
        self._followed = self._area.version

    def _close(self) -> None:
        self._bar.display = False
        self._area.set_matches([], None)
        self._area.screen.set_focus(self._area)


def _moved(within: tuple[int, int], span: EditSpan) -> tuple[int, int]:
    """Return where a stretch of the text lies after an edit."""
    grown = len(span.inserted) - len(span.replaced)
    start, end = within
    if span.offset + len(span.replaced) <= start and span.offset < start:
        return start + grown, end + grown
    return (start, max(start, end + grown)) if span.offset <= end else within
