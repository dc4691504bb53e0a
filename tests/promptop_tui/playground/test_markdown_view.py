from __future__ import annotations

from rich.style import Style

from promptop.client.conversation import Context
from promptop_tui.playground.controllers.cost.estimate import context_line
from promptop_tui.widgets.markdown_view import PARTS, render
from promptop_tui.widgets.prompt_area.code_colours import CODE_PARTS

STYLES = {part: Style(color="red") for part in (*PARTS, "note", "fold", *(f"code-{part}" for part in CODE_PARTS))}
TEXT = """\
# 标题 Title

Some **bold** words and `code`.

- first
- 第二

```python
def f():  # a comment that is longer than the width of this view
    return 1
```

| a | b |
|---|---|
| 1 | 二 |

[a link](https://example.invalid)
"""


def test_markdown_is_rows_that_fit() -> None:
    rows = render([("fold", "▸ reasoning"), ("text", TEXT), ("note", "cut\nhere")], 30, STYLES)
    text = [row.text.rstrip() for row in rows]
    assert text[0] == "▸ reasoning"
    assert "标题 Title" in text
    assert "Some bold words and code." in text
    assert any("• first" in row for row in text)
    assert any("• 第二" in row for row in text)
    assert "    return 1" in text
    assert any("二" in row and "1" in row for row in text)
    assert text[-2:] == ["cut", "here"]
    assert all(row.cell_length <= 30 for row in rows)
    assert "**" not in "".join(text) and "](" not in "".join(text)
    assert all("\x1b" not in segment.text for row in rows for segment in row), "links are no escape sequences"


def test_code_is_not_coloured_but_by_the_theme() -> None:
    rows = render([("text", "```python\nimport os\n```")], 20, STYLES)
    styles = {str(segment.style.color) for row in rows for segment in row if segment.style and segment.text.strip()}
    assert styles <= {str(Style(color="red").color), "None"}


def test_what_a_conversations_context_saves_is_said() -> None:
    assert context_line(Context((), 5, 2), 1000, 188) == "2 of 5 rounds: ≈−812 tok (81 %)"
    assert context_line(Context((), 1, 0), 10, 30) == "0 of 1 rounds: ≈+20 tok (200 %)"
