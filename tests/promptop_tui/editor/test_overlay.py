"""Token edges and heat over the draft: the worker's edges become spans that cover what is visible, once each."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from rich.style import Style
from tests.promptop_tui.editor.conftest import Open

from promptop.tokens import TokenDocument
from promptop.workers.token_client import Edges
from promptop_tui.widgets.prompt_area.document import EditSpan, ExactDocument
from promptop_tui.widgets.prompt_area.token_overlay import MERGED_CLASS, TOKEN_CLASSES, TokenOverlay, places

TEXT = "system:\n你是一位编辑。\n\n\n    indented  code(x)\n🙂🙂 emoji \n\nthe end\n"


@pytest.mark.parametrize("seed", range(4))
def test_spans_cover_the_asked_characters_once_and_begin_where_tokens_do(seed: int) -> None:
    rng = random.Random(seed)
    document = ExactDocument(TEXT)
    tokens = TokenDocument("o200k_base", TEXT)
    for _ in range(30):
        start = rng.randrange(len(TEXT))
        end = rng.randrange(start, len(TEXT) + 1)
        edges = tuple(tokens.boundaries(start, end))
        found = places(Edges(1, "d", 1, "o200k_base", start, end, edges), document)
        covered, begins = [], []
        for line, spans in found.items():
            line_start = document.offset_at((line, 0))
            for first, behind, _ in spans:
                begins.append(line_start + first)
                covered.extend(range(line_start + first, line_start + behind))
        assert sorted(covered) == [at for at in range(start, end) if TEXT[at] != "\n"]
        assert len(covered) == len(set(covered))
        visible = {at for at, _ in edges if TEXT[at] != "\n"}
        assert visible <= set(begins)


def test_neighbours_differ_and_characters_of_many_tokens_are_marked() -> None:
    document = ExactDocument("one two three\n𠜎")
    tokens = TokenDocument("o200k_base", document.text)
    edges = tuple(tokens.boundaries(0, len(document.text)))
    found = places(Edges(1, "d", 1, "o200k_base", 0, len(document.text), edges), document)
    assert [name for *_, name in found[0]] == [TOKEN_CLASSES[0], TOKEN_CLASSES[1], TOKEN_CLASSES[0]]
    assert [name for *_, name in found[1]] == [MERGED_CLASS]


def test_edges_follow_an_edit_until_the_next_answer() -> None:
    overlay = TokenOverlay(lambda name: Style(meta={"name": name}))
    overlay.shows_tokens = True
    overlay._tokens = {0: [(0, 1, "x")], 3: [(0, 4, "y")]}
    overlay.move(EditSpan(0, (1, 0), (1, 0), (3, 0), "", "a\nb\n"))
    assert sorted(overlay._tokens) == [0, 5]
    overlay.move(EditSpan(0, (0, 0), (2, 1), (0, 0), "", ""))
    assert sorted(overlay._tokens) == [0, 3]


def test_heat_is_measured_by_the_mean_line() -> None:
    overlay = TokenOverlay(lambda name: Style())
    overlay.total_tokens, overlay.line_count = 100, 10
    assert [overlay.heat(tokens) for tokens in (0, 4, 5, 10, 20, 40, 80, 100)] == [0, 0, 1, 2, 3, 4, 5, 5]
    assert [overlay.share(tokens) for tokens in (0, 5, 100)] == ["0.0%", "5.0%", "100%"]
    overlay.total_tokens = 0
    assert overlay.heat(5) == 0


async def test_f6_and_f7_paint_the_visible_lines(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text("first line of words\n" + "word\n" * 500 + "a long line of many many words at the end\n")
    async with editor(path, counts=True) as running:
        area = running.pane.area
        await running.until(lambda: running.pane.counts.live.is_current)
        await running.pilot.press("f6")
        await running.until(lambda: area.overlay._tokens)
        assert max(area.overlay._tokens) < 100
        backgrounds = {
            segment.style.bgcolor for segment in area.render_line(0) if segment.style and segment.text.strip()
        }
        assert len(backgrounds) >= 3
        await running.pilot.press("pagedown", "pagedown")
        await running.until(lambda: min(area.overlay._tokens) > 0)
        await running.pilot.press("f6", "f7")
        assert not area.overlay._tokens
        await running.until(lambda: "%" in area.render_line(0).text)


async def test_the_gutter_shows_no_tokens_for_front_matter(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text("---\nmodel: gpt-4o-mini\ndescription: never sent\n---\nfour words are sent\n")
    async with editor(path, counts=True) as running:
        area = running.pane.area
        await running.until(lambda: running.pane.counts.live.is_current and area.line_tokens.get(4))
        rows = [area.render_line(row).text.rstrip() for row in range(5)]
        assert rows[1] == " 2       model: gpt-4o-mini", "line 2 shows tokens"
        assert rows[4].split()[:2] == ["5", str(area.line_tokens[4])]
        await running.pilot.press("f7")
        await running.until(lambda: "%" in area.render_line(4).text)
        assert not any("%" in area.render_line(row).text for row in range(4))
        assert float(area.render_line(4).text.split()[1].rstrip("%")) > 75, "front matter counts among all tokens"
