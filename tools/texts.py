"""Write the texts of the code into the catalogues: ``python tools/texts.py`` (``make texts``).

New texts come in without a translation, which shows them in English; texts that no code says any more leave. A text is
what stands in ``tr("…")``, ``tr_n("…", "…", n)`` or ``mark("…")``, the label and tooltip of a key binding, and HELP and
HEAD of a widget.
"""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tui"), str(ROOT / "store")]

from promptop.base import texts  # noqa: E402

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
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        for argument in node.args[: _SAID.get(node.func.id, 0)]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value
            elif isinstance(argument, ast.JoinedStr):
                raise SystemExit(f"{path}:{node.lineno}: an f-string has no key; write {{name}} and name=value")


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
_MESSAGES |= {"OverCapError": (0, 1), "Wrong": (1,), "LintCheck": (2,)}
"""Call → which of its arguments are sentences, which ``texts.sentence`` is given when they are whole."""


def messages() -> dict[str, str]:
    """Return each sentence of causes, remedies, remarks and descriptions of rules, ``{0}`` for its values."""
    out: dict[str, str] = {}
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            where = str(path.relative_to(ROOT))
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                for part in _sentences(node):
                    if (text := _template(part)) and any(each.isalpha() for each in text):
                        out.setdefault(text, where)
    return out


def _sentences(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        wanted = _MESSAGES.get(node.func.id, ())
        yield from (argument for at, argument in enumerate(node.args) if at in wanted)
        if node.func.id == "Place" and len(node.args) == 2 and isinstance(node.args[0], ast.Starred):
            yield node.args[1]  # Place(*span, "…")
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(each, ast.Name) and each.id == "description" for each in targets) and node.value is not None:
            yield node.value


def _template(part: ast.expr) -> str:
    if isinstance(part, ast.Constant) and isinstance(part.value, str):
        return part.value
    if not isinstance(part, ast.JoinedStr):
        return ""
    places = 0
    text = ""
    for piece in part.values:
        if isinstance(piece, ast.Constant):
            text += str(piece.value)
        else:
            text += f"{{{places}}}"
            places += 1
    return text


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
    for said, pattern in ((collected(), "*.po"), (messages(), "messages/*.po")):
        for path in sorted(folder.glob(pattern)):
            known = texts.read(path.read_text(encoding="utf-8"))
            path.write_text(written(path.stem, said, known), encoding="utf-8")
            missing = sum(not known.get(text) for text in said)
            print(f"{path.relative_to(folder)}: {len(said)} texts, {missing} not translated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
