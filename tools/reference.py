"""The reference pages of the docs site, read from the code when the site is built: a hook of mkdocs (mkdocs.yml).

``python tools/reference.py FOLDER`` writes the same pages into a folder. They are not committed: a copy could be out of
date.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tui"), str(ROOT / "store"), str(ROOT / "tools")]

import click  # noqa: E402
from texts import screen_classes  # noqa: E402

import promptop  # noqa: E402
from promptop import settings as settings_module  # noqa: E402
from promptop.cli import main as cli  # noqa: E402
from promptop.cli.command_line.help_text import plain, sections  # noqa: E402
from promptop.cli.command_line.loading import app_command, command_of, grouped  # noqa: E402
from promptop.log.row import Row  # noqa: E402
from promptop.proxy import metrics as metrics_module  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those that mkdocs found in docs/."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def pages() -> dict[str, str]:
    """Return name → Markdown of each page."""
    return {
        "settings": settings_page(),
        "commands": commands_page(),
        "keys": keys_page(),
        "log-columns": columns_page(),
        "metrics": metrics_page(),
        "json": json_page(),
        "python": python_page(),
    }


def _cell(text: object) -> str:
    """Return text for a cell: marks are escaped, but not in code, where they would be shown."""
    parts = " ".join(str(text).split()).split("`")
    for at in range(0, len(parts), 2):
        parts[at] = parts[at].replace("|", "\\|").replace("<", "&lt;")
    return "`".join(parts) or " "


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(each) for each in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    """Return text as code that a table can hold."""
    return f"`{text}`" if text else ""


def settings_page() -> str:
    """Return every setting with its type and default; the text is the docstring below the field."""
    tree = ast.parse(inspect.getsource(settings_module))
    manual = {node.name: dict(_field_docstrings(node)) for node in tree.body if isinstance(node, ast.ClassDef)}
    kinds = {each.name: each.type for each in dataclasses.fields(settings_module.Settings)}
    parts = [
        "# Settings\n",
        "One TOML file; `promptop config path` prints where it is, `promptop config init` writes one with each setting "
        "explained. Environment variables stand above it, the command line above both.\n",
        "## Top of the file\n",
        _settings_table(settings_module.Settings, manual["Settings"]),
        "## [profiles.NAME]\n",
        _settings_table(settings_module.Profile, manual["Profile"], without=("name",)),
    ]
    for name, kind in kinds.items():
        record = getattr(settings_module, str(kind), None)
        if dataclasses.is_dataclass(record) and isinstance(record, type):
            parts += [f"## [{name}]\n", f"{record.__doc__}\n", _settings_table(record, manual[record.__name__])]
    return "\n".join(parts)


def _field_docstrings(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for at, each in enumerate(node.body[:-1]):
        below = node.body[at + 1]
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and isinstance(below, ast.Expr):
            yield each.target.id, plain(inspect.cleandoc(str(ast.literal_eval(below.value))))


def _settings_table(record: type, manual: dict[str, str], without: tuple[str, ...] = ("path", "problems")) -> str:
    rows: list[tuple[object, ...]] = []
    for each in dataclasses.fields(record):
        if each.name in (without if record is not settings_module.LogSettings else ()) or each.name not in manual:
            continue
        default = each.default if each.default is not dataclasses.MISSING else {}
        value = list(default) if isinstance(default, tuple) else default
        rows.append((_code(each.name), _code(json.dumps(value, ensure_ascii=False)), manual[each.name]))
    return _table(("setting", "default", "meaning"), rows)


def commands_page() -> str:
    """Return every command with its verbs and options."""
    app = app_command()
    parts = ["# Commands\n", "`promptop help COMMAND` says the same at a terminal.\n"]
    parts += ["## promptop\n", *_command(app, click.Context(app, info_name="promptop"))]
    root = click.Context(click.Command("promptop"), info_name="promptop")
    for title, names in grouped().items():
        parts.append(f"## {title}\n")
        for name, summary in names:
            command = command_of(name)
            parts += [f"### promptop {name}\n", plain(command.help or summary) + "\n"]
            parts += _command(command, click.Context(command, info_name=name, parent=root))
    return "\n".join(parts)


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"```text\n{usage}\n```\n"
    rows: list[tuple[object, ...]] = []
    for title, options in sections(command, context).items():
        rows += [(_code(name), text, "" if title in ("Options", "Arguments") else title) for name, text in options]
    if rows:
        yield _table(("option or argument", "meaning", "group"), rows)
    if examples := getattr(command, "examples", ()):
        yield "```text\n" + "\n".join(examples) + "\n```\n"
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            below = command.commands[verb]
            inner = click.Context(below, info_name=verb, parent=context)
            yield f"#### {inner.command_path}\n"
            yield plain(below.help or "") + "\n"
            yield from _command(below, inner)


_TABS = {"editor": "Editor (F2)", "playground": "Playground (F3)", "monitor": "Monitor (F4)"}


def keys_page() -> str:
    """Return the bindings of every screen, panel and dialog by tab."""
    from textual.binding import Binding

    from promptop_tui.shell.key_names import display_key

    found: dict[str, list[str]] = {title: [] for title in (*_TABS.values(), "Everywhere, and widgets that tabs share")}
    for kind in screen_classes():
        shown: dict[tuple[str, str], list[str]] = {}
        for binding in vars(kind).get("BINDINGS", ()):
            if isinstance(binding, Binding) and not binding.system and (binding.tooltip or binding.description):
                keys = [display_key(key) for key in binding.key.split(",")]
                shown.setdefault((binding.tooltip or binding.description, binding.id or ""), []).extend(keys)
        if shown:
            rows: list[tuple[object, ...]] = [
                (" ".join(map(_code, dict.fromkeys(keys))), text, _code(name)) for (text, name), keys in shown.items()
            ]
            title = _TABS.get(kind.__module__.split(".")[1], "Everywhere, and widgets that tabs share")
            about = plain(inspect.cleandoc(kind.__doc__ or kind.__name__)).split("\n\n")[0]
            found[title] += [f"### {kind.__name__}\n", f"{about}\n", _table(("key", "does", "id"), rows)]
    parts = [
        "# Keys\n",
        "F1 in the app shows the keys that work where you are. `[keys]` of the settings changes a key by its id.\n",
    ]
    for title, texts in found.items():
        parts += [f"## {title}\n", *texts]
    return "\n".join(parts)


def columns_page() -> str:
    """Return the columns of the table of calls."""
    rows: list[tuple[object, ...]] = [
        (_code(each.name), each.metadata["sql"], each.metadata["meaning"], _code(each.metadata["otel"]))
        for each in dataclasses.fields(Row)
    ]
    return "\n".join(
        (
            "# Columns of the log\n",
            "One row is one attempt of one call. Unknown is NULL, never 0. How the file is written, pruned and read: "
            "[The request log](../log.md).\n",
            _table(("column", "type", "meaning", "OpenTelemetry"), rows),
        )
    )


def metrics_page() -> str:
    """Return the metrics as ``/metrics`` itself declares them."""
    about: dict[str, str] = {}
    kinds: dict[str, str] = {}
    for line in metrics_module.render({}).splitlines():
        words = line.split(" ", 3)
        if words[:2] == ["#", "HELP"]:
            about[words[2]] = words[3]
        elif words[:2] == ["#", "TYPE"]:
            kinds[words[2]] = words[3]
    rows: list[tuple[object, ...]] = [(_code(name), kinds[name], about.get(name, "")) for name in kinds]
    return "\n".join(
        (
            "# Metrics\n",
            "What the [proxy](../proxy.md) answers at `/metrics`, and a report for Prometheus takes from the log.\n",
            _table(("metric", "type", "meaning"), rows),
        )
    )


_PROMPT = "system:\nPlease answer in one sentence, in order to be short.\n\nuser:\nWhat is prompt engineering?\n"
_SHORTER = "system:\nAnswer in one sentence.\n\nuser:\nWhat is prompt engineering?\n"
_JSON_COMMANDS = (
    "count prompt.md -m gpt-4o --json",
    "cost --in 1000 --out 500 -m gpt-4o-mini --json",
    "trim prompt.md -m gpt-4o --json",
    "lint prompt.md --json",
    "diff prompt.md short.md -m gpt-4o --json",
    "run -m gpt-4o-mini --max-tokens 20 prompt.md --json",
    "compare -m gpt-4o-mini --max-tokens 20 prompt.md --json",
    "prove prompt.md short.md -m gpt-4o-mini --max-tokens 20 -n 5 --json",
    "report --since 24h --json",
    "log status --json",
)


def json_page() -> str:
    """Return the shape of what commands print with ``--json``, from runs against the simulated endpoint."""
    from promptop.simulator import SimulatedEndpoint

    parts = [
        "# JSON shapes\n",
        "What commands print with `--json`: each field with the type that it had against the simulated endpoint. "
        "Names are fixed, more fields may follow. Money is USD, times are seconds, and what is unknown is `null`.\n",
    ]
    with tempfile.TemporaryDirectory() as name, SimulatedEndpoint.in_thread(speed=0) as endpoint:
        folder = Path(name)
        (folder / "prompt.md").write_text(_PROMPT, encoding="utf-8")
        (folder / "short.md").write_text(_SHORTER, encoding="utf-8")
        own = {f"PROMPTOP_{kind}_DIR": str(folder / kind) for kind in ("CONFIG", "DATA", "STATE")}
        own |= {"OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": "", "ANTHROPIC_API_KEY": ""}
        with mock.patch.dict(os.environ, own), contextlib.chdir(folder):
            for command in _JSON_COMMANDS:
                said, aside = io.StringIO(), io.StringIO()
                with contextlib.redirect_stdout(said), contextlib.redirect_stderr(aside):
                    code = cli.main(command.split())
                if code not in (0, 1):
                    raise SystemExit(f"promptop {command}: exit code {code}: {aside.getvalue()}")
                shown = json.dumps(_shape(json.loads(said.getvalue())), indent=2, ensure_ascii=False)
                parts += [
                    f"## {command.split()[0]}\n",
                    f"```text\npromptop {command}\n```\n",
                    f"```json\n{shown}\n```\n",
                ]
    return "\n".join(parts)


_TYPES = {bool: "true or false", int: "number", float: "number", str: "text", type(None): "null"}


def _shape(value: Any) -> Any:
    """Return a value with each leaf replaced by its type; a list keeps one entry with the fields of all."""
    if isinstance(value, dict):
        return {key: _shape(each) for key, each in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(each, dict) for each in value):
            merged: dict[str, Any] = {}
            for each in value:
                merged |= {key: entry for key, entry in each.items() if merged.get(key) is None}
            return [_shape(merged)]
        return [_shape(each) for each in value[:1]]
    return _TYPES[type(value)]


def python_page() -> str:
    """Return the public names with their signatures and docstrings."""
    parts = [
        "# Python API\n",
        "What `promptop.__all__` lists. Examples: [promptop in Python programs](../python.md).\n",
    ]
    for name in promptop.__all__:
        if name.startswith("_"):
            continue
        thing = getattr(promptop, name)
        parts += [f"## {name}\n", *_documented(name, thing)]
        if inspect.isclass(thing):
            for method, function in inspect.getmembers(thing):
                own = not method.startswith("_") and (callable(function) or isinstance(function, property))
                if own and (function.__doc__ if isinstance(function, property) else inspect.getdoc(function)):
                    parts += [f"### {name}.{method}\n", *_documented(f"{name}.{method}", function)]
    return "\n".join(parts)


def _documented(name: str, thing: Any) -> Iterator[str]:
    with contextlib.suppress(TypeError, ValueError):
        yield f"```python\n{name}{inspect.signature(thing)}\n```\n"
    yield plain(inspect.getdoc(thing) or "") + "\n"


def main() -> int:
    """Write the pages into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
        print(f"{name}.md: {len(text.splitlines())} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
