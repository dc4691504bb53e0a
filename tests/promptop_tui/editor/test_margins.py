"""How far an estimate may be off stands beside it, once it was measured."""

from __future__ import annotations

import re

from tests.promptop_tui.editor.conftest import Open

from promptop.settings import EditorSettings
from promptop.tokens import factors
from promptop.tokens.estimate import o200k_from_chars
from promptop_tui.editor.controllers.count_state import load_catalogue
from promptop_tui.editor.views.model_figures import ModelLine, margin
from promptop_tui.editor.views.models_panel import columns_for, summary, table

MODEL = "claude-opus-5-5"


def learn() -> float:
    """Fit factors for a model whose server counts about 1.3 times o200k; return their error."""
    samples = []
    for k in range(40):
        chars = (1000 + 97 * k, 13 * k, 300, 0)
        reported = round((1.3 + 0.01 * (k % 5 - 2)) * o200k_from_chars(chars)) + 4
        samples.append(factors.CountedCall(model=MODEL, chars=chars, reported=reported, at_ms=k))
    factors.save(factors.learn(samples)[0])
    error = factors.current()[factors.key(MODEL)].error
    assert error
    return error


async def test_a_learned_estimate_shows_its_measured_interval(editor: Open) -> None:
    error = learn()
    settings = EditorSettings(watch=(MODEL, "gpt-4o"))
    for size in ((80, 24), (112, 30)):
        async with editor(settings=settings, counts=True, size=size) as running:
            await running.pilot.press(*"hello", "space", *"you")
            await running.until(lambda: running.pane.counts.live.is_current)
            await running.until(lambda: "=" in running.table)
            line = next(line for line in running.table.splitlines() if line.startswith(MODEL[:8]))
            assert re.search(rf"≈\d+ +{re.escape(margin(error))} ", line), running.table
            exact = next(line for line in running.table.splitlines() if line.startswith("gpt-4o"))
            assert "±" not in exact.replace("±0%", "")
            assert "$/call" in running.table
            assert MODEL in running.table  # no name is cut while a column less needed can go
            running.pane.area.load_text("")


def test_only_the_encodings_that_the_models_need_are_counted() -> None:
    assert load_catalogue(["gpt-4o", "gpt-4-turbo", "gpt-oss-120b", MODEL]).encodings == ("o200k_base", "cl100k_base")


def test_margins_are_written_short_and_need_no_column_where_there_are_none() -> None:
    assert (margin(0.016), margin(0.12), margin(None)) == ("±1.6%", "±12%", "")
    figure = ModelLine("m", 1284, False, None, None, None, None, error=0.016, is_estimate=True)
    assert "≈1,284 ±1.6% tokens" in summary(figure)
    assert "≈1,284 ±1.6%" in re.sub(" +", " ", str(table([figure], 60)))
    unmeasured = ModelLine("m", 1284, False, None, None, None, None, is_estimate=True)
    assert "≈1,284 ±?" in re.sub(" +", " ", str(table([unmeasured], 60)))
    stale = ModelLine("m", 1284, False, None, None, None, None)
    assert "±" not in str(table([stale], 60))


def test_names_are_cut_only_where_nothing_else_can_give_room() -> None:
    figures = [
        ModelLine(name, 12_345, False, 0.1, 0.0123, 370.0, 12_000, error=0.02, is_estimate=True)
        for name in ("claude-opus-5-5-20261001", "gpt-4o")
    ]
    for width in range(34, 100):
        drawn = str(table(figures, width))
        assert "claude-opus-5-5-20261001 " in drawn
        assert all(len(line) <= width for line in drawn.splitlines())
    assert [column.title for column, _ in columns_for(figures, 46)] == ["tokens", "±", "$/call"]
