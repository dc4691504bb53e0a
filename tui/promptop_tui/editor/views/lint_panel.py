"""What lint says of the draft, as a list that leads to the places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.getters import query_one
from textual.message import Message
from textual.widgets import OptionList, Static

from promptop.base.sanitize import clean_line
from promptop.base.texts import sentence, tr_n
from promptop_tui.widgets.panel import Panel

if TYPE_CHECKING:
    from promptop.trim.lint import LintFinding


class LintPanel(Panel):
    """Shows the findings that it is given, and tells what the user wants of one."""

    HELP = """\
Warnings first, then hints, each with the sentence that it is about; the highlighted one is selected in the draft. Enter
goes there. {lint.silence} silences its rule in this prompt: the front matter names it then (lint-off), which is not
sent. A comment <!-- lint-off: RULE --> silences a rule on its own line and the next, and [editor] lint_off in the
settings does for all prompts."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "silence", "Silence", id="lint.silence", tooltip="Do not apply this rule to this prompt"),
        Binding("escape", "close", "Back", id="lint.close", tooltip="Back to the draft"),
    ]

    HEAD: ClassVar[str] = "Lint"

    options = query_one("#lint-list", OptionList)
    said = query_one("#lint-said", Static)

    @dataclass
    class Wanted(Message):
        """The user wants something of a finding: ``point``, ``go``, ``silence`` or ``close`` (of none)."""

        what: str
        finding: LintFinding | None

    def __init__(self) -> None:
        super().__init__(id="lint")
        self._findings: tuple[LintFinding, ...] = ()
        self.display = False

    def compose(self) -> ComposeResult:
        """Lay out the message of the highlighted finding, and the list."""
        yield Static(id="lint-said", markup=False)
        yield OptionList(id="lint-list", markup=False, compact=True)

    @property
    def findings(self) -> tuple[LintFinding, ...]:
        """What is listed, warnings first."""
        return self._findings

    def show(self, findings: Sequence[LintFinding], note: str = "") -> None:
        """List these findings; without any, ``note`` says why."""
        ordered = sorted(findings, key=lambda each: (each.severity != "warning", each.line, each.start))
        at = self.options.highlighted or 0
        self._findings = tuple(ordered)
        warnings = sum(each.severity == "warning" for each in ordered)
        hints = len(ordered) - warnings
        counts = [tr_n("{n} warning", "{n} warnings", warnings)] if warnings else []
        counts += [tr_n("{n} hint", "{n} hints", hints)] if hints else []
        self.hint = ", ".join(counts)
        self.said.update("" if ordered else note)
        self.options.clear_options()
        self.options.add_options([self._line(each) for each in ordered])
        if ordered:
            self.options.highlighted = min(at, len(ordered) - 1)

    @staticmethod
    def _line(finding: LintFinding) -> Content:
        is_warning = finding.severity == "warning"
        about = clean_line(finding.sentence) if finding.sentence else clean_line(sentence(finding.message))
        return Content.assemble(
            (f"{finding.line:>5} ", "$foreground 60%"),
            ("! " if is_warning else "· ", "bold $text-warning" if is_warning else "$foreground 60%"),
            (f"{finding.rule}  ", "bold"),
            about,
        )

    def _current(self) -> LintFinding | None:
        at = self.options.highlighted
        return self._findings[at] if at is not None and at < len(self._findings) else None

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, message: OptionList.OptionHighlighted) -> None:
        message.stop()
        finding = self._current()
        if finding is not None:
            self.said.update(clean_line(sentence(finding.message)))
            self.post_message(self.Wanted("point", finding))

    @on(OptionList.OptionSelected)
    def _selected(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        self.post_message(self.Wanted("go", self._current()))

    def action_silence(self) -> None:
        """Silence the rule of the highlighted finding in this prompt."""
        if (finding := self._current()) is not None:
            self.post_message(self.Wanted("silence", finding))

    def action_close(self) -> None:
        """Go back to the draft."""
        self.post_message(self.Wanted("close", None))
