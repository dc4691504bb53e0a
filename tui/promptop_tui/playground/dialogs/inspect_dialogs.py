"""Pages over the playground: a call in full, and how two answers differ."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static

from promptop.base import units
from promptop.base.sanitize import clean
from promptop.base.word_diff import Piece, diff, similarity
from promptop.client.http.raw_stream import Received
from promptop_tui.playground.views.stream_text import StreamView


class InspectDialog(ModalScreen[None]):
    """A scrolled text; any of its keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "Close", id="playground.close", tooltip="Back to the answers"),
    ]

    def __init__(self, title: str) -> None:
        super().__init__(classes="playground-page")
        self._page_title = title

    def compose(self) -> ComposeResult:
        """Lay out the box."""
        with VerticalScroll(id="page") as box:
            box.border_title = Content(self._page_title)
            yield Static(self.first(), id="page-text", markup=False)

    def first(self) -> Content | str:
        """Return what is shown at once."""
        return ""


class DetailsDialog(InspectDialog):
    """Everything known of one call."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy", id="playground.copy_details", tooltip="Copy all of this, the request included"),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__(title)
        self._text = text

    def first(self) -> str:
        """Return the text."""
        return self._text

    def action_copy(self) -> None:
        """Copy the text."""
        self.app.copy_to_clipboard(self._text)
        self.notify(f"Copied {len(self._text):,} characters.")


class RawDialog(ModalScreen[None]):
    """The stream as it came over the wire: each read with its time, decompressed and nothing else."""

    HELP = """
    Every read of the response's body with the moment at which it came, seconds from the start of the call. What was
    compressed is shown decompressed. `y` copies all of it.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,r", "dismiss", "Close", id="raw.close", tooltip="Back to the answers"),
        Binding("y", "copy", "Copy", id="raw.copy", tooltip="Copy the stream"),
    ]

    def __init__(self, title: str, received: Received) -> None:
        super().__init__(classes="playground-page")
        self._title_text = title
        self._received = received
        self._pieces = received.decoded()

    def compose(self) -> ComposeResult:
        """Lay out the stream."""
        got = self._received
        with Vertical(id="page") as box:
            box.border_title = Content(f"{self._title_text} · as received")
            kept = f" · {got.left_out:,} left out" if got.left_out else ""
            status = f"HTTP {got.status} · " if got.status else ""
            box.border_subtitle = f"{status}{len(got.reads):,} reads, {got.size:,} bytes on the wire{kept} · y copies"
            yield StreamView(classes="raw")

    def on_mount(self) -> None:
        """Show the headers, then the reads."""
        view = self.query_one(StreamView)
        for name, value in self._received.headers:
            view.feed("note", f"{name}: {value}\n")
        for at_s, text in self._pieces:
            view.feed("reasoning", f"\n── {at_s:.4f} s\n")
            view.feed("text", text.rstrip("\n"))
        view.fold(unfolded=True)
        view.focus()
        self.call_after_refresh(self._first)

    def _first(self) -> None:
        view = self.query_one(StreamView)
        view.following = False
        view.flush()
        view.scroll_to(0, 0, animate=False, immediate=True)

    def action_copy(self) -> None:
        """Copy the stream."""
        text = "".join(text for _, text in self._pieces)
        self.app.copy_to_clipboard(text)
        self.notify(f"Copied {len(text):,} characters.")


class DiffDialog(InspectDialog):
    """How one answer differs from another; compared on a thread, since long texts take a second."""

    class Compared(Message):
        """The difference was found."""

        def __init__(self, pieces: list[Piece]) -> None:
            super().__init__()
            self.pieces = pieces

    def __init__(self, before_title: str, before: str, after_title: str, after: str) -> None:
        super().__init__(f"{before_title} → {after_title}")
        self._before, self._after = clean(before), clean(after)

    def first(self) -> str:
        """Return what is shown until the difference is there."""
        return "comparing …"

    def on_mount(self) -> None:
        """Begin to compare."""
        self._compare()

    @work(thread=True, exclusive=True, group="diff", description="compare two answers")
    def _compare(self) -> None:
        self.post_message(self.Compared(diff(self._before, self._after)))

    def on_diff_page_compared(self, message: Compared) -> None:
        """Show it."""
        pieces = message.pieces
        self.query_one("#page-text", Static).update(rendered(pieces))
        box = self.query_one("#page", VerticalScroll)
        box.border_subtitle = Content(f"{units.share(similarity(pieces))} in common · [-gone-] {{+new+}}")


def rendered(pieces: list[Piece]) -> Content:
    """Return a difference with signs and styles: what is gone is struck through, what is new is underlined."""
    if all(piece.kind == "same" for piece in pieces):
        return Content("The answers are the same.\n\n" + "".join(piece.text for piece in pieces))
    parts: list[Content | str | tuple[str, str]] = []
    for piece in pieces:
        if piece.kind == "same":
            parts.append(piece.text)
        elif piece.kind == "removed":
            parts.append((f"[-{piece.text}-]", "$text-error strike"))
        else:
            parts.append((f"{{+{piece.text}+}}", "$text-success underline"))
    return Content.assemble(*parts)
