"""An answer that is JSON, as a tree: what breaks the schema that was asked for stands where it belongs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static, Tree
from textual.widgets.tree import TreeNode

from promptop.base.errors import PromptopError
from promptop.base.json_schema import SchemaFault, faults
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr, tr_n
from promptop.client.request import RunRequest
from promptop_tui.widgets.dialog import Dialog

MOST_ITEMS = 500
"""Items of one list or object that are shown."""
LONGEST = 200
"""Characters of a value that are shown on its line."""
Step = str | int


def json_of(text: str) -> Any:
    """Return the JSON of an answer, which may stand in a code fence; raise :class:`ValueError` if it is none."""
    inner = text.strip()
    if inner.startswith("```") and inner.endswith("```"):
        inner = inner[3:-3].partition("\n")[2]
    return json.loads(inner)


def schema_of(request: RunRequest | None) -> Mapping[str, Any] | None:
    """Return the JSON schema that a request asked its answer to keep; None if there is none."""
    wanted = request.extra.get("response_format") if request is not None else None
    inner = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    return schema if isinstance(schema, Mapping) else None


class JsonDialog(Dialog[None]):
    """The tree of an answer."""

    HELP = """
    Enter folds and unfolds. A value that breaks the schema of the request is marked with `✗` and the reason, and so is
    each place above it; the line below says how many there are.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "close", "Close", id="dialog.close_text", tooltip="Back to the answers", show=False),
        Binding("n", "next_fault", "Next fault", id="json.next", tooltip="Go to the next value that breaks the schema"),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {"json--wrong", "json--size"}

    @dataclass
    class Checked(Message):
        """The schema was held against the value, on a thread."""

        faults: Sequence[SchemaFault]
        problem: str = ""

    def __init__(self, title: str, value: Any, schema: Mapping[str, Any] | None) -> None:
        super().__init__(tr("{title} · as JSON", title=title))
        self._value, self._schema = value, schema
        self._faults: dict[tuple[Step, ...], list[str]] = {}
        self._wrong: list[TreeNode[tuple[Step, ...]]] = []

    def compose(self) -> ComposeResult:
        """Lay out the tree."""
        with self.frame():
            tree: Tree[tuple[Step, ...]] = Tree("answer", id="json-tree")
            yield tree
            yield Static(id="json-state", markup=False)

    def on_mount(self) -> None:
        """Show the value, then hold the schema against it."""
        self._fill()
        self.query_one(Tree).focus()
        if self._schema is None:
            self.query_one("#json-state", Static).update(tr("No schema was asked for."))
        else:
            self._check(self._schema)

    @work(thread=True, exclusive=True, group="schema", description="hold a schema against an answer")
    def _check(self, schema: Mapping[str, Any]) -> None:
        try:
            self.post_message(self.Checked(faults(schema, self._value)))
        except PromptopError as error:
            self.post_message(self.Checked((), str(error)))

    @on(Checked)
    def _checked(self, event: Checked) -> None:
        for fault in event.faults:
            self._faults.setdefault(fault.path, []).append(fault.message)
        self._fill()
        count = len(event.faults)
        said = (
            tr_n("✗ {n} place breaks the schema", "✗ {n} places break the schema", count)
            if count
            else tr("✓ The answer keeps the schema.")
        )
        self.query_one("#json-state", Static).update(f"✗ {event.problem}" if event.problem else said)

    def _fill(self) -> None:
        tree = self.query_one(Tree)
        tree.clear()
        self._wrong = []
        tree.root.set_label(self._label("answer", self._value, ()))
        self._grow(tree.root, self._value, ())
        tree.root.expand_all()

    def _grow(self, node: TreeNode[tuple[Step, ...]], value: Any, path: tuple[Step, ...]) -> None:
        if path in self._faults:
            self._wrong.append(node)
        pairs: list[tuple[Step, Any]] = []
        if isinstance(value, Mapping):
            pairs = list(value.items())
        elif isinstance(value, list):
            pairs = list(enumerate(value))
        for step, inner in pairs[:MOST_ITEMS]:
            below = (*path, step)
            label = self._label(str(step), inner, below)
            if isinstance(inner, Mapping | list) and inner:
                self._grow(node.add(label, below), inner, below)
            else:
                leaf = node.add_leaf(label, below)
                if below in self._faults:
                    self._wrong.append(leaf)
        if len(pairs) > MOST_ITEMS:
            node.add_leaf(tr("… {n:,} more", n=len(pairs) - MOST_ITEMS))

    def _label(self, name: str, value: Any, path: tuple[Step, ...]) -> Text:
        wrong, size = (self.get_component_rich_style(f"json--{part}", partial=True) for part in ("wrong", "size"))
        own = self._faults.get(path, [])
        label = Text(no_wrap=True)
        if own or any(each[: len(path)] == path for each in self._faults):
            label.append("✗ ", wrong)
        label.append(clean_line(name, 60), "bold")
        if isinstance(value, Mapping):
            label.append(f"  {{{len(value)}}}", size)
        elif isinstance(value, list):
            label.append(f"  [{len(value)}]", size)
        else:
            label.append(f"  {clean_line(json.dumps(value, ensure_ascii=False), LONGEST)}")
        for message in own:
            label.append(f"  ← {clean_line(message, LONGEST)}", wrong)
        return label

    def action_next_fault(self) -> None:
        """Go to the next value that breaks the schema."""
        tree = self.query_one(Tree)
        if not self._wrong:
            return
        line = tree.cursor_line
        following = next((node for node in self._wrong if node.line > line), self._wrong[0])
        tree.move_cursor(following)
        tree.scroll_to_node(following)
