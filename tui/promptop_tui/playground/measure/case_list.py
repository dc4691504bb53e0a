"""What lists of cases share: which of them are shown, and how they are written to a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from textual.widget import Widget

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop_tui.widgets.form_modal import LineDialog

FORMS = ".html .md .csv .json .xml (JUnit) .promptfoo.json"


@dataclass
class CaseFilter:
    """Which cases are shown: those of a tag, those that fail, or all."""

    tags: Sequence[str] = ()
    tag: str = ""
    failing: bool = False

    def next_tag(self) -> bool:
        """Go to the next tag, after the last one to all cases; return whether there are tags."""
        choices = ["", *self.tags]
        self.tag = choices[(choices.index(self.tag) + 1) % len(choices)] if self.tag in choices else ""
        return bool(self.tags)

    def shows(self, tags: Sequence[str], *, failing: bool) -> bool:
        """Whether a case of these tags is shown."""
        return (not self.tag or self.tag in tags) and (failing or not self.failing)

    def __str__(self) -> str:
        """Return what is shown in a few words; nothing where that is all."""
        tag = tr("tagged {tag}", tag=clean_line(self.tag, 40)) if self.tag else ""
        return " and ".join(each for each in (tag, "failing" if self.failing else "") if each)


def ask_export(host: Widget, name: str, write: Callable[[Path], object]) -> None:
    """Ask for a file, whose ending says the form, and write it; errors are shown."""

    def entered(typed: str | None) -> None:
        if typed is None:
            return
        path = Path(typed).expanduser()
        try:
            write(path)
        except PromptopError as error:
            host.notify(clean(str(error)), title=tr("Export"), severity="error", markup=False)
        else:
            host.notify(
                tr("Written to {path} (mode 0600: it holds answers).", path=clean_line(str(path), 200)), markup=False
            )

    host.app.push_screen(LineDialog("export", tr("Its ending says the form: {forms}", forms=FORMS), name), entered)
