"""How much of a conversation a command sends: ``--rounds`` and ``--context``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from promptop.base.errors import UsageError
from promptop.base.texts import tr
from promptop.cli.command_line.declare import Parameters, ParsedArguments, option

if TYPE_CHECKING:
    from promptop.client.conversation import Older


def context_options() -> Parameters:
    """Return the options that say how much of a conversation is sent."""
    return [
        option(
            "--rounds",
            type=int,
            metavar="K",
            help="of a conversation, send the last K rounds before the pending turn (default: all)",
        ),
        option(
            "--context",
            choices=("dropped", "summary", "keyword"),
            default="dropped",
            help="with --rounds, what becomes of earlier rounds: dropped, a summary, or kept by keyword",
        ),
    ]


def check_rounds(args: ParsedArguments) -> None:
    """Raise :class:`UsageError` for a number of rounds below 0."""
    if args.rounds is not None and args.rounds < 0:
        raise UsageError(f"--rounds {args.rounds} is not valid.", "Write 0 or more; leave it out for all rounds.")


def sent_messages(args: ParsedArguments, messages: list[dict[str, Any]], *, quiet: bool) -> list[dict[str, Any]]:
    """Return what is sent of a conversation, and say on stderr what is not."""
    from promptop.client.conversation import context_of

    check_rounds(args)
    context = context_of(messages, args.rounds, args.context)
    if context.shortened and not quiet:
        said = tr(
            "{kept} of {rounds} earlier rounds are sent whole; the others: {older}",
            kept=context.kept,
            rounds=context.rounds,
            older=tr(args.context),
        )
        print(said, file=sys.stderr)
    return [dict(each) for each in context.messages]


def shortened(messages: list[dict[str, Any]], keep: int, older: Older) -> list[dict[str, Any]]:
    """Return what is sent of a conversation that passes a proxy."""
    from promptop.client.conversation import context_of

    return [dict(each) for each in context_of(messages, keep, older).messages]
