"""Finding the trims of the draft: the rules run on a thread, their savings are counted in the worker process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from textual.widget import Widget

from promptop.trim.rule_switches import RuleSwitches, rules_for
from promptop_tui.services.token_counts import CountingFailed, SnippetsReady
from promptop_tui.widgets.prompt_area.area import PromptArea

if TYPE_CHECKING:
    from promptop.settings import EditorSettings
    from promptop.trim import Edit, Skipped
    from promptop_tui.services.token_counts import Counting

_MOST = 300


@dataclass(frozen=True, slots=True)
class FoundTrims:
    """What can go in a version of the draft."""

    text: str
    version: int
    edits: tuple[Edit, ...]
    """In the order of the text; once they are counted, only those that save tokens."""
    skipped: tuple[Skipped, ...]


class TrimSearch:
    """Asks for the trims of an area, and forgets answers that came too late."""

    def __init__(
        self,
        pane: Widget,
        area: PromptArea,
        counting: Counting,
        settings: EditorSettings,
        switches: RuleSwitches,
        *,
        found: Callable[[FoundTrims], object],
        failed: Callable[[], object],
    ) -> None:
        """``pane`` lends workers and gets the answers of the counter, which it hands to :meth:`handle`.

        ``settings`` say which rules are off for good, ``switches`` which the user switched off. ``found`` is called
        with counted trims, ``failed`` when they cannot be counted.
        """
        self._pane = pane
        self._area = area
        self._counting = counting
        self.settings = settings
        self.switches = switches
        self._found = found
        self._failed = failed
        self.encoding = "o200k_base"
        self._waiting: tuple[int, FoundTrims] | None = None
        self._turned_down: set[tuple[str, str, str]] = set()

    def look(self) -> None:
        """Look at the draft as it is now."""
        run = partial(self._run_rules, self._area.text, self._area.version)
        self._pane.run_worker(run, thread=True, exclusive=True, group="trims", description="run the trim rules")

    def _run_rules(self, text: str, version: int) -> None:
        from promptop.trim import contexts, look

        seen = look(text, rules_for(self.settings, safe_only=False, switches=self.switches))
        found = FoundTrims(text, version, seen.edits[:_MOST], seen.skipped)
        pieces = [piece for edit in found.edits for piece in contexts(text, edit)]
        self._pane.call_later(self._count, found, pieces)

    def _count(self, found: FoundTrims, pieces: list[str]) -> None:
        if found.version != self._area.version or not self._pane.display:
            return
        if found.edits:
            request = self._counting.request_counts(self._pane, pieces, [self.encoding])
            self._waiting = request, found
        else:
            self._found(found)

    def handle(self, message: SnippetsReady | CountingFailed) -> None:
        """Take over what the counter says."""
        if isinstance(message, CountingFailed):
            self._waiting = None
            self._failed()
            return
        if self._waiting is None or message.reply.id != self._waiting[0]:
            return
        found, self._waiting = self._waiting[1], None
        if found.version != self._area.version:
            return
        counts = message.reply.counts[self.encoding]
        measured = (
            replace(edit, tokens_saved=counts[2 * at] - counts[2 * at + 1]) for at, edit in enumerate(found.edits)
        )
        offered = tuple(each for each in measured if each.tokens_saved > 0 and self.is_offered(each))
        self._found(replace(found, edits=offered))

    def turn_down(self, edit: Edit) -> None:
        """Do not offer this change again, nor one like it."""
        self._turned_down.add((edit.rule, edit.before, edit.after))

    def is_offered(self, edit: Edit) -> bool:
        """Tell whether nobody has turned a change like this down."""
        return (edit.rule, edit.before, edit.after) not in self._turned_down

    def trim_safely(self, then: Callable[[tuple[Edit, ...], int], object]) -> None:
        """Find what ``promptop trim`` would change; ``then`` gets these edits, in order, and the draft's version."""
        run = partial(self._trim, self._area.text, self._area.version, frozenset(self._turned_down), then)
        self._pane.run_worker(run, thread=True, exclusive=True, group="trims", description="apply the safe trims")

    def _trim(
        self,
        text: str,
        version: int,
        refused: frozenset[tuple[str, str, str]],
        then: Callable[[tuple[Edit, ...], int], object],
    ) -> None:
        from promptop.trim import trim

        rules = rules_for(self.settings, safe_only=True, switches=self.switches)
        self._pane.call_later(then, trim(text, self.encoding, rules, refused=refused).edits, version)
