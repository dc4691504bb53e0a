"""The whole app under a pilot: quiet, on its own folders, waiting for states and never for time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
import textual._wait
import textual.app
import textual.pilot
from tests.support.waits import idle_without_messages

from promptop.cli.shared.options import AppOptions
from promptop.settings import LogSettings, Settings
from promptop_tui.app import PromptopApp
from promptop_tui.services import clipboard
from promptop_tui.stylesheet import KeptStylesheet

# Textual's pilot polls for idle CPU in steps of 1/50 s; a tenth of it makes the suite three times as fast.
textual._wait.SLEEP_GRANULARITY = 1 / 500
for _module in (textual.app, textual.pilot):
    _module.wait_for_idle = idle_without_messages

# Parsing and matching style sheets takes a third of the processor time of a small app's test, as of the whole app's.
textual.app.Stylesheet = KeptStylesheet


@pytest.fixture(autouse=True)
def no_clipboard_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the clipboards of whoever runs the tests alone."""
    monkeypatch.setattr(clipboard, "programs", tuple)


@pytest.fixture(autouse=True)
def workers_are_forks(forked_processes: None) -> None:
    """Every app that counts starts a process."""


class MakeApp(Protocol):
    """Makes an app with some of its options changed."""

    def __call__(self, settings: Settings | None = None, **options: object) -> PromptopApp: ...


@pytest.fixture
def make_app(tmp_path: Path) -> MakeApp:
    """Return what makes an app whose log and draft lie in the test's folder."""

    def make(settings: Settings | None = None, **options: object) -> PromptopApp:
        chosen = settings or Settings()
        if not chosen.log.path:
            chosen = replace(chosen, log=LogSettings(path=str(tmp_path / "log.db")))
        base = AppOptions(settings=chosen, log_path=chosen.log_path(), draft_path=tmp_path / "draft.md")
        return PromptopApp(replace(base, **options))  # type: ignore[arg-type]

    return make
