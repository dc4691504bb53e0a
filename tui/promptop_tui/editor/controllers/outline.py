"""The outline of the draft and what is said of it: read on a thread a moment after each count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from textual.timer import Timer
from textual.widget import Widget

from promptop.base.errors import PromptopError
from promptop.base.texts import tr
from promptop.prompts import parse
from promptop_tui.context import AppContext
from promptop_tui.editor.controllers.counts import CountsController
from promptop_tui.editor.controllers.draft_parts import DraftPart, moved, parts_of, sent_texts, toggled
from promptop_tui.editor.controllers.log_lookup import LogLookup
from promptop_tui.editor.views.model_figures import DAYS_A_MONTH
from promptop_tui.editor.views.models_panel import ModelsPanel
from promptop_tui.editor.views.outline_panel import OutlinePanel, OutlineRow
from promptop_tui.editor.views.prompt_facts import LONGEST, PromptFacts, facts_of, task_line, told
from promptop_tui.services.token_counts import SnippetsReady
from promptop_tui.shell.key_names import key_name
from promptop_tui.widgets.prompt_area.area import PromptArea

_AFTER_S = 0.3


@dataclass(frozen=True, slots=True)
class _Reading:
    version: int
    parts: tuple[DraftPart, ...]
    facts: PromptFacts | None
    texts: list[str]


class OutlineController:
    """Between one area, its outline and the lines under the models."""

    def __init__(
        self,
        pane: Widget,
        area: PromptArea,
        view: OutlinePanel,
        panel: ModelsPanel,
        counts: CountsController,
        log: LogLookup,
        context: AppContext,
    ) -> None:
        """``pane`` lends timers and workers, and is asked for no more than its class ``-narrow``."""
        self._pane = pane
        self._area = area
        self._view = view
        self._panel = panel
        self._counts = counts
        self._log = log
        self._context = context
        self._timer: Timer | None = None
        self._asked: tuple[int, _Reading] | None = None
        self._version = -1

    def refresh_soon(self) -> None:
        """Read the parts again in a moment; while a count is on its way, that will do it."""
        if self._timer is None and self._counts.live.is_current:
            self._timer = self._pane.set_timer(_AFTER_S, self._refresh)

    def _refresh(self) -> None:
        self._timer = None
        if self._area.exact.length > LONGEST:
            self._panel.show_sections("")
            self._view.show((), tr("not read above {longest:,} characters", longest=LONGEST))
            return
        read = partial(self._read, self._area.text, self._area.version)
        self._pane.run_worker(read, thread=True, exclusive=True, group="outline", description="read the draft's parts")

    def _read(self, text: str, version: int) -> None:
        try:
            prompt = parse(text)
        except PromptopError:  # front matter that is being typed
            return
        chosen = self._context.settings.editor
        task_of = partial(task_line, settings=chosen, models=self._counts.models)
        facts = facts_of(text, self._log.known, self._log.says, chosen.lint_off, task_of)
        if facts is None:  # front matter that is being typed
            return
        parts = parts_of(text)
        texts = sent_texts(text, parts, prompt)
        texts += [text[slice(*facts.prefix)] if facts.prefix is not None else ""]
        self._pane.call_later(self._count, _Reading(version, parts, facts, texts))

    def _count(self, found: _Reading) -> None:
        counting = self._context.counting
        self._asked = counting.request_counts(self._pane, found.texts, [self._counts.live.encoding]), found

    def handle(self, message: SnippetsReady) -> None:
        """Show the parts with their counts."""
        if self._asked is None or message.reply.id != self._asked[0]:
            return
        (_, found), self._asked = self._asked, None
        encoding = self._counts.live.encoding
        tokens = message.reply.counts[encoding]
        self._version = found.version
        self._view.show(self._rows(found.parts, tokens), "tokens · share · $/month" if found.parts else "")
        self._view.show_place(self._area.exact.offset_at(self._area.selection.end))
        if found.facts is not None:
            is_brief = self._pane.has_class("-narrow")
            key = key_name(self._pane, "editor.lint")
            lines = told(found.facts, tokens[-1], self._counts.notes, lint_key=key, brief=is_brief)
            self._panel.show_sections("\n".join(lines))

    def _rows(self, parts: tuple[DraftPart, ...], tokens: Sequence[int]) -> list[OutlineRow]:
        figures = self._counts.figures()
        per_token = figures[0].usd_per_token if figures else None
        calls = self._counts.assumptions.calls_per_day * DAYS_A_MONTH
        whole = (
            sum(count for part, count in zip(parts, tokens, strict=False) if part.depth == 0 and part.kind != "off")
            or 1
        )
        return [
            OutlineRow(
                part,
                count,
                count / (whole + (count if part.kind == "off" else 0)),
                None if per_token is None else per_token * count * calls,
            )
            for part, count in zip(parts, tokens, strict=False)
        ]

    def show_place(self) -> None:
        """Mark the part that the cursor is in."""
        if self._version == self._area.version:
            self._view.show_place(self._area.exact.offset_at(self._area.selection.end))

    def open(self) -> None:
        """Give the outline the focus; in a narrow terminal it takes the place of the models."""
        self._pane.add_class("-outlining")
        self._pane.screen.set_focus(self._view.options)

    def do(self, message: OutlinePanel.Wanted) -> None:
        """Do what the outline asks for."""
        part = message.part
        if message.what in ("close", "go") or part is None:
            self._pane.remove_class("-outlining")
            self._area.screen.set_focus(self._area)
        if part is None or self._version != self._area.version:
            return  # the rows are of another text; they will be drawn anew in a moment
        text = self._area.text
        match message.what:
            case "go":
                self._area.go_to(*self._area.exact.location_at(part.start))
            case "toggle":
                edit = toggled(text, part)
                if edit is None:
                    said = tr("This part shares a line with other text: only whole lines can be switched off.")
                    self._pane.notify(said, title=tr("Outline"), markup=False)
                else:
                    self._area.edit_at(*edit)
            case "up" | "down":
                step = moved([row.part for row in self._view.rows], part, text, down=message.what == "down")
                if step is not None:
                    start, end, new, begins = step
                    self._area.edit_at(start, end, new)
                    self._area.go_to(*self._area.exact.location_at(begins))
