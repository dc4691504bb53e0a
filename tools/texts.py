"""Write the texts of the code into the catalogues: ``python tools/texts.py`` (``make texts``).

New texts come in without a translation, which shows them in English; texts that no code says any more leave. A text is
what stands in ``tr("…")``, ``tr_n("…", "…", n)`` or ``mark("…")``, the title of a table's column, the label and tooltip
of a key binding, and HELP and HEAD of a widget.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import json
import pkgutil
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tui"), str(ROOT / "store")]

from promptop.base import texts  # noqa: E402

if TYPE_CHECKING:
    import click

SOURCES = (ROOT / "store" / "promptop", ROOT / "tui" / "promptop_tui")
_SAID = {"tr": 1, "mark": 1, "tr_n": 2}
"""Function → how many of its first arguments are texts."""


def collected() -> dict[str, str]:
    """Return each text of the code and the first module that says it, module by module."""
    by_module: dict[str, list[str]] = defaultdict(list)
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            by_module[str(path.relative_to(ROOT))] += _called(path)
    for name, text in _declared():
        by_module[name].append(text)
    out: dict[str, str] = {}
    for module in sorted(by_module):
        for text in by_module[module]:
            if text:
                out.setdefault(text, module)
    return out


def _called(path: Path) -> Iterator[str]:
    for node in _module(path).nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id == "Column" and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            yield node.args[1].value
        if node.func.id == "Panel":
            yield from (each.value.value for each in node.keywords if each.arg == "heading" and _is_text(each.value))
        for argument in node.args[: _SAID.get(node.func.id, 0)]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value
            elif isinstance(argument, ast.JoinedStr):
                raise SystemExit(f"{path}:{node.lineno}: an f-string has no key; write {{name}} and name=value")


def _is_text(part: ast.expr) -> TypeGuard[ast.Constant]:
    return isinstance(part, ast.Constant) and isinstance(part.value, str)


def screen_classes() -> Iterator[type]:
    """Yield every class of the screens in the module that defines it."""
    import promptop_tui

    for found in pkgutil.walk_packages(promptop_tui.__path__, "promptop_tui."):
        if found.name.endswith("__main__"):
            continue
        for kind in vars(importlib.import_module(found.name)).values():
            if isinstance(kind, type) and kind.__module__ == found.name:
                yield kind


def _declared() -> Iterator[tuple[str, str]]:
    """Yield (module, text) of bindings, HELP and HEAD of every class of the screens: helpers make some of them."""
    from textual.binding import Binding

    for kind in screen_classes():
        where = str(Path(str(sys.modules[kind.__module__].__file__)).relative_to(ROOT))
        for binding in vars(kind).get("BINDINGS", ()):
            if isinstance(binding, Binding):
                yield from ((where, binding.description), (where, binding.tooltip))
        for name in ("HELP", "HEAD"):
            if isinstance(text := vars(kind).get(name), str):
                yield where, texts.paragraphs(text)


_MESSAGES = {"UsageError": (0, 1), "PromptopError": (0, 1), "RunError": (1, 2), "Place": (2,), "Problem": (2, 3)}
_MESSAGES |= {"Wrong": (1,), "LintCheck": (2,), "note": (1, 2), "Change": (0,), "Plan": (1,)}
"""Call → which of its arguments are sentences, which ``texts.sentence`` is given when they are whole.

Errors of the project (``class … (PromptopError)``) take what :class:`PromptopError` takes.
"""
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def messages() -> dict[str, str]:
    """Return each sentence of causes, remedies, remarks and descriptions of rules, ``{0}`` for its values."""
    out: dict[str, str] = {}
    modules = {path: _module(path) for source in SOURCES for path in sorted(source.rglob("*.py"))}
    called = dict(_MESSAGES)
    for name in _errors(modules.values()):
        called.setdefault(name, called["PromptopError"])
    for path, module in modules.items():
        for node in module.nodes:
            for part in _sentences(node, called):
                for text in module.templates(part):
                    if " " in text.strip() and any(each.isalpha() for each in re.sub(r"\{\d+\}", "", text)):
                        out.setdefault(text, str(path.relative_to(ROOT)))
    return out


def _errors(modules: Iterable[_Module]) -> set[str]:
    bases = {
        node.name: {each.id for each in node.bases if isinstance(each, ast.Name)}
        for module in modules
        for node in module.nodes
        if isinstance(node, ast.ClassDef)
    }
    found = {"PromptopError"}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found


def _sentences(node: ast.AST, called: Mapping[str, tuple[int, ...]]) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        wanted = called.get(name, ())
        yield from (argument for at, argument in enumerate(node.args) if at in wanted)
        if name == "Place" and len(node.args) == 2 and isinstance(node.args[0], ast.Starred):
            yield node.args[1]  # Place(*span, "…")
        if wanted:
            yield from (each.value for each in node.keywords if each.arg in ("cause", "remedy", "note"))
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(each, ast.Name) and each.id == "description" for each in targets) and node.value is not None:
            yield node.value


class _Module:
    """What the names of a module may stand for, as far as it says so itself."""

    def __init__(self, tree: ast.Module) -> None:
        self.body = tree.body
        self.nodes = list(ast.walk(tree))

    @cached_property
    def within(self) -> dict[ast.AST, _Function]:
        """Node → the function it stands in."""
        found: dict[ast.AST, _Function] = {}
        for function in self.nodes:
            if isinstance(function, _Function):
                found |= dict.fromkeys(ast.walk(function), function)
        return found

    def templates(self, part: ast.expr, depth: int = 0) -> list[str]:
        """Return what an expression may say, ``{0}`` for what is not known here."""
        if depth > 3:
            return []
        if isinstance(part, ast.Constant):
            return [part.value] if isinstance(part.value, str) else []
        if isinstance(part, ast.JoinedStr):
            return [_joined(part.values)]
        if isinstance(part, ast.IfExp):
            return [*self.templates(part.body, depth), *self.templates(part.orelse, depth)]
        if isinstance(part, ast.BoolOp):
            return [text for each in part.values for text in self.templates(each, depth)]
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add):
            after = self.templates(part.right, depth) or ["{0}"]
            return [_numbered(one + two) for one in self.templates(part.left, depth) for two in after]
        if isinstance(part, ast.Dict):
            return [text for each in part.values for text in self.templates(each, depth)]
        if isinstance(part, ast.Subscript):
            return self.templates(part.value, depth)
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name):
            return [text for each in self._returned(part.func.id) for text in self.templates(each, depth + 1)]
        if isinstance(part, ast.Name):
            return [text for each in self._assigned(part) for text in self.templates(each, depth + 1)]
        return []

    def _returned(self, name: str) -> Iterator[ast.expr]:
        for node in self.nodes:
            if not isinstance(node, ast.Return) or node.value is None or node not in self.within:
                continue
            if self.within[node].name == name and getattr(self.within[node].returns, "id", "") == "str":
                yield node.value

    def _assigned(self, name: ast.Name) -> Iterator[ast.expr]:
        """Yield what is assigned to a name in its function, or what the function's callers hand it, or the module's."""
        function = self.within.get(name)
        inside = list(_values(name.id, ast.walk(function))) if function is not None else []
        if inside:
            yield from inside
            return
        if function is not None:
            arguments = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
            if name.id in arguments:
                at = arguments.index(name.id) - (arguments[0] in ("self", "cls"))
                for node in self.nodes:
                    if isinstance(node, ast.Call) and function.name in (
                        getattr(node.func, "id", ""),
                        getattr(node.func, "attr", ""),
                    ):
                        yield from node.args[at : at + 1]
                        yield from (each.value for each in node.keywords if each.arg == name.id)
                return
        yield from _values(name.id, self.body)


@cache
def _module(path: Path) -> _Module:
    return _Module(ast.parse(path.read_text(encoding="utf-8")))


def _values(name: str, nodes: Iterable[ast.AST]) -> Iterator[ast.expr]:
    for node in nodes:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and target.id == name and isinstance(value, ast.expr):
                yield value
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = zip(target.elts, value.elts, strict=False)
                yield from (each for to, each in pairs if isinstance(to, ast.Name) and to.id == name)


def _joined(parts: Iterable[ast.expr]) -> str:
    return _numbered("".join(str(each.value) if isinstance(each, ast.Constant) else "{0}" for each in parts))


def _numbered(text: str) -> str:
    """Return the text with its places numbered from 0."""
    places = itertools.count()
    return re.sub(r"\{\d+\}", lambda _: f"{{{next(places)}}}", text)


def help_texts() -> dict[str, str]:
    """Return each paragraph of the commands' help and of their options', and the command that says it first."""
    from promptop.cli.command_line.help_text import LAST_LINE, OPTIONS
    from promptop.cli.command_line.loading import Root, grouped

    out = dict.fromkeys((OPTIONS, "Commands", "Arguments", "Examples", *grouped(), LAST_LINE), "promptop")
    for name, text in _help_of(Root(), "promptop"):
        for paragraph in texts.paragraphs(text).split("\n\n"):
            if paragraph:
                out.setdefault(paragraph, name)
    return out


def _help_of(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    import click

    from promptop.cli.command_line.help_text import plain, split_example

    yield name, plain(command.help or "")
    yield name, command.short_help or ""
    yield from ((name, split_example(line)[2]) for line in getattr(command, "examples", ()))
    for each in command.params:
        yield name, plain(getattr(each, "help_text", "") or getattr(each, "help", "") or "")
        yield name, getattr(each, "group", "")
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            if (found := command.get_command(context, below)) is not None:
                yield from _help_of(found, f"{name} {below}")


def written(language: str, said: dict[str, str], known: dict[str, str]) -> str:
    """Return the catalogue of a language: the texts in the order of their modules, with what is translated."""
    out = [f'msgid ""\nmsgstr "Language: {language}\\nContent-Type: text/plain; charset=UTF-8\\n"\n']
    for text, module in said.items():
        out.append(f"#: {module}\nmsgid {_quoted(text)}\nmsgstr {_quoted(known.get(text, ''))}\n")
    return "\n".join(out)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def main() -> int:
    """Write the catalogues, and tell how much of each is translated."""
    folder = Path(texts.__file__).parent
    kinds = ((collected(), "*.po"), (messages(), "messages/*.po"), (help_texts(), "help/*.po"))
    for said, pattern in kinds:
        for path in sorted(folder.glob(pattern)):
            known = texts.read(path.read_text(encoding="utf-8"))
            path.write_text(written(path.stem, said, known), encoding="utf-8")
            missing = sum(not known.get(text) for text in said)
            print(f"{path.relative_to(folder)}: {len(said)} texts, {missing} not translated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
