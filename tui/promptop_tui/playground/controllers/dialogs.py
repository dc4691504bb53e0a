"""Opens the dialogs of the tab, and does what comes of them. Their modules are loaded when they are first opened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textual.widget import Widget

from promptop.base.errors import PromptopError
from promptop.base.texts import tr
from promptop.client.request import RunRequest
from promptop_tui.context import AppContext
from promptop_tui.playground.controllers.answer_checks import AnswerChecks
from promptop_tui.playground.controllers.cost.spend import Spend
from promptop_tui.playground.controllers.history_store import HistoryStore
from promptop_tui.playground.controllers.prompt_versions import TYPED, PromptVersions
from promptop_tui.playground.controllers.request_builder import RequestBuilder
from promptop_tui.playground.views.parameters import TEXTS, ParameterColumn

if TYPE_CHECKING:
    from promptop_tui.playground.dialogs.history import Taken
    from promptop_tui.playground.dialogs.variables import FilledVariables
    from promptop_tui.playground.measure.grid_dialog import GridMemory
    from promptop_tui.playground.measure.proof_dialog import ProofMemory


class Dialogs:
    """One method a dialog, found by its name."""

    def __init__(
        self,
        host: Widget,
        context: AppContext,
        column: ParameterColumn,
        versions: PromptVersions,
        builder: RequestBuilder,
        store: HistoryStore,
        checks: AnswerChecks,
        spend: Spend,
        *,
        versions_changed: Callable[[], None],
        reopen: Callable[[Taken], Awaitable[None]],
        tell: Callable[..., None],
    ) -> None:
        """``host`` is what the dialogs open over; ``reopen`` gets a run of the history that was taken."""
        self._host, self._context = host, context
        self._column, self._versions, self._builder = column, versions, builder
        self._store, self._checks, self._spend = store, checks, spend
        self._versions_changed, self._reopen, self._tell = versions_changed, reopen, tell
        self._grid: GridMemory | None = None
        """What was typed for the grid and its finished cells, as long as the tab lives."""
        self._proofs: ProofMemory | None = None
        """What was typed for proofs and their answers, likewise."""
        self._openers: Mapping[str, Callable[[], None]] = {
            "versions": self._open_versions,
            "options": self._open_options,
            "checks": self._open_checks,
            "variables": self._open_variables,
            "presets": self._open_presets,
            "history": self._open_history,
            "grid": self._open_grid,
            "prove": self._open_proof,
            "bench": self._open_bench,
            "lab": self._open_claims,
            "guide": self._open_guide,
            "batch": self._open_batch,
        }

    def open(self, name: str) -> None:
        """Open a dialog by its name."""
        self._openers[name]()

    def _open_versions(self) -> None:
        from promptop_tui.playground.dialogs.versions import VersionsDialog

        dialog = VersionsDialog(self._versions, self._builder.text(), self._context.draft_path)
        self._host.app.push_screen(dialog, self._versions_chosen)

    def _versions_chosen(self, labels: list[str] | None) -> None:
        if labels is not None:
            self._versions.choose(labels)
        self._versions_changed()

    def _open_options(self) -> None:
        from promptop_tui.playground.dialogs.options import options_dialog

        self._host.app.push_screen(
            options_dialog(self._column.texts, commands=self._context.settings.playground.tool_commands),
            self._texts_written,
        )

    def _open_checks(self) -> None:
        from promptop_tui.playground.dialogs.options import checks_dialog

        python = self._context.settings.playground.python_checks
        self._host.app.push_screen(checks_dialog(self._column.texts, python=python), self._texts_written)

    def _texts_written(self, texts: dict[str, str] | None) -> None:
        if texts is not None:
            self._column.texts |= {name: text for name, text in texts.items() if name in TEXTS}
            self._column.texts_changed()
            self._checks.hold_again()

    def _open_variables(self) -> None:
        from promptop_tui.playground.dialogs.variables import VariablesDialog

        try:
            variables = self._versions.variables(self._builder.text())
        except PromptopError as error:
            self._tell(error, title="Variables")
            return
        if variables:
            self._host.app.push_screen(VariablesDialog(variables), self._variables_filled)
        else:
            self._host.notify(tr("The prompt has no variables: write {{name}} where one belongs."), markup=False)

    async def _variables_filled(self, filled: FilledVariables | None) -> None:
        if filled is not None:
            self._versions.values = dict(filled.values)
            self._versions_changed()
            if filled.runs:
                await self._host.run_action("run")

    def _open_presets(self) -> None:
        from promptop_tui.playground.dialogs.presets import PresetsDialog

        now_ms = int(self._context.now() * 1000)
        dialog = PresetsDialog(self._column.setup(), now_ms, self._store.book)
        self._host.app.push_screen(dialog, self._preset_taken)

    def _preset_taken(self, preset: tuple[str, dict[str, Any]] | None) -> None:
        if preset is not None:
            self._column.restore(preset[1])

    def _open_history(self) -> None:
        from promptop_tui.playground.dialogs.history import HistoryDialog

        self._host.app.push_screen(HistoryDialog(self._store), self._run_taken)

    async def _run_taken(self, taken: Taken | None) -> None:
        if taken is not None:
            await self._reopen(taken)

    def _open_grid(self) -> None:
        from promptop_tui.playground.measure.grid_dialog import GridMemory, grid_dialog

        try:
            build, titles = self._builder.for_cases()
        except PromptopError as error:
            self._tell(error, title=tr("Test set"))
            return
        self._grid = self._grid or GridMemory()
        self._host.app.push_screen(grid_dialog(self._context, build, titles, self._grid), self._measured)

    def _open_proof(self) -> None:
        from promptop_tui.playground.measure.proof_dialog import ProofMemory, ProofSubject, proof_dialog

        try:
            before, after = self._versions.pair(self._builder.text())
            parameters = self._column.values()
            models = tuple(target.spec for target in self._column.targets())
            subject = ProofSubject(
                before.text,
                after.text,
                (", ".join(models),) if models else (),
                (before.label or TYPED, after.label or TYPED),
                values=self._versions.values,
                parameters={name: value for name, value in parameters.items() if value not in (None, (), {}, "")},
            )
            self._proofs = self._proofs or ProofMemory()
            page = proof_dialog(self._context, subject, self._proofs)
        except PromptopError as error:
            self._tell(error, title="Prove")
            return
        self._host.app.push_screen(page, self._measured)

    def _open_bench(self) -> None:
        from promptop_tui.playground.measure.bench_dialog import bench_dialog

        if requests := self._to_measure():
            self._host.app.push_screen(bench_dialog(self._context, requests), self._measured)

    def _open_claims(self) -> None:
        from promptop_tui.playground.measure.claims_dialog import claims_dialog

        if requests := self._to_measure():
            self._host.app.push_screen(claims_dialog(self._context, requests[0]), self._measured)

    def _open_guide(self) -> None:
        from promptop_tui.playground.measure.guide_dialog import guide_dialog

        if not (requests := self._to_measure()):
            return
        text = self._builder.text()
        opened = self._context.open_path
        name = str(opened if opened is not None and opened.is_file() else self._context.draft_path)
        values = {**self._builder.variables(), **self._versions.values}
        self._host.app.push_screen(guide_dialog(self._context, name, text, requests[0], values), self._measured)

    def _to_measure(self) -> list[RunRequest]:
        """Return what would be sent, past the cache and tried once; say what is wrong and return none."""
        try:
            return [replace(request, cache=False, retries=0) for request in self._builder.plan().requests]
        except PromptopError as error:
            self._tell(error, title=tr("Not measured"))
            return []

    def _measured(self, _: object) -> None:
        """Show what a dialog that measured has spent: it paid from the same budget."""
        self._spend.show()
        self._spend.read_day()

    def _open_batch(self) -> None:
        from promptop_tui.playground.measure.batch_dialog import BatchDialog

        targets = self._column.targets()
        spec = targets[0].spec if targets else ""
        dialog = BatchDialog(self._context, self._builder.text(), spec, self._context.purse.left_usd)
        self._host.app.push_screen(dialog, self._spend.add)
