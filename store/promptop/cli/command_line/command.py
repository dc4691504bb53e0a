"""A command and its verbs as click's objects: they parse words into :class:`ParsedArguments`, and print their help.

Nothing is invoked here: click parses, and the caller hands the options to the module's ``run``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from promptop.base.errors import UsageError
from promptop.cli.command_line.declare import Argument, Option, Parameters, ParsedArguments
from promptop.cli.command_line.usage_errors import excluded, missing_choice, usage_error

_AFTER_COMMAND = {"ignore_unknown_options": True, "allow_interspersed_args": False}


class Command(click.Command):
    """A command, or a verb of one, that parses into :class:`ParsedArguments`."""

    def __init__(
        self,
        name: str,
        parameters: Parameters,
        *,
        summary: str = "",
        details: str = "",
        examples: Sequence[str] = (),
        runs_program: bool = False,
    ) -> None:
        """``details`` are paragraphs for the help; one that ``runs_program`` leaves words behind the first alone."""
        super().__init__(
            name,
            params=[*parameters, *old_names(parameters)],
            help=details or f"{summary[:1].upper()}{summary[1:]}.",
            short_help=summary,
            add_help_option=False,
            context_settings={"allow_interspersed_args": False} if runs_program else {},
            callback=self._options,
        )
        self.params.append(help_option())
        self.examples = tuple(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            refuse_single_dashes(self, ctx, args)
            args = split_short(self, ctx, args)
        return super().parse_args(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        from promptop.cli.command_line.help_text import command_help

        return command_help(self, ctx)

    def _options(self, **_: Any) -> ParsedArguments:
        return options_of(click.get_current_context())


class Verbs(click.Group):
    """A command whose first word says what it does: ``promptop log tail``."""

    def __init__(
        self,
        name: str,
        verbs: Sequence[Command],
        *,
        summary: str = "",
        details: str = "",
        examples: Sequence[str] = (),
    ) -> None:
        super().__init__(
            name,
            commands={str(each.name): each for each in verbs},
            help=details or summary,
            short_help=summary,
            add_help_option=False,
            no_args_is_help=False,
            options_metavar="",
            subcommand_metavar="COMMAND …",
        )
        self.params.append(help_option())
        self.examples = tuple(examples)
        for each in verbs:  # a verb's page shows those of the command's examples that are its own
            each.examples = each.examples or tuple(
                line for line in examples if f"promptop {name} {each.name}" in f"{line} "
            )

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # as they are declared

    def get_help(self, ctx: click.Context) -> str:
        from promptop.cli.command_line.help_text import command_help

        return command_help(self, ctx)


def verb(
    name: str, summary: str, *parameters: click.Parameter, details: str = "", examples: Sequence[str] = ()
) -> Command:
    """Return a sub-command of a command; its name is ``options.verb``."""
    return Command(name, list(parameters), summary=summary, details=details, examples=examples)


def parse(command: click.Command, name: str, arguments: Sequence[str]) -> ParsedArguments | None:
    """Return what the words say, None if they asked for help, which is printed.

    Raises :class:`UsageError` with a near name for what the command does not know.
    """
    try:
        found = command.main(list(arguments), prog_name=name, standalone_mode=False)
    except click.UsageError as error:
        raise usage_error(error, name) from None
    except click.ClickException as error:
        raise UsageError(error.format_message()) from None
    return found if isinstance(found, ParsedArguments) else None


def options_of(context: click.Context) -> ParsedArguments:
    """Return the values of a command and of those it is a verb of."""
    values: dict[str, Any] = {}
    if context.parent is not None:
        values["verb"] = context.info_name
    given = [
        each
        for each in context.command.params
        if each.name and context.get_parameter_source(each.name) is ParameterSource.COMMANDLINE
    ]
    options = [each for each in context.command.params if isinstance(each, Option)]
    excluded(each for each in given if isinstance(each, Option))
    missing_choice(options, [each for each in given if isinstance(each, Option)])
    for each in context.command.params:
        if isinstance(each, Option | Argument) and each.name:
            values[each.name] = _value(each, context.params)
    for each in given:
        if isinstance(each, OldName):
            each.hand_on(values, context.params)
    return ParsedArguments(**values)


def _value(parameter: Option | Argument, found: Mapping[str, Any]) -> Any:
    value = found.get(str(parameter.name))
    if isinstance(value, tuple):
        return list(value) if value else list(parameter.fallback or ())
    return parameter.fallback if value is None else value


class OldName(click.Option):
    """A name that an option had before: it is accepted, and a line names the new one."""

    def __init__(self, old: str, new: Option) -> None:
        super().__init__(
            [old, "old" + old.replace("-", "_")],
            type=new.type,
            is_flag=new.is_flag,
            multiple=new.multiple,
            hidden=True,
            **({"flag_value": new.flag_value} if new.is_flag else {}),
        )
        self.new = new

    def hand_on(self, values: dict[str, Any], found: Mapping[str, Any]) -> None:
        """Give the value to the option of today, and say so."""
        name, value = str(self.new.name), found[str(self.name)]
        today = max(self.new.opts, key=len)
        print(f"promptop: {self.opts[0]} is {today} now; the old name goes with the next release.", file=sys.stderr)
        values[name] = [*values[name], *value] if self.multiple else value


def old_names(parameters: Parameters) -> Parameters:
    """Return hidden options for the older names of options."""
    return [OldName(old, each) for each in parameters if isinstance(each, Option) for old in each.old]


def help_option() -> click.Option:
    """Return ``-h`` and ``--help``."""

    def show(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            from promptop.cli.command_line.help_text import page

            page(context.command.get_help(context))
            context.exit()

    return click.Option(
        ["-h", "--help"], is_flag=True, is_eager=True, expose_value=False, callback=show, help="show this page"
    )


def split_short(command: click.Command, context: click.Context, words: Sequence[str]) -> list[str]:
    """Return the words with ``-m=VALUE`` as two, which click would read as the value ``=VALUE``."""
    valued = {
        name for each in command.get_params(context) if isinstance(each, click.Option) and not each.is_flag
        for name in each.opts
    }  # fmt: skip
    found: list[str] = []
    for at, word in enumerate(words):
        if word == "--" or (not context.allow_interspersed_args and not word.startswith("-")):
            return [*found, *words[at:]]
        is_value = at > 0 and words[at - 1] in valued
        found += [word[:2], word[3:]] if not is_value and word[2:3] == "=" and word[:2] in valued else [word]
    return found


def refuse_single_dashes(command: click.Command, context: click.Context, words: Sequence[str]) -> None:
    """Raise for ``-model``, which would be read as ``-m odel``."""
    known = {name for each in command.get_params(context) for name in each.opts if name.startswith("--")}
    for word in words:
        if word == "--" or (not context.allow_interspersed_args and not word.startswith("-")):
            return
        name = word.partition("=")[0]
        if name.startswith("-") and not name.startswith("--") and len(name) > 2 and f"-{name}" in known:
            raise click.NoSuchOption(name, ctx=context)
