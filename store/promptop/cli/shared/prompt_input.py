"""Reads a prompt for a command: a file, standard input for ``-``, a version of the library for ``lib:NAME``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.cli.command_line.declare import LIBRARY, Parameters, ParsedArguments, flag, group, option
from promptop.prompts import Prompt
from promptop.prompts.chosen_roles import chosen_role
from promptop.prompts.files import PLAIN, FileForm, decoded, read_text, text_and_form
from promptop.prompts.formats import FileDraft
from promptop.prompts.notes import PromptNote
from promptop.prompts.reader import Sending, check_strict, draft_from, has_no_roles, prompt_from, prompt_of

if TYPE_CHECKING:
    from promptop.prompts.library import Version

ROLES = ("system", "user")


@dataclass(frozen=True, slots=True)
class PromptInput:
    """A prompt as it was given to a command."""

    given: str
    """How it was named: a path, ``-`` or ``lib:NAME``; empty for a text of the command line."""
    source: str
    """Its text as it stands, lines ended by ``\\n``."""
    draft: FileDraft
    form: FileForm = PLAIN
    version: Version | None = None
    """The version of the library that it is."""

    @property
    def text(self) -> str:
        """The text of the draft: the source, or what a file of another program comes to."""
        return self.draft.text

    @property
    def is_converted(self) -> bool:
        """Whether the source is of another form than the draft's text."""
        return bool(self.draft.kind)

    @property
    def _path(self) -> Path | None:
        is_file = bool(self.given) and self.given != "-" and self.version is None
        return Path(self.given) if is_file else None

    def prompt(self, role: str = "") -> Prompt:
        """Return the prompt; text without role lines is of ``role``, else of the role that was chosen for the file."""
        path = self._path
        if path is None:
            return prompt_of(self.draft, role=role)
        role = role or chosen_role(path)
        return prompt_of(self.draft, name=str(path), folder=path.parent, role=role)

    @property
    def chosen_role(self) -> str:
        """The role that was chosen for the file in the editor; empty if none was."""
        return chosen_role(self._path) if self._path is not None else ""


def from_library(name: str) -> Version:
    """Return the version that ``NAME`` (the newest) or ``NAME@2`` means; raise :class:`PromptopError` if none does."""
    from promptop.prompts.library import Library

    before, _, number = name.rpartition("@")
    is_numbered = bool(before) and number.isascii() and number.isdigit()
    return Library().version(before, int(number)) if is_numbered else Library().version(name)


def read_input(file: str, text: str | None = None) -> PromptInput:
    """Return the prompt of ``text`` if it is given, else of a file, ``-`` or ``lib:NAME``.

    Raises :class:`PromptopError` if it cannot be read, is not UTF-8 or has broken front matter.
    """
    if text is not None:
        return PromptInput("", text, draft_from(text))
    if file.startswith(LIBRARY):
        version = from_library(file.removeprefix(LIBRARY))
        return PromptInput(file, version.text, draft_from(version.text), version=version)
    if file != "-":
        source, form, _ = read_text(Path(file))
        return PromptInput(file, source, draft_from(source, name=file, folder=Path(file).parent), form)
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("There is nothing to read.", "Name a file, or pipe text into the command.")
    source, form = text_and_form(decoded(sys.stdin.buffer.read(), "Standard input"))
    return PromptInput(file, source, draft_from(source), form)


def prompt_text(file: str) -> str:
    """Return the draft's text of a prompt; a file of another form is converted, and a line on stderr says so."""
    found = read_input(file)
    if found.is_converted:
        print(f"promptop: {clean_line(file)} is {found.draft.kind}: read as a draft of role lines", file=sys.stderr)
    return found.text


def body_of(text: str) -> str:
    """Return what of a draft is sent and counted: the text without front matter; all of it if that is broken."""
    from promptop.prompts import parse
    from promptop.prompts.comments import without

    try:
        return without(text[parse(text).body_start :])
    except PromptopError:
        return text


def prompt_options() -> Parameters:
    """Return the options that say how a prompt is taken: its values, its role, its system message."""
    return group(
        "Prompt",
        option("--system", metavar="TEXT|FILE", help="system message before it, or a file that holds one"),
        option("--role", default="", choices=ROLES, help="role of FILE where it has no role lines (user)"),
        *value_options(),
    )


def value_options() -> Parameters:
    """Return ``--var`` and ``--strict``."""
    return group(
        "Prompt",
        option("-v", "--var", many=True, metavar="NAME=VALUE", help="value of a {{variable}}"),
        flag("--strict", help="refuse a prompt of which anything is unfilled, unused or left out"),
    )


def read_prompt(args: ParsedArguments) -> Prompt:
    """Return the prompt of a file, of standard input or of ``--text``; a file for the system with ``--text`` behind it.

    Raises :class:`PromptopError` if there is none.
    """
    return prompt_given(args.file, args.text, args.role)


def prompt_given(file: str, text: str | None = None, role: str = "") -> Prompt:
    """Return the prompt of a file and of a text; both only where the file is the system's.

    Raises :class:`UsageError` if both are given otherwise, :class:`PromptopError` if nothing is in them.
    """
    if text is not None and file != "-":
        if role != "system":
            raise UsageError("FILE and --text exclude each other.", "--role system makes FILE the system message.")
        before, asked = prompt_given(file, role=role), prompt_from(text)
        return replace(before, messages=(*before.messages, *asked.messages), notes=(*before.notes, *asked.notes))
    if text is None and file == "-" and (sys.stdin is None or sys.stdin.isatty()):
        raise UsageError("No prompt was given.", "Name a file, pipe a text in, or write --text 'TEXT'.")
    return sendable(read_input(file, text), role)


def sendable(found: PromptInput, role: str = "") -> Prompt:
    """Return what was read as a prompt to send; raise :class:`PromptopError` if nothing is in it."""
    prompt = found.prompt(role)
    if prompt.is_empty:
        raise PromptopError("The prompt is empty.", "Write something into it.")
    if not role and found.chosen_role and has_no_roles(prompt):
        name, chosen = Path(found.given).name, found.chosen_role
        print(clean_line(f"note: {name} is the {chosen} message, as chosen in the editor (--role)"), file=sys.stderr)
    # A version's name in the log is the library's, so that the editor finds the calls again.
    return replace(prompt, name=found.version.name) if found.version is not None else prompt


def system_text(given: str | None) -> str | None:
    """Return the system message of ``--system``: a text, or what a file of that name holds (``@FILE`` is always one).

    Raises :class:`UsageError` for a file with messages of other roles.
    """
    if given is None:
        return None
    if not given.startswith("@") and not _is_file(given):
        return given
    prompt = read_input(given.removeprefix("@")).prompt("system")
    if any(message.role not in ("system", "developer") or message.parts for message in prompt.messages):
        raise UsageError(f"{given} holds more than a system message.", "Name it as FILE instead.")
    return "\n\n".join(message.content for message in prompt.messages)


def _is_file(given: str) -> bool:
    try:
        return "\n" not in given and Path(given).is_file()
    except (OSError, ValueError):
        return False  # longer than a name may be


def values_of(args: ParsedArguments) -> dict[str, str]:
    """Return the values of ``--var``; raise :class:`UsageError` for one that is not ``NAME=VALUE``."""
    return dict(_variable(text) for text in args.var)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"--var {text!r} has no value.", "Write --var NAME=VALUE.")
    return name.strip(), value


def tell_notes(notes: Sequence[PromptNote], *, strict: bool = False) -> None:
    """Say on stderr what is sent otherwise than it may be meant; ``--strict`` refuses it with :class:`UsageError`."""
    if strict:
        check_strict(notes)
    for note in notes:
        print(clean_line(f"note: {note}", 400), file=sys.stderr)


def notes_of(prompts: Sequence[Prompt], values: Mapping[str, str], system: str | None = None) -> list[PromptNote]:
    """Return the notes about prompts that are about to be sent with these values."""
    return Sending(prompts, values, [system] if system else []).notes()
