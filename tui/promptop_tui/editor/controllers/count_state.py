"""The draft's counts while it is typed: what was asked of the worker, what it last said, and how old that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from promptop_tui.editor.views.model_figures import ModelLine, Reading, UsageAssumptions, figures, guess
from promptop_tui.services.token_counts import Counting
from promptop_tui.widgets.prompt_area.document import EditSpan

if TYPE_CHECKING:
    from textual.message_pump import MessagePump

    from promptop.models import Model
    from promptop.tokens.scripts import Chars
    from promptop.workers.token_client import Counts, Edges, Lines, SnippetCounts
    from promptop_tui.editor.controllers.sent_text import SentText

DOCUMENT = "editor"
_BASE_ENCODING = "o200k_base"  # estimates of models without a public tokenizer start from it
_LONG_INSERT = 20_000


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The watched models, looked up away from the screen."""

    models: tuple[tuple[str, Model | None], ...]
    as_of: str
    needed: tuple[str, ...] = ()

    @property
    def encodings(self) -> tuple[str, ...]:
        """Encodings that the figures need; the first is the one of the gutter."""
        return self.needed or (_BASE_ENCODING,)


def load_catalogue(watch: Sequence[str]) -> Catalogue:
    """Look the watched models up; reads the price table, so it belongs on a thread (30 ms)."""
    from promptop.models import as_of, find, watch_list
    from promptop.tokens.counting import encodings_for

    names = tuple(dict.fromkeys(watch)) or watch_list()
    needed = dict.fromkeys([*encodings_for(names), _BASE_ENCODING])
    return Catalogue(tuple((name, find(name)) for name in names), as_of(), tuple(needed))


@dataclass(frozen=True, slots=True)
class _SentCounts:
    version: int
    most_output: int | None
    counts: Mapping[str, int] | None
    """Encoding → tokens of what is sent; None if that is the draft."""
    chars: Chars
    drafts: Mapping[str, int]
    """Encoding → tokens of the draft that they were counted of."""
    tools: Mapping[str, int]
    """Model → tokens of the tools."""


def _summed(chars: Sequence[Chars]) -> Chars:
    latin, cjk, code, other = (sum(each[at] for each in chars) for at in range(4))
    return latin, cjk, code, other


class LiveCounts:
    """Follows one document in the worker. All of it runs on the app's own thread."""

    def __init__(self, counting: Counting, owner: MessagePump) -> None:
        self._counting = counting
        self._owner = owner
        self.catalogue: Catalogue | None = None
        self._text: str | None = None
        self._version = 0
        self._reply: Counts | None = None
        self._drift = 0.0
        self._lines_asked: int | None = None
        self._lines_wanted: tuple[int, int] | None = None
        self._edges_asked: int | None = None
        self._edges_wanted: tuple[int, int] | None = None
        self._sent: _SentCounts | None = None
        self.baseline: dict[str, int] = {}
        self._baseline_is_due = False

    # What happened

    def set_catalogue(self, catalogue: Catalogue) -> None:
        """Take over which models are watched; the document is opened with the next :meth:`opened`."""
        self.catalogue = catalogue

    def opened(self, text: str) -> None:
        """Start over with a text; the first count of it becomes the baseline."""
        self._reply = self._sent = None
        self._drift = self._guess(text)
        self._lines_asked = self._lines_wanted = self._edges_asked = self._edges_wanted = None
        self._baseline_is_due = True
        if self.catalogue is not None:
            self._version = self._counting.open(self._owner, DOCUMENT, text, self.catalogue.encodings)

    def edited(self, spans: Sequence[EditSpan]) -> None:
        """Tell the worker what changed."""
        for span in spans:
            self._drift += self._guess(span.inserted) - self._guess(span.replaced)
            if self.catalogue is not None:
                end = span.offset + len(span.replaced)
                self._version = self._counting.edit(DOCUMENT, span.offset, end, span.inserted)

    def counted(self, reply: Counts) -> None:
        """Take over a count."""
        if self._reply is None or reply.version >= self._reply.version:
            self._reply = reply
        if self.is_counted:
            self._drift = 0

    @property
    def version(self) -> int:
        """The worker's number of the present text."""
        return self._version

    @property
    def is_counted(self) -> bool:
        """Whether the draft as it stands was counted as it is now; what is sent of it may still be on its way."""
        return self._reply is not None and self._reply.version == self._version

    def take_sent(self, version: int, sent: SentText, reply: SnippetCounts | None) -> None:
        """Take over what of that version is sent; ``reply`` counts its texts, then those of its tools."""
        if self._reply is None:
            return
        counts, chars = None, self._reply.chars
        size = len(sent.texts or ())
        if reply is not None and sent.texts is not None:
            counts = {name: sum(tokens[:size]) for name, tokens in reply.counts.items()}
            chars = _summed(reply.chars[:size])
        drafts = {name: each.tokens for name, each in self._reply.counts.items()}
        tools = self._tool_tokens(sent, reply, size) if reply is not None and sent.tools else {}
        self._sent = _SentCounts(version, sent.most_output, counts, chars, drafts, tools)

    def tool_texts(self, sent: SentText) -> tuple[str, ...]:
        """Return what must be counted to know the tokens of the tools for each watched model."""
        from promptop.tokens.overhead import tool_texts

        names = [name for name, _ in self.catalogue.models] if self.catalogue is not None else []
        return tool_texts(sent.tools, names) if sent.tools else ()

    def _tool_tokens(self, sent: SentText, reply: SnippetCounts, first: int) -> dict[str, int]:
        from promptop.tokens import for_model
        from promptop.tokens.overhead import tool_tokens

        places = {text: first + at for at, text in enumerate(self.tool_texts(sent))}

        def measure(model: str, text: str) -> int:
            at = places[text]
            return for_model(model, {name: tokens[at] for name, tokens in reply.counts.items()}, reply.chars[at]).tokens

        models = self.catalogue.models if self.catalogue is not None else ()
        return {name: tool_tokens(sent.tools, name, partial(measure, name)) for name, _ in models}

    def lines_came(self, reply: Lines) -> bool:
        """Note an answer about lines; tell whether it is about the present text."""
        if reply.id == self._lines_asked:
            self._lines_asked = None
        return reply.version == self._version

    def edges_came(self, reply: Edges) -> bool:
        """Note an answer about edges; tell whether it is about the present text."""
        if reply.id == self._edges_asked:
            self._edges_asked = None
        return reply.version == self._version

    def failed(self) -> None:
        """Forget what was asked: no answer will come."""
        self._lines_asked = self._edges_asked = None

    # What is asked

    def want_lines(self, first: int, last: int) -> None:
        """Ask for the tokens of these lines, one question at a time; the newest that waits is asked next."""
        self._lines_wanted = (first, last)
        self.ask_waiting()

    def want_edges(self, start: int, end: int) -> None:
        """Ask for the token edges of these characters, in the same way."""
        self._edges_wanted = (start, end)
        self.ask_waiting()

    def ask_waiting(self) -> None:
        """Ask what waits, if nothing of its kind is being answered."""
        if self._reply is None:
            return
        if self._lines_asked is None and self._lines_wanted is not None:
            asked, self._lines_wanted = self._lines_wanted, None
            self._lines_asked = self._counting.request_lines(DOCUMENT, self.encoding, *asked)
        if self._edges_asked is None and self._edges_wanted is not None:
            asked, self._edges_wanted = self._edges_wanted, None
            self._edges_asked = self._counting.request_edges(DOCUMENT, self.encoding, *asked)

    # What is known

    @property
    def encoding(self) -> str:
        """The encoding of gutter, edges and heat: the first watched model's."""
        return self.catalogue.encodings[0] if self.catalogue is not None else _BASE_ENCODING

    @property
    def tools(self) -> Mapping[str, int]:
        """Model → tokens of the tools that are sent; none where there are no tools."""
        return self._sent.tools if self._sent is not None else {}

    @property
    def is_current(self) -> bool:
        """Whether the last count is of what is sent of the present text."""
        return self.is_counted and self._sent is not None and self._sent.version == self._version

    def tokens(self) -> int:
        """Return the tokens of what is sent under :attr:`encoding`, guessed from the last count if it is older."""
        reply = self._reply
        known = reply.counts[self.encoding].tokens if reply is not None and self.encoding in reply.counts else 0
        return max(0, round(known + self._drift + self._left_out().get(self.encoding, 0)))

    def _left_out(self) -> dict[str, int]:
        """Encoding → tokens of what is sent less those of the draft; empty where the draft is sent as it stands."""
        sent = self._sent
        if sent is None or sent.counts is None:
            return {}
        return {name: tokens - sent.drafts[name] for name, tokens in sent.counts.items()}

    def figures(self, demand: UsageAssumptions) -> tuple[ModelLine, ...]:
        """Work out the panel's lines; none before the catalogue is there."""
        if self.catalogue is None:
            return ()
        reply, sent = self._reply, self._sent
        if sent is not None and sent.most_output is not None:
            demand = replace(demand, output_tokens=min(demand.output_tokens, sent.most_output))
        if reply is None:
            guessed = max(0, round(self._drift))
            counts = dict.fromkeys(self.catalogue.encodings, guessed)
            reading = Reading(counts, (4 * guessed, 0, 0, 0), is_current=False)
        else:
            counts = {name: max(0, round(each.tokens + self._drift)) for name, each in reply.counts.items()}
            chars = reply.chars
            if sent is not None and sent.counts is not None:  # what was typed since is in the draft's count alone
                counts = {name: max(0, counts[name] + less) for name, less in self._left_out().items()}
                chars = sent.chars
            exact = all(each.exact for each in reply.counts.values())
            reading = Reading(counts, chars, is_current=self.is_current and exact, tools=self.tools)
        found = figures(self.catalogue.models, reading, demand, self.baseline)
        if self._baseline_is_due and self.is_current:
            self._baseline_is_due = False
            self.set_baseline(found)
            found = figures(self.catalogue.models, reading, demand, self.baseline)
        return found

    def baseline_is_due(self) -> None:
        """Make the next count the baseline: another text begins."""
        self._baseline_is_due = True

    def set_baseline(self, found: Sequence[ModelLine]) -> None:
        """Make these figures the baseline."""
        self.baseline = {figure.model: figure.tokens for figure in found}

    @staticmethod
    def _guess(text: str) -> float:
        if len(text) > _LONG_INSERT:
            return len(text) / 4
        from promptop.tokens.scripts import chars_by_script

        return guess(chars_by_script(text)) if text else 0.0
