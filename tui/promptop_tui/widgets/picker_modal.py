"""A dialog that offers items: searched, listed, shown, taken, and removed where that can be.

The items are read on a thread, so that a file or a database may be behind them; what was read for an older search is
dropped. A dialog gives functions for what differs; it needs no list, no worker and no preview of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, SelectionList, Static
from textual.widgets.selection_list import Selection

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop_tui.shell.key_names import key_name
from promptop_tui.widgets.check_list import CheckList
from promptop_tui.widgets.dialog import Dialog
from promptop_tui.widgets.table import Cell, ChoiceTable, Column, VirtualTable

Item = TypeVar("Item")
Result = TypeVar("Result")
READING = "reading …"


class PickList(OptionList):
    """A list whose key for taking an item is named."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Take", id="picker.take", tooltip="Take the highlighted one"),
    ]


class PickerModal(Dialog[Result], Generic[Item, Result]):
    """A list of items, or a table of them where ``columns`` are given, with a search line and a preview if wanted."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f8", "remove", "Remove", id="picker.remove", tooltip="Remove the highlighted one; press twice"),
    ]

    @dataclass
    class Loaded(Message):
        """Items were read, or changed and read again, on a thread."""

        search: str
        items: Sequence[Any]
        problem: str = ""

    @dataclass
    class Highlighted(Message):
        """Another item is looked at."""

        item: Any

    def __init__(
        self,
        title: str,
        read: Callable[[str], Iterable[Item]],
        *,
        label: Callable[[Item], str | Content] = str,
        preview: Callable[[Item], str | Content] | None = None,
        placeholder: str = "",
        name_hint: str = "",
        empty: Callable[[str], str] = lambda search: "Nothing found." if search else "There is nothing yet.",
        remove: Callable[[Item], None] | None = None,
        remove_warning: Callable[[Item], str] = lambda item: "removes it",
        is_chosen: Callable[[Item], bool] | None = None,
        columns: Sequence[Column] = (),
        cells: Callable[[Item], Sequence[Cell]] | None = None,
        is_beside: bool = False,
        classes: str | None = None,
    ) -> None:
        """``read`` gets the search text and runs on a thread, as ``remove`` does; both may raise a PromptopError.

        ``placeholder`` gives the dialog a search line, ``name_hint`` a line for a name, ``is_chosen`` boxes to tick
        (several are taken at once); ``is_beside`` puts the preview to the right of the list.
        """
        super().__init__(title, classes=" ".join(filter(None, (classes, "-beside" if is_beside else ""))) or None)
        self._read, self._label, self._preview = read, label, preview
        self._placeholder, self._name_hint, self._empty = placeholder, name_hint, empty
        self._remove, self._remove_warning = remove, remove_warning
        self._is_chosen = is_chosen
        self._columns, self._cells = tuple(columns), cells
        self._search = ""
        self._removing: Item | None = None
        self.items: Sequence[Item] = ()

    # Layout

    def compose(self) -> ComposeResult:
        """Lay out search, list and preview."""
        with self.frame():
            if self._placeholder:
                yield Input(placeholder=self._placeholder, compact=True, id="picker-search")
            if self._name_hint:
                yield Input(placeholder=self._name_hint, compact=True, id="picker-name")
            with Container(id="picker-body"):
                if self._columns:
                    yield ChoiceTable(self._columns, follows=False, id="picker-list")
                elif self._is_chosen is not None:
                    yield CheckList(compact=True, id="picker-list")
                else:
                    yield PickList(compact=True, markup=False, id="picker-list")
                if self._preview is not None:
                    with VerticalScroll(id="picker-preview", can_focus=False):
                        yield Static(id="picker-text", markup=False)
            yield Static(id="picker-told", markup=False)

    def on_mount(self) -> None:
        """Read the items."""
        self.query_one("#picker-name" if self._name_hint else "#picker-list").focus()
        self.tell(READING)
        self.read_again()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to remove only where that can be done."""
        return self._remove is not None if action == "remove" else super().check_action(action, parameters)

    # Reading

    def read_again(self) -> None:
        """Read the items anew; the highlight stays where it was."""
        self._load(self._search)

    @work(thread=True, exclusive=True, group="picker", description="read what can be picked")
    def _load(self, search: str) -> None:
        try:
            self.post_message(self.Loaded(search, list(self._read(search))))
        except PromptopError as error:
            self.post_message(self.Loaded(search, (), str(error)))

    @on(Loaded)
    def _loaded(self, event: Loaded) -> None:
        event.stop()
        if event.search == self._search:
            self.show_items(event.items, event.problem)

    def show_items(self, items: Sequence[Item], problem: str = "") -> None:
        """Show items, which were read here or elsewhere; the highlight stays where it was."""
        at = self.highlighted_index or 0
        self.items, self._removing = items, None
        self._list()
        self.tell(f"✗ {problem}" if problem else "" if self.items else self._empty(self._search))
        if self.items:
            self.highlight(min(at, len(self.items) - 1))
        elif self._preview is not None:
            self.query_one("#picker-text", Static).update("")

    def _list(self) -> None:
        shown = self.query_one("#picker-list")
        if isinstance(shown, VirtualTable):
            shown.set_rows(len(self.items), self._row)
        elif isinstance(shown, CheckList):
            assert self._is_chosen is not None
            with self.prevent(SelectionList.SelectedChanged):
                shown.clear_options()
                shown.add_options(
                    [
                        Selection(self._labelled(item), str(at), self._is_chosen(item))
                        for at, item in enumerate(self.items)
                    ]
                )
        elif isinstance(shown, OptionList):
            shown.clear_options()
            shown.add_options([self._labelled(item) for item in self.items])

    def _labelled(self, item: Item) -> Content:
        label = self._label(item)
        return Content(clean_line(label, 200)) if isinstance(label, str) else label

    def _row(self, at: int) -> Sequence[Cell]:
        return self._cells(self.items[at]) if self._cells is not None and at < len(self.items) else ()

    # What is looked at

    @property
    def highlighted_index(self) -> int | None:
        """Place of the highlighted item; None if there is none."""
        shown = self.query_one("#picker-list")
        at = shown.cursor_row if isinstance(shown, VirtualTable) else getattr(shown, "highlighted", None)
        return at if at is not None and at < len(self.items) else None

    @property
    def highlighted(self) -> Item | None:
        """The highlighted item."""
        at = self.highlighted_index
        return None if at is None else self.items[at]

    @property
    def chosen(self) -> list[Item]:
        """The items that are ticked, in the order of the list."""
        ticked = set(self.query_one("#picker-list", CheckList).selected)
        return [item for at, item in enumerate(self.items) if str(at) in ticked]

    def highlight(self, at: int) -> None:
        """Look at an item."""
        shown = self.query_one("#picker-list")
        if isinstance(shown, VirtualTable):
            shown.go(at)
            self._looked_at(at)
        elif isinstance(shown, OptionList):
            if shown.highlighted == at:
                self._looked_at(at)
            shown.highlighted = at

    def tell(self, text: str) -> None:
        """Say something below the list; it stands until another item is looked at. The text may come from anywhere."""
        if self.is_attached:
            self.query_one("#picker-told", Static).update(clean(text))
            self.query_one("#picker-told").display = bool(text)

    @on(OptionList.OptionHighlighted, "#picker-list")
    @on(SelectionList.SelectionHighlighted, "#picker-list")
    def _option_looked_at(self, event: Any) -> None:
        event.stop()
        self._looked_at(getattr(event, "option_index", getattr(event, "selection_index", 0)))

    @on(VirtualTable.Moved, "#picker-list")
    def _row_looked_at(self, event: VirtualTable.Moved) -> None:
        event.stop()
        self._looked_at(event.row)

    def _looked_at(self, at: int) -> None:
        if at >= len(self.items):
            return
        if self._removing is not None and self._removing is not self.items[at]:
            self._removing = None
            self.tell("")
        if self._preview is not None:
            shown = self._preview(self.items[at])
            self.query_one("#picker-text", Static).update(clean(shown) if isinstance(shown, str) else shown)
            self.query_one("#picker-preview").scroll_home(animate=False)
        self.post_message(self.Highlighted(self.items[at]))

    # Searching, taking, removing

    @on(Input.Changed, "#picker-search")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._search = event.value
        self.read_again()

    @on(Input.Submitted, "#picker-search")
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one("#picker-list").focus()

    @on(OptionList.OptionSelected, "#picker-list")
    @on(VirtualTable.Chosen, "#picker-list")
    def _taken(self, event: Message) -> None:
        event.stop()
        item = self.highlighted
        if item is not None and self._is_chosen is None:
            self.take(item)

    def take(self, item: Item) -> None:
        """Close with an item: it is the result unless a dialog makes something else of it."""
        self.dismiss(cast("Result", item))

    def action_remove(self) -> None:
        """Remove the highlighted item, when pressed twice."""
        item = self.highlighted
        if item is None:
            return
        if self._removing is not item:
            self._removing = item
            self.tell(
                tr(
                    "{key_name} again {remove_warning}.",
                    key_name=key_name(self, "picker.remove"),
                    remove_warning=self._remove_warning(item),
                )
            )
            return
        self._removing = None
        self.change(lambda: self._remove(item) if self._remove is not None else None)

    def change(self, what: Callable[[], object]) -> None:
        """Change what is behind the list, on a thread, and read it again; a PromptopError is told."""
        self._change(what, self._search)

    @work(thread=True, group="picker-change", description="change what can be picked")
    def _change(self, what: Callable[[], object], search: str) -> None:
        try:
            what()
            self.post_message(self.Loaded(search, list(self._read(search))))
        except PromptopError as error:
            self.app.call_from_thread(self.tell, f"✗ {error}")
