"""Dialogs over the answers: a call in full, its stream as it came, and how two answers differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from promptop.base import units
from promptop.base.diff import DiffRun, similarity, word_diff
from promptop.base.sanitize import clean
from promptop.base.texts import tr
from promptop.client.http.raw_stream import Received
from promptop_tui.widgets.dialog import Dialog, TextDialog
from promptop_tui.widgets.stream_text import StreamView


class DetailsDialog(TextDialog[None]):
    """Everything known of one call."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy", id="details.copy", tooltip="Copy all of this, the request included"),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__(title, text)
        self._all = text

    def action_copy(self) -> None:
        """Copy the text."""
        self.app.copy_to_clipboard(self._all)
        self.notify(tr("Copied {n:,} characters.", n=len(self._all)))


class RawDialog(Dialog[None]):
    """The stream as it came over the wire: each read with its time, decompressed and nothing else."""

    HELP = """
    Every read of the response's body with the moment at which it came, seconds from the start of the call. What was
    compressed is shown decompressed.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,enter,r", "close", "Close", id="dialog.close_text", tooltip="Back to the answers", show=False),
        Binding("y", "copy", "Copy", id="raw.copy", tooltip="Copy the stream"),
    ]

    def __init__(self, title: str, received: Received) -> None:
        kept = tr(", {left_out:,} left out", left_out=received.left_out) if received.left_out else ""
        status = f"HTTP {received.status}, " if received.status else ""
        sizes = tr(
            "{status}{n:,} reads, {size:,} bytes on the wire{kept}",
            status=status,
            n=len(received.reads),
            size=received.size,
            kept=kept,
        )
        super().__init__(tr("{title} · as received · {sizes}", title=title, sizes=sizes))
        self._received = received
        self._pieces = received.decoded()

    def compose(self) -> ComposeResult:
        """Lay out the stream."""
        with self.frame():
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
        self.call_after_refresh(self._to_start)

    def _to_start(self) -> None:
        view = self.query_one(StreamView)
        view.following = False
        view.flush()
        view.scroll_to(0, 0, animate=False, immediate=True)

    def action_copy(self) -> None:
        """Copy the stream."""
        text = "".join(text for _, text in self._pieces)
        self.app.copy_to_clipboard(text)
        self.notify(tr("Copied {n:,} characters.", n=len(text)))


class DiffDialog(TextDialog[None]):
    """How one answer differs from another; compared on a thread, since long texts take a second."""

    @dataclass
    class Compared(Message):
        """The difference was found."""

        pieces: list[DiffRun]

    def __init__(self, before_title: str, before: str, after_title: str, after: str) -> None:
        super().__init__(f"{before_title} → {after_title}", "comparing …")
        self._before, self._after = clean(before), clean(after)

    def on_mount(self) -> None:
        """Begin to compare."""
        self._compare()

    @work(thread=True, exclusive=True, group="diff", description="compare two answers")
    def _compare(self) -> None:
        self.post_message(self.Compared(word_diff(self._before, self._after)))

    @on(Compared)
    def _compared(self, event: Compared) -> None:
        self.show_text(diff_content(event.pieces))
        share = units.share(similarity(event.pieces))
        self.retitle(
            tr("{dialog_title} · {share} in common · [-gone-] {{+new+}}", dialog_title=self.dialog_title, share=share)
        )


def diff_content(pieces: list[DiffRun]) -> Content:
    """Return a difference with signs and styles: what is gone is struck through, what is new is underlined."""
    if all(piece.kind == "same" for piece in pieces):
        return Content(tr("The answers are the same.\n\n") + "".join(piece.text for piece in pieces))
    parts: list[Content | str | tuple[str, str]] = []
    for piece in pieces:
        if piece.kind == "same":
            parts.append(piece.text)
        elif piece.kind == "removed":
            parts.append((f"[-{piece.text}-]", "$text-error strike"))
        else:
            parts.append((f"{{+{piece.text}+}}", "$text-success underline"))
    return Content.assemble(*parts)
