"""Markdown as rows of a terminal, and a stream view that can show its text so once the text is complete.

Rendering takes a quarter of a second for 20 KB: it is done on a thread, for a text that does not grow any more. While
an answer streams it is shown as it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import on, work
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from promptop_tui.widgets.prompt_area.code_colours import CODE_PARTS, code_parts
from promptop_tui.widgets.stream_text import StreamView
from promptop_tui.widgets.text_wrap import wrap

if TYPE_CHECKING:
    from rich.markdown import Markdown

PARTS: dict[str, tuple[str, ...]] = {
    "heading": tuple(f"markdown.h{level}" for level in range(1, 8)),
    "code": ("markdown.code", "markdown.code_block"),
    "quote": ("markdown.block_quote",),
    "mark": ("markdown.list", "markdown.item.bullet", "markdown.item.number", "markdown.hr", "markdown.table.border"),
    "link": ("markdown.link", "markdown.link_url"),
}
"""Component class of a part (``stream--heading`` …) → the names that the renderer has for it."""


def markdown_of(text: str) -> Markdown:
    """Return a text as Markdown: headings to the left, code as it is; no colours but those of the theme."""
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.markdown import CodeBlock, Heading, Markdown
    from rich.text import Text

    class Plain(CodeBlock):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            code = Text(str(self.text).rstrip("\n"), style="markdown.code_block", overflow="fold", justify="left")
            for start, end, part in code_parts(code.plain, self.lexer_name):
                code.stylize(f"code.{part}", start, end)
            yield from console.render(code, options)

    class Left(Heading):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            self.text.justify = "left"
            yield Text("")
            yield self.text

    class Ours(Markdown):
        elements: ClassVar[dict[str, Any]] = {
            **Markdown.elements,
            "fence": Plain,
            "code_block": Plain,
            "heading_open": Left,
        }

    return Ours(text, hyperlinks=False)


def render(blocks: Iterable[tuple[str, str]], width: int, styles: dict[str, Style]) -> list[Strip]:
    """Return the rows of blocks (kind, text), none wider than ``width`` cells: text as Markdown, the rest as it is."""
    from rich.console import Console
    from rich.theme import Theme

    named = {name: styles[part] for part, names in PARTS.items() for name in names}
    named |= {f"code.{part}": styles[f"code-{part}"] for part in CODE_PARTS}
    console = Console(width=width, color_system="truecolor", force_terminal=True, theme=Theme(named), highlight=False)
    rows: list[Strip] = []
    for kind, text in blocks:
        if kind == "text":
            lines = console.render_lines(markdown_of(text), console.options, pad=False)
            rows += [Strip([segment for segment in line if segment.text]) for line in lines]
        else:
            rows += [Strip([Segment(row, styles.get(kind))]) for line in text.split("\n") for row in wrap(line, width)]
    while rows and not rows[0].text.strip():
        del rows[0]
    return rows


class RenderedView(StreamView):
    """A stream view whose finished text may be shown as Markdown."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"stream--{part}" for part in PARTS),
        *(f"stream--code-{part}" for part in CODE_PARTS),
    }

    @dataclass
    class Rendered(Message):
        """Rows were made, on a thread."""

        rows: Sequence[Strip]
        asked: int

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self.wants_markdown = False
        """Whether a finished text is shown as Markdown."""
        self._rendered: Sequence[Strip] | None = None
        self._asked = 0
        self._styled: dict[str, Style] = {}
        """The styles that the rows were made with."""

    @property
    def finished(self) -> bool:
        """Whether the text is complete."""
        return True

    @property
    def rendered(self) -> bool:
        """Whether Markdown is shown now."""
        return self._rendered is not None

    def show_markdown(self, wanted: bool) -> None:
        """Show the text as Markdown, now or when it is complete; or as it came."""
        self.wants_markdown = wanted
        if not wanted:
            self._asked += 1
            self._show_rows(None)
        elif self.finished:
            self._begin()

    def clear(self) -> None:
        """Empty the view and follow again."""
        self._asked += 1
        self._rendered = None
        super().clear()

    def _begin(self) -> None:
        if not self._wrap_width or not self.texts:
            return
        self._asked += 1
        self._styled = self._styles()
        self._make(self.texts, self._wrap_width, self._styled, self._asked)

    def _styles(self) -> dict[str, Style]:
        kinds = [
            *PARTS,
            *(f"code-{part}" for part in CODE_PARTS),
            "reasoning",
            "fold",
            "refusal",
            "tool",
            "called",
            "given",
            "note",
            "error",
        ]
        return {kind: self.get_component_rich_style(f"stream--{kind}", partial=True) for kind in kinds}

    @work(thread=True, exclusive=True, group="markdown", description="render an answer's Markdown")
    def _make(self, blocks: Sequence[tuple[str, str]], width: int, styles: dict[str, Style], asked: int) -> None:
        self.post_message(self.Rendered(render(blocks, width, styles), asked))

    @on(Rendered)
    def _was_rendered(self, event: Rendered) -> None:
        event.stop()
        if event.asked == self._asked:
            self._show_rows(event.rows)

    def _show_rows(self, rows: Sequence[Strip] | None) -> None:
        if rows is None and self._rendered is None:
            return
        first = self._rendered is None
        self._rendered = rows
        self.virtual_size = Size(self._wrap_width, len(self._rows) if rows is None else len(rows))
        self._find()
        if first and rows is not None:
            self.scroll_to(0, 0, animate=False, immediate=True)
        self.refresh()

    def _rewrap(self) -> None:
        super()._rewrap()
        if self.wants_markdown and self.finished:
            self._begin()

    def _grown(self, first_dirty: int) -> None:
        self._rendered = None
        super()._grown(first_dirty)

    def notify_style_update(self) -> None:
        """Render again where the theme changed; the focus changes the frame alone."""
        super().notify_style_update()
        if self._rendered is not None and self._styles() != self._styled:
            self._begin()

    def render_line(self, y: int) -> Strip:
        """Return one row of the viewport."""
        if self._rendered is None:
            return super().render_line(y)
        at, width = y + self.scroll_offset.y, self.size.width
        base = self._style_of("text")
        if at >= len(self._rendered):
            return Strip.blank(width, self._style_of(""))
        strip = self._rendered[at].adjust_cell_length(width).apply_style(base)
        return self._marked(strip, at) if self.matches else strip

    def row_texts(self) -> list[str]:
        """Return the rows as they are painted."""
        return super().row_texts() if self._rendered is None else [strip.text for strip in self._rendered]
