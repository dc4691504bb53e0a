"""What PromptArea overrides or calls of Textual and what carries no promise: a change fails here by name."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from textual.document._document import Document, EditResult
from textual.document._document_navigator import DocumentNavigator
from textual.document._edit import Edit
from textual.document._history import EditHistory
from textual.document._wrapped_document import WrappedDocument
from textual.widgets import TextArea

# Source of each hook at Textual 8.2.8. After an upgrade: read the change, adapt editor/area.py, run the fuzz test, then
# write the new digest here.
HOOKS: dict[str, tuple[Callable[..., Any], str]] = {
    "_set_document": (TextArea._set_document, "3bea23d1"),
    "_build_highlight_map": (TextArea._build_highlight_map, "08a9cc36"),
    "edit": (TextArea.edit, "21cc9087"),
    "_undo_batch": (TextArea._undo_batch, "56c81dd0"),
    "_redo_batch": (TextArea._redo_batch, "61724144"),
    "_refresh_size": (TextArea._refresh_size, "dddf5bc7"),
    "_rewrap_and_refresh_virtual_size": (TextArea._rewrap_and_refresh_virtual_size, "32725265"),
    "render_line": (TextArea.render_line, "0fab1cf6"),
    "_render_line": (TextArea._render_line, "11d1cc32"),
    "_on_paste": (TextArea._on_paste, "786b2d3d"),
    "_on_key": (TextArea._on_key, "7d96cf80"),
    "_watch_scroll_y": (TextArea._watch_scroll_y, "6bde10d2"),
    "_watch_language": (TextArea._watch_language, "c51ec11c"),
    "_draw_cursor": (TextArea._draw_cursor.fget, "318c55ab"),  # type: ignore[attr-defined]
    "gutter_width": (TextArea.gutter_width.fget, "63f98f09"),  # type: ignore[attr-defined]
    "Edit.do": (Edit.do, "8fd65904"),
    "Edit.undo": (Edit.undo, "46486155"),
    "Edit.after": (Edit.after, "842e7b89"),
    "EditHistory.record": (EditHistory.record, "b589b35b"),
}


def digest(function: Callable[..., Any]) -> str:
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:8]


@pytest.mark.parametrize("name", HOOKS)
def test_the_hook_is_as_it_was(name: str) -> None:
    function, known = HOOKS[name]
    assert digest(function) == known, f"TextArea's {name} changed: see the comment on HOOKS"


def names_used_by(kind: type, attribute: str) -> set[str]:
    """Names that methods of ``kind`` look up on ``self.<attribute>`` or ``<attribute>``."""
    import re

    source = inspect.getsource(kind)
    return set(re.findall(rf"\b{attribute}\.(\w+)", source))


@pytest.mark.parametrize("kind", [TextArea, DocumentNavigator])
def test_the_wrapped_document_answers_all_that_is_asked_of_it(kind: type) -> None:
    from promptop_tui.widgets.prompt_area.document import ExactDocument
    from promptop_tui.widgets.prompt_area.wrapping import BlockWrappedDocument

    wrapped = BlockWrappedDocument(ExactDocument("a"), 10, 4)
    asked = names_used_by(kind, "_?wrapped_document") - {"_offset_to_line_info"}  # read by _render_line, overridden
    assert asked
    assert not [name for name in asked if not hasattr(wrapped, name)]


def test_our_documents_override_every_method_that_keeps_state() -> None:
    from promptop_tui.widgets.prompt_area.document import ExactDocument
    from promptop_tui.widgets.prompt_area.wrapping import BlockWrappedDocument

    stock = {name for name in vars(WrappedDocument) if not name.startswith("__")} | {"__init__"}
    assert not stock - set(vars(BlockWrappedDocument))
    kept = {"lines", "text", "newline", "get_size", "line_count", "start", "end", "get_line", "__getitem__"}
    stock = {name for name in vars(Document) if not name.startswith("__")} | {"__init__", "__getitem__"}
    assert not {name for name in stock - set(vars(ExactDocument)) - kept if not name.startswith("_abc")}
    assert list(EditResult.__dataclass_fields__) == ["end_location", "replaced_text"]
