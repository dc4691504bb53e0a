"""Where the draft goes from here: the playground, the library, other forms, the user's own editor; and what it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from textual.widget import Widget

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean
from promptop.base.texts import tr
from promptop.prompts import Prompt
from promptop.prompts.draft import kept_drafts
from promptop.prompts.reader import reading_notes
from promptop_tui.context import AppContext
from promptop_tui.editor.controllers.counts import CountsController
from promptop_tui.editor.controllers.draft import DraftController
from promptop_tui.editor.controllers.trims import TrimsController
from promptop_tui.editor.views.models_panel import change_line
from promptop_tui.messages import OpenInEditor, OpenInPlayground
from promptop_tui.widgets.prompt_area.area import PromptArea


class HandOver:
    """The dialogs that take the draft elsewhere or bring a text from there."""

    def __init__(
        self,
        pane: Widget,
        area: PromptArea,
        context: AppContext,
        draft: DraftController,
        counts: CountsController,
        trims: TrimsController,
        parsed: Callable[[], Prompt | None],
    ) -> None:
        """``parsed`` returns the draft as a prompt, or says what is wrong with it."""
        self._pane = pane
        self._area = area
        self._context = context
        self._draft = draft
        self._counts = counts
        self._trims = trims
        self._parsed = parsed

    def _start(self, dialog: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._pane.run_worker(dialog(), group="dialog", exclusive=True)

    async def _ask_path(self, title: str, value: str) -> Path | None:
        from promptop_tui.editor.dialogs.path_prompt import PathDialog

        return await self._pane.app.push_screen_wait(PathDialog(title, value))

    # Files

    def open(self) -> None:
        """Ask for a file and open it."""
        self._start(self._open)

    async def _open(self) -> None:
        path = self._draft.state.path
        chosen = await self._ask_path("Open", str(Path(path).parent) + "/" if path else "")
        if chosen is not None:
            self._draft.open(chosen)

    def save(self) -> None:
        """Save to the file, or ask for one."""
        if not self._draft.save():
            self.save_as()

    def save_as(self) -> None:
        """Ask for a file and save to it."""
        self._start(self._save_as)

    async def _save_as(self) -> None:
        path = await self._ask_path(tr("Save as"), self._draft.state.path)
        if path is not None:
            self._draft.save_as(path)

    def templates(self) -> None:
        """Begin with a template; the present draft is kept."""
        self._start(self._templates)

    async def _templates(self) -> None:
        from promptop_tui.editor.dialogs.template_picker import TemplatesDialog

        chosen = await self._pane.app.push_screen_wait(TemplatesDialog())
        if chosen is not None:
            self._draft.open_text(OpenInEditor(chosen.text, chosen.name))

    def kept(self) -> None:
        """List the drafts that were kept, and open one."""
        self._start(self._kept)

    async def _kept(self) -> None:
        from promptop_tui.editor.dialogs.kept_drafts import KeptDraftsDialog

        kept = await asyncio.to_thread(kept_drafts, self._context.draft_path)
        chosen = await self._pane.app.push_screen_wait(KeptDraftsDialog(kept))
        if chosen is not None:
            self._draft.open_text(OpenInEditor(chosen.text, tr("kept {stem}", stem=chosen.path.stem)))

    # What changed, the library

    def changes(self) -> None:
        """Show what changed since the baseline."""
        self._start(self._changes)

    async def _changes(self) -> None:
        from promptop_tui.editor.dialogs.diff_dialog import ChangesDialog

        found, before = self._counts.figures(), self._counts.baseline_text
        lines = [change_line(each, self._counts.assumptions) for each in found[:3] if each.baseline is not None]
        if await self._pane.app.push_screen_wait(ChangesDialog(before, self._area.text, "\n".join(lines))):
            self._area.edit_whole(before)

    def library(self) -> None:
        """Open the library: take a version, or save the draft as one."""
        self._start(self._library)

    async def _library(self) -> None:
        from promptop_tui.editor.dialogs.library import LibraryDialog

        dialog = LibraryDialog(
            self._area.text,
            self._draft.prompt_name,
            self._context.now,
            self._trims.receipt(),
            self._draft.state.path,
            self._counts.delta(),
        )
        version = await self._pane.app.push_screen_wait(dialog)
        if version is not None:
            self._draft.open_text(OpenInEditor(version.text, version.label))

    # Elsewhere

    def external(self) -> None:
        """Leave the screen to the user's own editor; what it saves is one step of undo."""
        from textual.app import SuspendNotSupported

        from promptop_tui.services.external_editor import command, edit_in

        before = self._area.text
        try:
            with self._pane.app.suspend():
                after = edit_in(command(), before)
        except (PromptopError, SuspendNotSupported) as error:
            self._pane.notify(clean(str(error)), title=tr("Editor"), severity="error", markup=False)
            return
        if after != before:
            self._area.edit_whole(after)

    def export(self) -> None:
        """Show the prompt in other forms, to copy or to write."""
        self._start(self._export)

    async def _export(self) -> None:
        from promptop_tui.editor.dialogs.export import ExportDialog

        prompt = self._parsed()
        if prompt is None:
            return
        chosen = await self._pane.app.push_screen_wait(ExportDialog(prompt, self._trims.receipt()))
        if chosen is None:
            return
        name, text, suffix = chosen
        stem = Path(self._draft.state.path or "prompt").with_suffix("")
        path = await self._ask_path(tr("Write {name}", name=name), str(stem.with_name(f"{stem.name}-export{suffix}")))
        if path is not None:
            self._draft.write(path, text)

    def send(self) -> None:
        """Hand messages, model and parameters to the playground."""
        prompt = self._parsed()
        if prompt is None:
            return
        if prompt.is_empty:
            self._pane.notify(tr("The draft is empty."), title=tr("Playground"), markup=False)
            return
        try:
            messages = prompt.openai()
        except PromptopError as error:
            self._pane.notify(clean(str(error)), title=tr("Playground"), severity="error", markup=False)
            return
        for note in reading_notes(prompt):
            self._pane.notify(clean(str(note)), title=tr("Sent otherwise"), severity="warning", markup=False)
        parameters: Mapping[str, object] = prompt.parameters
        before = self._counts.baseline_text
        self._pane.post_message(
            OpenInPlayground(
                messages,
                (prompt.model,) if prompt.model else (),
                parameters,
                self._draft.state.path or self._draft.state.source or "draft",
                versions=(("baseline", before),) if before.strip() and before != self._area.text else (),
                prompt_name=self._draft.prompt_name,
                prompt_version=self._draft.prompt_version,
            )
        )

    # Inside the draft

    def go_to(self) -> None:
        """Ask for a line and go there."""
        self._start(self._go_to)

    async def _go_to(self) -> None:
        from promptop_tui.editor.controllers.go_to import SAYS, place, wrong
        from promptop_tui.widgets.form_modal import LineDialog

        lines = self._area.exact.line_count
        dialog = LineDialog(tr("Go to line"), SAYS, placeholder=f"1 to {lines:,}", wrong=wrong)
        typed = await self._pane.app.push_screen_wait(dialog)
        if typed is not None:
            self._area.go_to(*place(typed, self._area.selection.end[0], lines))
            self._area.focus()
