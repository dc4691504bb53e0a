"""The models panel: what the draft is for each watched model, what is expected of the calls, the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from rich.cells import cell_len, set_cell_size
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.getters import query_one
from textual.message import Message
from textual.widgets import Input, Label, Static

from promptop.base import units
from promptop.base.sanitize import clean, clean_line
from promptop.base.text_table import right_aligned
from promptop.base.texts import mark, tr
from promptop_tui.editor.views.model_figures import (
    DAYS_A_MONTH,
    ModelLine,
    UsageAssumptions,
    bar,
    margin,
    share,
    signed_percent,
    usd,
)
from promptop_tui.widgets.panel import Panel

Cell = tuple[str, str]
"""Text and style (a theme variable; no colour is named here)."""


@dataclass(frozen=True, slots=True)
class ModelColumn:
    """One column of the table."""

    title: str
    cell: Callable[[ModelLine], Cell]


def _tokens(figure: ModelLine) -> Cell:
    sign = "=" if figure.is_exact else "≈"
    return f"{sign}{figure.tokens:,}", "bold" if figure.is_exact else "$foreground 60%"


def _window(figure: ModelLine) -> Cell:
    full = figure.window_share is not None and figure.window_share > 1
    return share(figure.window_share), "$text-error bold" if full else ""


def _money(amount: float | None) -> Cell:
    return usd(amount), "$foreground 60%" if amount is None else "$foreground"


def _change(figure: ModelLine) -> Cell:
    change = figure.change
    style = "" if not change else "$text-success" if change < 0 else "$text-warning"
    return signed_percent(change), style


def _thousand(figure: ModelLine) -> Cell:
    per_call = figure.usd_per_call
    return _money(None if per_call is None else per_call * 1000)


def _margin(figure: ModelLine) -> Cell:
    return (margin(figure.error) or "±?") if figure.is_estimate else "", "$foreground 60%"


_TOKENS = ModelColumn(mark("tokens"), _tokens)
_MARGIN = ModelColumn(mark("±"), _margin)
_WINDOW = ModelColumn(mark("window"), _window)
_CALL = ModelColumn(mark("$/call"), lambda figure: _money(figure.usd_per_call))
_THOUSAND = ModelColumn(mark("$/1k"), _thousand)
_MONTH = ModelColumn(mark("$/month"), lambda figure: _money(figure.usd_per_month))
_CHANGE = ModelColumn(mark("change"), _change)
_ORDER = (_TOKENS, _MARGIN, _WINDOW, _CALL, _THOUSAND, _MONTH, _CHANGE)
_DROPPED_FIRST = (_THOUSAND, _WINDOW, _MONTH, _CHANGE, _MARGIN, _CALL)


def columns_for(figures: Sequence[ModelLine], width: int) -> tuple[tuple[ModelColumn, int], ...]:
    """Return the columns that fit beside the whole names of the models, and their widths.

    The least needed leave first; a column without a figure is none. Names are cut only where tokens alone do not fit.
    """
    names = max((cell_len(figure.model) for figure in figures), default=5)
    chosen = []
    for column in _ORDER:
        widest = max((cell_len(column.cell(figure)[0]) for figure in figures), default=0)
        if widest:
            chosen.append((column, max(widest, cell_len(tr(column.title)))))
    for column in _DROPPED_FIRST:
        if names + sum(cells + 1 for _, cells in chosen) <= width:
            break
        chosen = [each for each in chosen if each[0] is not column]
    return tuple(chosen)


def table(figures: Sequence[ModelLine], width: int) -> Content:
    """Draw the figures in ``width`` cells, one line a model under a line of titles."""
    columns = columns_for(figures, width)
    name_width = max(4, width - sum(cells + 1 for _, cells in columns))
    name_width = min(name_width, max((cell_len(figure.model) for figure in figures), default=5) + 2)
    lines = [
        Content.assemble(
            (set_cell_size(tr("model"), name_width), "$foreground 60%"),
            *((f" {right_aligned(tr(column.title), cells)}", "$foreground 60%") for column, cells in columns),
        )
    ]
    for figure in figures:
        parts: list[str | Cell] = [set_cell_size(clean_line(figure.model, name_width), name_width)]
        for column, cells in columns:
            text, style = column.cell(figure)
            parts.append((f" {text:>{cells}}", style))
        lines.append(Content.assemble(*parts))
    return Content("\n").join(lines)


def summary(figure: ModelLine) -> str:
    """Return one model's figures in one line, for where there is no room for the table."""
    sign = "=" if figure.is_exact else "≈"
    off = f" {margin(figure.error)}" if figure.error else ""
    parts = (
        tr("{sign}{tokens:,}{off} tokens", sign=sign, tokens=figure.tokens, off=off),
        share(figure.window_share),
        usd(figure.usd_per_call),
    )
    return f"{clean_line(figure.model)} " + " · ".join(parts)


def change_line(figure: ModelLine, demand: UsageAssumptions) -> str:
    """Return one model's change against the baseline in one line: tokens, dollars a call and a month."""
    sign = "=" if figure.is_exact else "≈"
    delta = f"{figure.tokens - (figure.baseline or 0):+,}".replace("-", "−")
    change = figure.usd_change
    month = None if change is None else change * demand.calls_per_day * DAYS_A_MONTH
    money = "n/a" if change is None else f"{_signed(change)}/call"
    if month:
        money += tr(", {signed}/month", signed=_signed(month))
    tokens = tr(
        "{sign}{baseline:,} → {sign}{tokens:,} tokens ({delta})",
        sign=sign,
        baseline=figure.baseline or 0,
        tokens=figure.tokens,
        delta=delta,
    )
    return f"{clean_line(figure.model)}  {tokens}  {money}"


def _signed(amount: float) -> str:
    return f"{'−' if amount < 0 else '+' if amount > 0 else '±'}{usd(abs(amount))}"


def budget_line(used: int, is_exact: bool, budget: int, width: int) -> Content:
    """Draw the budget as a bar with its numbers; what is over it is said in words too."""
    sign = "=" if is_exact else "≈"
    over = used - budget
    says = f" {sign}{used:,} of {budget:,}" + (
        tr(", {over:,} over", over=over) if over > 0 else tr(", {value:,} left", value=-over)
    )
    style = "$latency-bad" if over > 0 else "$latency-warn" if used > 0.9 * budget else "$latency-good"
    return Content.assemble((bar(used, budget, max(4, width - len(says))), style), says)


def _rounded(calls: float) -> str:
    """Write calls a day as they are shown in their field: 1240, 3.4, 0.14."""
    return f"{calls:.2g}" if 0 < calls < 10 else str(round(calls))


class ModelsPanel(Panel):
    """Shows figures that it is given; tells what the user expects of the calls."""

    HELP = """\
Figures of the draft for each watched model: "=" is counted exactly, "≈" is an estimate or a count that the text has
just left behind; "±" is how far 90 of 100 such estimates are off, where that was measured. "window" is the share of
the context window that the prompt and the expected output take. Costs come from the price table of the date above;
n/a means that it has no price for the model. "change" is against the baseline ({editor.baseline} sets it). "out" are
expected output tokens of a call. It and "calls/day" come from the request log where that knows the prompt, by its
name, its text or the beginning that its calls share; what you type wins.

Below: how much of the beginning is the same in each call. Providers keep it from 1,024 tokens on: what changes
(dates, ids, variables) belongs behind what stays. Then what the log says of the answers, and the max_tokens and stop
that would fit them."""

    inner = query_one("#figures", Static)
    budget_bar = query_one("#budget-bar", Static)

    @dataclass
    class AssumptionsChanged(Message):
        """The user typed other expectations."""

        assumptions: UsageAssumptions

    HEAD: ClassVar[str] = "Models"

    def __init__(self, assumptions: UsageAssumptions) -> None:
        super().__init__(id="models")
        self.assumptions = assumptions
        self._figures: tuple[ModelLine, ...] = ()
        self._typed_names: set[str] = set()
        self._given: dict[str, str] = {}
        self._own = {
            "calls_per_day": _rounded(assumptions.calls_per_day),
            "output_tokens": str(assumptions.output_tokens),
        }
        """What the settings say, or what was typed last: what holds for a prompt that the log does not know."""

    def compose(self) -> ComposeResult:
        """Lay out table, inputs and bar."""
        with VerticalScroll(id="figures-scroll"):
            yield Static(id="figures")
        with Horizontal(id="demand"):
            for name, label, value, tooltip in (
                ("output_tokens", mark("out"), self.assumptions.output_tokens, tr("Expected output tokens of a call")),
                (
                    "calls_per_day",
                    mark("calls/day"),
                    _rounded(self.assumptions.calls_per_day),
                    tr("Expected calls a day"),
                ),
                (
                    "budget_tokens",
                    mark("budget"),
                    self.assumptions.budget_tokens,
                    tr("Tokens that the prompt may have; 0: none"),
                ),
            ):
                yield Label(tr(label))
                kind: Literal["integer", "number"] = "number" if name == "calls_per_day" else "integer"
                yield Input(str(value), id=name, type=kind, max_length=9, compact=True, tooltip=tooltip)
        yield Static(id="budget-bar")
        yield Static(id="sections", markup=False)

    def on_mount(self) -> None:
        """Draw what is known, which is little."""
        self.show_sections("")
        self._draw()

    def show_sections(self, text: str) -> None:
        """Say what the messages take, and the prompt with its variables filled; an empty text says nothing."""
        lines = self.query_one("#sections", Static)
        lines.display = bool(text)
        lines.update(clean(text))

    def on_resize(self) -> None:
        """Draw for the new width."""
        self._draw()

    def show(self, figures: tuple[ModelLine, ...], as_of: str) -> None:
        """Show these figures; ``as_of`` is the date of the price table."""
        beside = units.beside()
        rate = f" · {beside}" if beside is not None else ""
        self.state = tr("prices of {as_of}", as_of=as_of) + rate if as_of else ""
        if figures != self._figures:
            self._figures = figures
            self._draw()

    def forget_typed(self) -> None:
        """Let the log speak again: what was typed was meant for another text."""
        self._typed_names.clear()

    def take_known(self, *, calls_per_day: float | None = None, output_tokens: float | None = None) -> None:
        """Take over what the log knows of the prompt; what the user typed for it stays."""
        calls = None if calls_per_day is None else _rounded(calls_per_day)
        tokens = None if output_tokens is None else str(round(output_tokens))
        self._put(calls, tokens)

    def take_own(self) -> None:
        """Go back to what is expected of a prompt that the log does not know."""
        self._put(self._own["calls_per_day"], self._own["output_tokens"])

    def _put(self, calls: str | None, tokens: str | None) -> None:
        for name, value in (("calls_per_day", calls), ("output_tokens", tokens)):
            field = self.query_one(f"#{name}", Input)
            if value is not None and name not in self._typed_names and field.value != value:
                self._given[name] = value
                field.value = value

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        width = self.inner.content_size.width or 40
        if not self._figures:
            self.inner.update(Content.styled("counting …", "$foreground 60%"))
        else:
            self.inner.update(table(self._figures, width))
        budget = self.assumptions.budget_tokens
        self.budget_bar.display = bool(budget and self._figures)
        if self.budget_bar.display:
            first = self._figures[0]
            self.budget_bar.update(budget_line(first.tokens, first.is_exact, budget, width))

    @on(Input.Changed)
    def _typed(self, message: Input.Changed) -> None:
        message.stop()
        name = str(message.input.id)
        if self._given.pop(name, None) != message.value:
            self._typed_names.add(name)
            self._own[name] = message.value
        try:
            number = max(0.0, float(message.value or "0"))
        except ValueError:  # a lone sign: not a number yet
            return
        if not math.isfinite(number):
            return
        value: Any = number if name == "calls_per_day" else int(number)
        assumptions = replace(self.assumptions, **{name: value})
        if assumptions != self.assumptions:
            self.assumptions = assumptions
            self._draw()
            self.post_message(self.AssumptionsChanged(assumptions))
