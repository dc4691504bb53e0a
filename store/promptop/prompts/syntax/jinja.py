"""Jinja templates of prompts, rendered by jinja2's sandbox (the extra ``jinja``).

A variable without a value stays as it is written and is named, as with plain replacement. A template comes from a
file that somebody else may have written: it reaches no attribute that begins with an underscore, calls only what is
listed here, makes no text longer than :data:`LONGEST`, and repeats at most :data:`MOST_ROUNDS` times in all.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from promptop.base.errors import PromptopError
from promptop.prompts.syntax.variables import text_of_value

LONGEST = 16 << 20
"""Characters of a text that a template makes, whole or in between."""
MOST_ROUNDS = 100_000
"""Rounds of all loops of a template together: it may repeat over what it was given, not compute."""


class TemplateSyntaxError(PromptopError):
    """A text that is not a valid template: a block that does not end, an expression that is none."""


INSTALL = "pip install 'promptop[jinja]'"

_METHODS = frozenset(
    {"upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip", "startswith", "endswith", "split"}
    | {"items", "keys", "values", "get"}
)
_LEFT_OUT = (
    "center",
    "format",
    "indent",
    "pprint",
    "wordwrap",
    "xmlattr",
    "random",
    "map",
    "groupby",
    "slice",
    "batch",
)
"""Filters that pad a text to any width, or that no prompt needs."""


def is_installed() -> bool:
    """Tell whether the engine is there."""
    return importlib.util.find_spec("jinja2") is not None


def render(text: str, values: Mapping[str, Any], finish: Callable[[str], str] = str) -> tuple[str, tuple[str, ...]]:
    """Return a template's text with ``values`` put in, and the names of variables that have none.

    ``finish`` is applied to the text of each value. Raises :class:`PromptopError` if the template is not valid, asks
    for what the sandbox forbids, grows beyond the limits, or if jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise PromptopError("This prompt is a Jinja template, and jinja2 is not installed.", f"{INSTALL}.") from None
    missing: dict[str, None] = {}
    rounds = _Rounds()
    pieces: list[str] = []
    length = 0
    try:
        environment = _environment(missing, finish)
        environment.globals = {"range": rounds.range}
        template = environment.from_string(_allowed(environment, text))
        for piece in template.generate({key: rounds.counted(value) for key, value in values.items()}):
            length += len(piece)
            if length > LONGEST:
                raise _too_long()
            pieces.append(piece)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateSyntaxError(
            f"The template is not valid (line {error.lineno}): {error.message}.", "Correct that line."
        ) from None
    except (
        jinja2.TemplateError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        said = str(error) or type(error).__name__
        raise PromptopError(f"The template cannot be rendered: {said}.", "Correct it, or pass other values.") from None
    return "".join(pieces), tuple(missing)


def _allowed(environment: Any, text: str) -> str:
    """Return the text if its statements are those that stay within bounds; macros and blocks of text do not."""
    from jinja2 import nodes

    parsed = environment.parse(text)
    kinds = (nodes.AssignBlock, nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.Include, nodes.Import)
    for node in parsed.find_all((*kinds, nodes.FromImport, nodes.Extends, nodes.Block)):
        name = type(node).__name__.lower()
        raise PromptopError(
            f"The template uses {name} (line {node.lineno}), which is not read here.", "Write its text in place."
        )
    return text


def _environment(missing: dict[str, None], finish: Callable[[str], str]) -> Any:
    import jinja2
    from jinja2 import compiler, sandbox
    from jinja2.exceptions import SecurityError

    class Missing(jinja2.ChainableUndefined):
        """A variable without a value: it stays as it is written."""

        def __str__(self) -> str:
            missing[str(self._undefined_name)] = None
            return f"{{{{ {self._undefined_name} }}}}"

        def __iter__(self) -> Iterator[Any]:
            missing[str(self._undefined_name)] = None
            return iter(())

        def __bool__(self) -> bool:
            missing[str(self._undefined_name)] = None
            return False

    class Generator(compiler.CodeGenerator):
        """Code that joins texts (``~``) under the limit."""

        def visit_Concat(self, node: Any, frame: Any) -> None:  # noqa: N802 (Jinja's name)  # noqa: N802 (Jinja's name)
            self.write("environment.joined((")
            for each in node.nodes:
                self.visit(each, frame)
                self.write(", ")
            self.write("))")

    class Environment(sandbox.ImmutableSandboxedEnvironment):
        """The sandbox, with texts of bounded length."""

        code_generator_class = Generator
        intercepted_binops = frozenset({"+", "*", "**", "%"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            numbers = isinstance(left, int | float) and isinstance(right, int | float)
            if operator == "+" and isinstance(left, str) and isinstance(right, str):
                return self.joined((left, right))
            if not numbers or operator == "**":
                raise SecurityError(f"{operator} is for two numbers here")
            return super().call_binop(context, operator, left, right)

        def is_safe_callable(self, obj: Any) -> bool:
            name = getattr(obj, "__name__", "")
            return name in _METHODS or name == "range"

        def joined(self, parts: Iterable[Any]) -> str:
            texts = [str(each) for each in parts]
            if sum(map(len, texts)) > LONGEST:
                raise _too_long()
            return "".join(texts)

    def finalize(value: Any) -> Any:
        return value if isinstance(value, jinja2.Undefined) else finish(text_of_value(value))

    environment = Environment(undefined=Missing, keep_trailing_newline=True, autoescape=False, finalize=finalize)
    environment.filters = {name: each for name, each in environment.filters.items() if name not in _LEFT_OUT}
    environment.filters |= {"replace": _replace, "join": _join}
    return environment


def _replace(text: Any, old: str, new: str, count: int = -1) -> str:
    written = str(text)
    if len(written) + written.count(old) * len(new) > LONGEST:
        raise _too_long()
    return written.replace(old, new, count)


def _join(values: Iterable[Any], separator: str = "") -> str:
    texts = [text_of_value(each) for each in values]
    if sum(map(len, texts)) + len(separator) * len(texts) > LONGEST:
        raise _too_long()
    return separator.join(texts)


def _too_long() -> PromptopError:
    return PromptopError(f"The template makes more than {LONGEST >> 20} million characters.", "Shorten its loops.")


class _Rounds:
    """Counts the rounds of all loops over lists and ranges."""

    def __init__(self) -> None:
        self.left = MOST_ROUNDS

    def range(self, *bounds: int) -> list[int]:
        return _Counted(range(*bounds)[: self.left + 1], self)

    def counted(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return _Counted((self.counted(each) for each in value), self)
        return {key: self.counted(each) for key, each in value.items()} if isinstance(value, Mapping) else value


class _Counted(list[Any]):
    """A list whose iteration counts."""

    def __init__(self, values: Iterable[Any], rounds: _Rounds) -> None:
        super().__init__(values)
        self._rounds = rounds

    def __iter__(self) -> Iterator[Any]:
        for each in super().__iter__():
            self._rounds.left -= 1
            if self._rounds.left < 0:
                raise PromptopError(f"The template repeats more than {MOST_ROUNDS:,} times.", "Shorten its loops.")
            yield each
