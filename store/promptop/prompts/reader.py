"""The one reader of prompts: of files, standard input, the library, and fields of the app.

Every command and every tab reads by :func:`prompt_from`, so that what is counted, shown, priced and sent is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from promptop.base.errors import UsageError
from promptop.base.sanitize import has_lone_surrogate, whole_text
from promptop.prompts.document import Message, Prompt, parse
from promptop.prompts.files import text_and_form
from promptop.prompts.formats import FileDraft, read
from promptop.prompts.notes import PromptNote
from promptop.prompts.syntax import jinja
from promptop.prompts.syntax.role_lines import content_spans
from promptop.prompts.syntax.variables import constructs, other_spelling, other_variables, variables_of

_SYSTEM_NAME = re.compile(
    r"(?:^|[_.\- /])(?:sys|system)(?:$|[_.\- ]?(?:prompt|message|instructions?)?s?(?:$|[_.\- ]))", re.IGNORECASE
)
LISTED = 6
"""Names that a note lists."""


def draft_from(text: str, *, name: str = "", folder: Path | None = None) -> FileDraft:
    """Return what a file holds as the text of a draft; ``name`` is the file's, of ``folder``.

    Raises :class:`PromptopError` for front matter that cannot be read.
    """
    draft = read(text_and_form(text)[0], name, folder)
    if has_lone_surrogate(draft.text):
        said = PromptNote("half of a surrogate pair stands in it, and is sent as U+FFFD")
        return replace(draft, text=whole_text(draft.text), notes=(*draft.notes, said))
    return draft


def prompt_from(text: str, *, name: str = "", folder: Path | None = None, role: str = "") -> Prompt:
    """Return what a file or a draft holds as a prompt; its notes say what is not taken as it may be meant.

    ``role`` is that of a text without role lines, ``user`` if it is empty. Raises :class:`PromptopError` for front
    matter that cannot be read.
    """
    return prompt_of(draft_from(text, name=name, folder=folder), name=name, folder=folder, role=role)


def prompt_of(draft: FileDraft, *, name: str = "", folder: Path | None = None, role: str = "") -> Prompt:
    """Return the prompt of a draft; see :func:`prompt_from`."""
    prompt = parse(draft.text, role=role or "user", name="" if draft.kind else name, folder=folder)
    notes = [*draft.notes, *prompt.notes]
    if draft.messages is not None and len(draft.messages) == len(prompt.messages):
        # Line breaks around a message are layout in a draft, and content in JSON.
        prompt = replace(prompt, messages=tuple(map(_exact, prompt.messages, draft.messages)))
    if not role and not draft.kind and looks_like_system(name) and has_no_roles(prompt):
        said = f"{Path(name).name} has no role lines, so it is the user's message"
        notes.append(PromptNote(said, remedy="--role system makes it the system message"))
    return replace(prompt, notes=tuple(notes))


def has_no_roles(prompt: Prompt) -> bool:
    """Tell whether a prompt is text without role lines: one message, from the first character on."""
    return len(prompt.messages) == 1 and prompt.messages[0].start == prompt.body_start


def looks_like_system(name: str) -> bool:
    """Tell whether a file's name says that it is a system prompt: ``system.md``, ``my-system-prompt.txt``."""
    return bool(_SYSTEM_NAME.search(Path(name).stem)) if name else False


def _exact(message: Message, given: Mapping[str, Any]) -> Message:
    content = given.get("content")
    if isinstance(content, str) and not message.fields.get("content") and content.strip("\r\n") == message.content:
        return replace(message, content=content)
    return message


@dataclass(frozen=True, slots=True)
class Sending:
    """Prompts as they are about to be sent, for the notes about them."""

    prompts: Sequence[Prompt]
    values: Mapping[str, str]
    """Values of variables that were given."""
    more_texts: Sequence[str] = ()
    """Further texts in which they are filled."""

    def notes(self) -> list[PromptNote]:
        """Return what is sent otherwise than it may be meant: each once, the reader's notes first."""
        found = [note for prompt in self.prompts for note in prompt.notes]
        found += self._unfilled()
        told = self._unused()
        for prompt in self.prompts:
            found += _unrendered(prompt)
            if not any("the prompt says" in note.cause for note in told):  # which says it of the same variable
                found += _foreign(prompt)
        found += [_not_filled(constructs(text)) for text in self.more_texts if constructs(text)]
        found += told
        return list(dict.fromkeys(found))

    def _unfilled(self) -> list[PromptNote]:
        names = [name for prompt in self.prompts for name in unfilled_of(prompt, self.values)]
        known = {name for prompt in self.prompts for name in prompt.sample} | set(self.values)
        names += [name for name in variables_of(self.more_texts) if name not in known]
        if not names:
            return []
        said = f"unfilled: {_listed(names)}, sent as written"
        return [
            PromptNote(said, remedy="--var NAME=VALUE or sample: in front matter fills them", is_about_filling=True)
        ]

    def _unused(self) -> list[PromptNote]:
        used = {name for prompt in self.prompts for name in prompt.variables}
        used |= set(variables_of(self.more_texts))
        rendered = [text for prompt in self.prompts for text in prompt.constructs]
        texts = [message.content for prompt in self.prompts for message in prompt.messages] + list(self.more_texts)
        notes = []
        for name in self.values:
            inside = any(re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", each) for each in rendered)
            reached = any(each.startswith((f"{name}.", f"{name}[")) or name.startswith(f"{each}.") for each in used)
            if name in used or inside or reached:
                continue
            if spelling := other_spelling(name, texts):
                notes.append(
                    PromptNote(f"--var {name} fills {{{{{name}}}}}, and the prompt says {spelling}, sent as written")
                )
            else:
                notes.append(
                    PromptNote(
                        f"--var {name} is not used: no {{{{{name}}}}} stands in the prompt", is_about_values=True
                    )
                )
        return notes


def unfilled_of(prompt: Prompt, values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names that stay without a value, those that a template engine would miss included."""
    return tuple(name for name in prompt.missing(values))


def reading_notes(prompt: Prompt) -> list[PromptNote]:
    """Return what the reader has to say of a prompt by itself, its variables left aside."""
    return [*prompt.notes, *_unrendered(prompt), *_foreign(prompt)]


_CONTROL = re.compile(r"<\|(?:im_start|start_header_id|system|user|assistant|begin_of_text)\|>|\[/?INST\]")
_PICTURE = re.compile(r"!\[[^\]\n]*\]\([^)\s]+\)")


def _foreign(prompt: Prompt) -> list[PromptNote]:
    """Return what is written for another program, and is sent as text: variables, control tokens, pictures."""
    texts = [message.content for message in prompt.messages if message.role not in ("assistant", "tool")]
    notes = []
    others = [each for text in texts for each in other_variables(_without_code(text))]
    if others and not prompt.variables and not prompt.constructs:
        said = f"{_listed(others)} {'is' if len(set(others)) == 1 else 'are'} sent as written"
        notes.append(PromptNote(said, remedy="a variable is written {{name}}", is_about_filling=True))
    if tokens := [found[0] for text in texts if (found := _CONTROL.search(text))]:
        notes.append(
            PromptNote(f"{tokens[0]} of a chat template is sent as text", remedy="roles stand alone on their lines")
        )
    is_prompty = isinstance(prompt.front.get("model"), dict) or "inputs" in prompt.front
    if is_prompty and (pictures := [found[0] for text in texts if (found := _PICTURE.search(text))]):
        notes.append(PromptNote(f"{pictures[0]} is sent as text", remedy="@image URL on its own line sends a picture"))
    return notes


def _without_code(text: str) -> str:
    """Return a text without its fenced blocks, tags and inline code, where braces and dollars are content."""
    pieces, at = [], 0
    for start, end in content_spans(text):
        pieces.append(text[at:start])
        at = end
    return re.sub(r"`[^`\n]*`", "", "".join([*pieces, text[at:]]))


def _unrendered(prompt: Prompt) -> list[PromptNote]:
    found = prompt.constructs
    if not found or prompt.is_rendered:
        return []
    return [_not_filled(found, prompt.template)]


def _not_filled(found: Iterable[str], template: str = "") -> PromptNote:
    said = f"not filled: {_listed(list(found))}, sent as written"
    if template == "jinja2":
        remedy = f"it is a Jinja template, and jinja2 is not installed: {jinja.INSTALL}"
    elif template in ("handlebars", "mustache"):
        remedy = f"blocks and helpers of {template.capitalize()} templates are not rendered here"
    else:
        remedy = "template: jinja2 in front matter renders Jinja"
    return PromptNote(said, remedy=remedy, is_about_filling=True)


def _listed(names: Iterable[str]) -> str:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(name if len(name) <= 40 else f"{name[:39]}…" for name in names[:LISTED]) + more


def check_strict(notes: Sequence[PromptNote]) -> None:
    """Raise :class:`UsageError` with the first of the notes, if there is one."""
    if notes:
        more = f" {len(notes) - 1} more." if len(notes) > 1 else ""
        first = notes[0]
        raise UsageError(
            f"{first.where}{first.cause}: --strict refuses that.{more}",
            f"{first.remedy or 'Correct it, or leave --strict out'}.",
        )
