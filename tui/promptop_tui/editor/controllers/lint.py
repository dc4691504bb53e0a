"""Lint over the draft: run on a thread while its list is open, led to the place, silenced in the prompt."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from textual.document._document import Selection
from textual.timer import Timer
from textual.widget import Widget

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop_tui.context import AppContext
from promptop_tui.editor.views.lint_panel import LintPanel
from promptop_tui.widgets.prompt_area.area import PromptArea

if TYPE_CHECKING:
    from promptop.trim.lint import LintFinding

_AFTER_CHANGE_S = 0.4
_FRONT = re.compile(r"\ufeff?---[ \t]*\n(?P<yaml>.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_LIST = re.compile(r"^lint-off:[ \t]*\[(?P<rules>[^\]\n]*)\][ \t]*$", re.MULTILINE)


class LintController:
    """Between one area and its list of findings."""

    def __init__(self, pane: Widget, area: PromptArea, view: LintPanel, context: AppContext) -> None:
        """``pane`` lends timers and workers, and has the class ``-linting`` while the list is open."""
        self._pane = pane
        self._area = area
        self._view = view
        self._context = context
        self._timer: Timer | None = None
        self._version = -1

    def toggle(self) -> None:
        """Show the findings, or go back to the draft."""
        if self._view.display:
            self.close()
            return
        self._pane.add_class("-linting")
        self._view.display = True
        self._view.show((), tr("looking …"))
        self._pane.screen.set_focus(self._view.options)
        self._look()

    def close(self) -> None:
        """Go back to the draft."""
        self._view.display = False
        self._pane.remove_class("-linting")
        area = self._area
        area.selection = Selection.cursor(area.selection.end)  # what is typed next must not replace the place shown
        area.screen.set_focus(area)

    def text_edited(self) -> None:
        """Look again when the keys have rested for a moment."""
        if self._view.display:
            if self._timer is not None:
                self._timer.stop()
            self._timer = self._pane.set_timer(_AFTER_CHANGE_S, self._look)

    def _look(self) -> None:
        self._timer = None
        run = partial(self._run, self._area.text, self._area.version)
        self._pane.run_worker(run, thread=True, exclusive=True, group="lint", description="run the lint rules")

    def _run(self, text: str, version: int) -> None:
        from promptop.trim.lint import lint

        try:
            found, note = lint(text, off=self._context.settings.editor.lint_off), tr("Lint has nothing to remark.")
        except PromptopError as error:
            found, note = [], clean_line(error.cause)
        self._pane.call_later(self._came, found, note, version)

    def _came(self, found: list[LintFinding], note: str, version: int) -> None:
        if self._view.display and version == self._area.version:
            self._version = version
            self._view.show(found, note)

    def do(self, message: LintPanel.Wanted) -> None:
        """Do what the list asks for."""
        finding = message.finding
        if message.what == "close" or finding is None:
            self.close()
        elif self._version == self._area.version:
            match message.what:
                case "silence":
                    self._silence(finding)
                case _:
                    exact = self._area.exact
                    place = Selection(exact.location_at(finding.start), exact.location_at(finding.end))
                    self._area.selection = place
                    self._area.scroll_cursor_visible(center=True)
                    if message.what == "go":
                        self.close()

    def _silence(self, finding: LintFinding) -> None:
        start, end, text = silenced(self._area.text, finding.rule)
        self._area.edit_at(start, end, text)
        said = tr(
            "{rule} is silenced in this prompt: its front matter says lint-off. Undo brings it back.", rule=finding.rule
        )
        self._pane.notify(said, title=tr("Lint"), markup=False)


def silenced(text: str, rule: str) -> tuple[int, int, str]:
    """Return the edit (start, end, text) that makes the front matter switch a lint rule off."""
    front = _FRONT.match(text)
    if front is None:
        return 0, 0, f"---\nlint-off: [{rule}]\n---\n"
    known = _LIST.search(text, *front.span("yaml"))
    if known is None:
        at = front.end("yaml")
        return at, at, f"lint-off: [{rule}]\n"
    rules = [name.strip() for name in known["rules"].split(",") if name.strip()]
    return *known.span("rules"), ", ".join([*rules, rule])
