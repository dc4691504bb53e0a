"""A test set as a table: cases are added, changed and deleted, and saved to their file in its own form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop.experiments.checks import Spec
from promptop.experiments.test_sets import Case, TestSet, read_test_set
from promptop.experiments.test_sets.writer import write_test_set
from promptop_tui.shell.key_names import key_name
from promptop_tui.widgets.dialog import Dialog
from promptop_tui.widgets.form_modal import FormField, FormModal
from promptop_tui.widgets.table import Cell, ChoiceTable, Column, VirtualTable


class CaseForm(FormModal[Case]):
    """One case as a form; its result is the case as it was typed."""

    HELP = """
    *expected* is what is right: a text, or JSON. *checks* stand one a line, as in `contains:TEXT` or as a JSON object.
    *weight* says how many real inputs the case stands for, and tags stand with commas. A case with messages or files
    keeps these. Escape takes the case.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Take", id="dialog.close", tooltip="Take the case as it is typed", priority=True),
        Binding("f8", "drop", "Cancel", id="case.cancel", tooltip="Leave the case as it was", priority=True),
    ]

    def __init__(self, case: Case, names: Sequence[str]) -> None:
        """``names`` are the variables that other cases or the prompt have."""
        self._case = case
        values = case.values()
        self._names = list(dict.fromkeys([*names, *values]))
        lines = [
            FormField("id", "id", case.id, tr("made from the variables")),
            FormField("tags", "tags", ", ".join(case.tags), "none"),
            FormField("weight", "weight", f"{case.weight:g}", "1"),
            FormField("critical", "critical", "yes" if case.critical else "", "no"),
        ]
        texts = [
            FormField(f"var{at}", name, values.get(name, ""), "empty", is_text=True)
            for at, name in enumerate(self._names)
        ]
        texts += [
            FormField("expected", "expected", _text(case.expected), tr("nothing: checks alone decide"), is_text=True),
            FormField("checks", "checks", "\n".join(map(_text, case.checks)), "contains:TEXT", is_text=True),
        ]
        super().__init__(tr("case {id}", id=case.id) if case.id else tr("new case"), [*lines, *texts])

    def action_drop(self) -> None:
        """Close without a change."""
        self.dismiss(None)

    def action_close(self) -> None:
        """Close with the case, or say what is wrong with it."""
        try:
            self.dismiss(self._typed())
        except PromptopError as error:
            self.say(str(error), bad=True)

    def _typed(self) -> Case:
        values = self.values()
        try:
            weight = float(values["weight"] or 1)
        except ValueError:
            weight = -1.0
        if not 0 < weight < 1e9:
            raise UsageError(f"The weight cannot be {values['weight']!r}.", "Write a number above 0.")
        given: dict[str, Any] = {}
        for at, name in enumerate(self._names):
            typed = values[f"var{at}"]
            if typed == self._case.values().get(name):
                given[name] = self._case.vars[name]  # JSON stays what it was
            elif typed:
                given[name] = typed
        case = replace(
            self._case,
            id=values["id"],
            vars=given,
            expected=self._case.expected
            if values["expected"] == _text(self._case.expected)
            else _value(values["expected"]),
            checks=tuple(_spec(line) for line in values["checks"].splitlines() if line.strip()),
            tags=tuple(tag.strip() for tag in values["tags"].split(",") if tag.strip()),
            weight=weight,
            critical=values["critical"].lower() in ("yes", "y", "true", "1"),
        )
        if not case.vars and not case.messages:
            raise UsageError("The case has no input.", "Give a variable a value.")
        case.parsed(None, python=True)
        return case


class TestSetDialog(Dialog[Path]):
    """The cases of a file; its result is the file, if it was saved."""

    __test__ = False  # it is not a class of tests

    HELP = """
    Enter opens a case as a form, `a` adds one after the highlighted case, `d` deletes that case, `z` takes the last
    change back. `F9` saves the set to its file, in the form that its name says; a file that could not hold a case as it
    is stays as it was. Comments of a YAML file are not kept.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "add", "Add", id="cases.add", tooltip="Add a case"),
        Binding("d", "delete", "Delete", id="cases.delete", tooltip="Delete the highlighted case"),
        Binding("z", "undo", "Undo", id="cases.undo", tooltip="Take the last change back"),
        Binding("f9", "save", "Save", id="cases.save", tooltip="Save the set to its file"),
    ]

    def __init__(self, path: Path, names: Sequence[str] = ()) -> None:
        """Read the set; a file that is not there begins an empty one. ``names`` are the prompt's variables.

        Raises :class:`PromptopError` for a file that cannot be read.
        """
        super().__init__(tr("test set {name}", name=clean_line(path.name, 60)))
        self.path = path
        self.test_set = read_test_set(path) if path.exists() else TestSet((), (), path)
        self._prompt_names = tuple(names)
        self._before: list[tuple[Case, ...]] = []
        self._is_saved = True
        self._was_saved = False
        self._closes = False
        columns = (
            Column("id", "id", 10),
            Column("vars", "variables", 18, grows=True),
            Column("expected", "expected", 12, rank=1),
            Column("checks", "checks", 16, rank=2),
            Column("tags", "tags", 8, rank=3),
            Column("weight", "weight", 6, rank=4, right=True),
        )
        self._table = ChoiceTable(columns, follows=False, id="grid-table")
        self._table.empty = tr("No case yet.")

    def compose(self) -> ComposeResult:
        """Lay out the table over the state."""
        with self.frame():
            yield self._table
            yield Static(id="cases-state", markup=False)

    def on_mount(self) -> None:
        """Show the cases."""
        self._show()
        self._table.focus()

    def _show(self) -> None:
        cases = self.test_set.cases
        self._table.set_rows(len(cases), self._row)
        state = "saved" if self._is_saved else tr("not saved: {key_name} saves", key_name=key_name(self, "cases.save"))
        self._say(tr("{n} cases · {state}", n=len(cases), state=state))

    def _say(self, text: str) -> None:
        self.query_one("#cases-state", Static).update(clean(text))

    def _row(self, at: int) -> Sequence[Cell]:
        if at >= len(self.test_set.cases):
            return ()
        case = self.test_set.cases[at]
        values = case.values()
        given = " · ".join(f"{name}: {value}" if len(values) > 1 else value for name, value in values.items())
        cells = (
            case.id,
            given or tr("{n} messages", n=len(case.messages)),
            _text(case.expected),
            ", ".join(map(_text, case.checks)),
            ", ".join(case.tags),
            f"{case.weight:g}",
        )
        return tuple(clean_line(text, 200) for text in cells)

    @property
    def _names(self) -> list[str]:
        return list(dict.fromkeys([*self._prompt_names, *(name for case in self.test_set.cases for name in case.vars)]))

    def _take(self, cases: Sequence[Case]) -> None:
        self._before.append(self.test_set.cases)
        self.test_set = replace(self.test_set, cases=tuple(cases))
        self._is_saved = self._closes = False
        self._show()

    @on(VirtualTable.Chosen)
    def _opened(self, event: VirtualTable.Chosen) -> None:
        event.stop()
        at = event.row
        if at < len(self.test_set.cases):
            cases = self.test_set.cases

            def typed(case: Case | None) -> None:
                if case is not None and case != cases[at]:
                    self._take([*cases[:at], case, *cases[at + 1 :]])

            self.app.push_screen(CaseForm(cases[at], self._names), typed)

    def action_add(self) -> None:
        """Add a case after the highlighted one."""
        cases = self.test_set.cases
        at = min(self._table.cursor_row + 1, len(cases))

        def typed(case: Case | None) -> None:
            if case is not None:
                self._take([*cases[:at], case, *cases[at:]])
                self._table.go(at)

        self.app.push_screen(CaseForm(Case(""), self._names or ["input"]), typed)

    def action_delete(self) -> None:
        """Delete the highlighted case; undo brings it back."""
        cases, at = self.test_set.cases, self._table.cursor_row
        if at < len(cases):
            self._take([*cases[:at], *cases[at + 1 :]])

    def action_undo(self) -> None:
        """Take the last change back."""
        if self._before:
            self.test_set = replace(self.test_set, cases=self._before.pop())
            self._is_saved = False
            self._show()

    def action_save(self) -> None:
        """Save the set to its file."""
        try:
            write_test_set(self.path, self.test_set)
            # Names that were left empty are made from what the cases hold.
            self.test_set = read_test_set(self.path)
        except PromptopError as error:
            self.notify(clean(str(error)), title=tr("Not saved"), severity="error", markup=False)
            return
        self._is_saved = self._was_saved = True
        self._show()

    def action_close(self) -> None:
        """Close; changes that are not saved are asked for once."""
        if not self._is_saved and not self._closes:
            self._closes = True
            self._say(
                tr("Not saved: {key_name} saves, Esc again drops the changes.", key_name=key_name(self, "cases.save"))
            )
            return
        self.dismiss(self.path if self._was_saved else None)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=dict)


def _value(text: str) -> Any:
    """Return what was typed: JSON where it is a table or a list, else the text; None for nothing."""
    if text.strip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text or None


def _spec(line: str) -> Spec:
    found = _value(line.strip())
    return found if isinstance(found, str | dict) else line.strip()
