"""Click's usage errors in the house's form: a cause in one sentence, a remedy, a near name where there is one."""

from __future__ import annotations

from collections.abc import Iterable

import click

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.cli.command_line.declare import Option

_WANTED = {
    "integer": "Write a whole number.",
    "float": "Write a number.",
    "boolean": "Write yes or no.",
}


def _near(given: str, known: Iterable[str], n: int) -> list[str]:
    import difflib  # a command line without mistakes does not pay for it

    return difflib.get_close_matches(given, list(known), n=n)


def usage_error(error: click.UsageError, name: str) -> UsageError:
    """Return what a user is told of a command line of the command ``name`` that click refuses."""
    context = error.ctx
    command = context.command_path if context is not None else name
    help_hint = f"{command} --help shows how it is used."
    match error:
        case click.NoSuchOption():
            name = clean_line(error.option_name, 40)
            near = nearest_options(error.option_name, context.command.get_params(context) if context else ())
            remedy = f"Did you mean {' or '.join(near)}?" if near else f"{command} --help lists its options."
            return UsageError(f"{command} has no option {name}.", remedy)
        case click.exceptions.NoSuchCommand():
            verbs = (
                context.command.list_commands(context) if context and isinstance(context.command, click.Group) else []
            )
            return no_such_word(command, error.command_name, verbs)
        case click.MissingParameter():
            return UsageError(f"{_name_of(error)} is missing.", f"Usage: {usage_line(context)}")
        case click.BadOptionUsage():
            if "does not take a value" in error.message:
                return UsageError(f"{error.option_name} takes no value.", help_hint)
            return UsageError(f"{error.option_name} needs a value.", help_hint)
        case click.BadParameter():
            return _bad_value(error, help_hint)
    if "unexpected extra argument" in error.message:
        words = error.message.partition("(")[2].removesuffix(")")
        return UsageError(
            f"{command} does not take {clean_line(words, 60)!r} as well.", f"Usage: {usage_line(context)}"
        )
    if "Missing command" in error.message and context is not None and isinstance(context.command, click.Group):
        return UsageError(
            f"{command} needs one more word.", f"Choose from {', '.join(context.command.list_commands(context))}."
        )
    return UsageError(clean_line(error.format_message(), 200), help_hint)


def no_such_word(command: str, given: str, words: Iterable[str]) -> UsageError:
    """Return the error for a verb that a command does not have."""
    known = list(words)
    near = _near(given, known, n=1)
    remedy = f"Did you mean {command} {near[0]}?" if near else f"Choose from {', '.join(known)}."
    return UsageError(f"{command} has no {clean_line(given, 40)!r}.", remedy)


def nearest_options(given: str, parameters: Iterable[click.Parameter]) -> list[str]:
    """Return the options that a mistyped or shortened name may stand for, at most two, likeliest first."""
    known = [
        name
        for each in parameters
        if isinstance(each, click.Option) and not each.hidden
        for name in each.opts
        if name.startswith("--")
    ]
    given = given.partition("=")[0]
    long = f"--{given.lstrip('-')}"
    begun = [name for name in known if name.startswith(long)] if len(long) > 3 else []
    return (begun or _near(long, known, n=2))[:2]


def usage_line(context: click.Context | None) -> str:
    """Return the usage of a command in one line: ``promptop diff [OPTIONS] A B``."""
    if context is None:
        return "promptop [OPTIONS] [FILE]"
    pieces = context.command.collect_usage_pieces(context)
    return " ".join([context.command_path, *pieces])


def _name_of(error: click.BadParameter) -> str:
    parameter = error.param
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return (
        parameter.make_metavar(error.ctx).strip("[].") if parameter is not None and error.ctx is not None else "A value"
    )


def _bad_value(error: click.BadParameter, help_hint: str) -> UsageError:
    name = _name_of(error)
    kind = error.param.type if error.param is not None else None
    given = _quoted(error.message)
    if isinstance(kind, click.Choice):
        words = [str(word) for word in kind.choices]
        near = _near(given, words, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        return UsageError(f"{name} cannot be {given!r}.", f"{hint}Choose from {', '.join(words)}.")
    if kind is not None and kind.name in _WANTED and given:
        return UsageError(f"{name} cannot be {given!r}.", _WANTED[kind.name])
    return UsageError(f"{name}: {clean_line(error.message, 200)}", help_hint)


def _quoted(message: str) -> str:
    """Return what click's message quotes first: the value that was given."""
    for quote in "'\"":
        _, found, rest = message.partition(quote)
        if found:
            return clean_line(rest.rpartition(quote)[0] if rest.count(quote) == 1 else rest.partition(quote)[0], 60)
    return ""


def excluded(given: Iterable[Option]) -> None:
    """Raise :class:`UsageError` if two options were given that exclude each other."""
    taken: dict[int, str] = {}
    for each in given:
        if each.choice is None:
            continue
        name = max(each.opts, key=len)
        before = taken.setdefault(id(each.choice), name)
        if before != name:
            raise UsageError(f"{before} and {name} exclude each other.", "Leave one of them out.")


def missing_choice(options: Iterable[Option], given: Iterable[Option]) -> None:
    """Raise :class:`UsageError` if none of the options was given of which one is needed."""
    chosen = {id(each.choice) for each in given}
    for each in options:
        if each.choice is not None and each.choice.is_required and id(each.choice) not in chosen:
            raise UsageError(f"One of {' and '.join(each.choice.names)} is needed.", "Add one of them.")
