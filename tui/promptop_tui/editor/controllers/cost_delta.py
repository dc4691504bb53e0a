"""What the step from one text to another comes to: tokens and dollars, for the models that are watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptop_tui.editor.controllers.count_state import Catalogue
from promptop_tui.editor.views.model_figures import ModelLine, Reading, UsageAssumptions, figures
from promptop_tui.editor.views.models_panel import change_line

if TYPE_CHECKING:
    from textual.message_pump import MessagePump

    from promptop.workers.token_client import SnippetCounts
    from promptop_tui.services.token_counts import Counting

_MODELS = 3
"""Models that are named; more would push the texts off a small screen."""


@dataclass(frozen=True, slots=True)
class CostDelta:
    """Measures pairs of texts; asking and understanding the answer are apart, since the counts come as a message."""

    counting: Counting
    catalogue: Catalogue
    demand: UsageAssumptions

    def ask(self, asker: MessagePump, before: str, after: str) -> int:
        """Have two texts counted; ``SnippetsReady`` with the returned id comes to ``asker``."""
        return self.counting.request_counts(asker, [before, after], self.catalogue.encodings)

    def figures(self, reply: SnippetCounts) -> tuple[ModelLine, ...]:
        """Return the second text's figures with the first as their baseline."""
        models = self.catalogue.models[:_MODELS]
        old, new = (
            Reading({name: tokens[at] for name, tokens in reply.counts.items()}, reply.chars[at], is_current=True)
            for at in (0, 1)
        )
        before = {figure.model: figure.tokens for figure in figures(models, old, self.demand, {})}
        return figures(models, new, self.demand, before)

    def lines(self, reply: SnippetCounts) -> str:
        """Return one line a model: tokens before and after, change, dollars a call and a month."""
        return "\n".join(change_line(figure, self.demand) for figure in self.figures(reply))
