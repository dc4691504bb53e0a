"""The rules of the house that a machine can hold: folders, names, inheritance, hooks, one launcher, one opener."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "store" / "promptop", ROOT / "tui" / "promptop_tui")
MOST_MODULES = 14
TABS = ("editor", "playground", "monitor")


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from package.rglob("*.py")


def test_no_folder_holds_more_than_fourteen_modules() -> None:
    counts = Counter(path.parent for path in modules() if path.name != "__init__.py")
    assert {str(folder.relative_to(ROOT)): n for folder, n in counts.items() if n > MOST_MODULES} == {}


def _classes(folder: Path) -> dict[str, ast.ClassDef]:
    return {
        node.name: node
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }


def _bases(node: ast.ClassDef) -> set[str]:
    names = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    return {name.id for name in names if isinstance(name, ast.Name)}


def test_no_screen_or_controller_is_cut_into_files_by_inheritance() -> None:
    """Screens compose controllers; a class of a tab does not inherit from another class of that tab.

    Exceptions are tagged unions (frozen dataclasses, messages) and the families of dialogs, whose base is a widget.
    """
    wrong = []
    for tab in TABS:
        classes = _classes(PACKAGES[1] / tab)
        for name, node in classes.items():
            for base in _bases(node) & classes.keys():
                methods = [
                    each for each in classes[base].body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
                ]
                if len(methods) > 12 or base.endswith(("Pane", "Screen")):
                    wrong.append(f"{tab}: {name} inherits from {base}")
    assert wrong == []


def test_no_screen_has_more_than_thirty_methods() -> None:
    wrong = {}
    for tab in TABS:
        for name, node in _classes(PACKAGES[1] / tab).items():
            methods = sum(isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) for each in node.body)
            if name.endswith("Pane") and methods > 30:
                wrong[name] = methods
    assert wrong == {}


def test_no_hook_is_left_to_a_subclass() -> None:
    assert [str(path) for path in modules() if "raise NotImplementedError" in path.read_text(encoding="utf-8")] == []


def test_python_children_are_launched_in_one_place() -> None:
    starts = re.compile(r"\[\s*sys\.executable")
    wrong = [str(path.relative_to(ROOT)) for path in modules() if starts.search(path.read_text(encoding="utf-8"))]
    assert wrong == ["store/promptop/base/processes.py"]


def test_sqlite_files_are_opened_in_one_place() -> None:
    wrong = [
        str(path.relative_to(ROOT)) for path in modules() if "sqlite3.connect(" in path.read_text(encoding="utf-8")
    ]
    assert wrong == ["store/promptop/base/sqlite.py"]


def test_old_names_are_gone() -> None:
    """The names that told nobody what they hold."""
    old = re.compile(r"\b(?:Conductor|Notebook|Yardstick|Purse|Shelved|promptop\.(?:shim|runs|demo))\b")
    wrong = [str(path.relative_to(ROOT)) for path in modules() if old.search(path.read_text(encoding="utf-8"))]
    assert wrong == []
