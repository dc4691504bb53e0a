"""The language of what a user reads: :func:`tr` returns a text in it, and English where there is no translation.

The English text is the key, so code reads as it will be shown and a new text needs nothing but :func:`tr`. The others
lie beside this module, a gettext catalogue a language (``zh.po``), which translators' tools open; ``make texts`` writes
the texts of the code into them. A catalogue is read when the first text is asked for: English reads none.

Identifiers, figures, units and JSON are not texts: they stay as they are in every language.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ENGLISH = "en"
_HERE = Path(__file__).parent
_PLACE = re.compile(r"\{\d+\}")


@dataclass(frozen=True, slots=True)
class _Template:
    """A sentence with places: the English text between them, and what is said in the user's language."""

    parts: tuple[str, ...]
    said: str

    def filled(self, text: str) -> str | None:
        """Return what ``text`` is in the user's language, None if it is not this sentence."""
        # Most of the 500 are ruled out by how they begin or end; compiling each would take 60 ms.
        if not (text.startswith(self.parts[0]) and text.endswith(self.parts[-1])):
            return None
        found = re.fullmatch("(.*?)".join(map(re.escape, self.parts)), text, re.DOTALL)
        if found is None:
            return None
        # Not by str.format: sentences show JSON and {{variables}}, whose braces are no places.
        return _PLACE.sub(lambda place: found[int(place[0][1:-1]) + 1], self.said)


@dataclass(slots=True)
class _InUse:
    """The language of this process."""

    language: str | Callable[[], str] = ENGLISH
    texts: Mapping[str, str] | None = None
    """English text → text; None until the first is asked for."""
    helps: Mapping[str, str] | None = None
    """Paragraphs of the commands' help; None until the first is asked for."""
    messages: tuple[Mapping[str, str], tuple[_Template, ...]] | None = None
    """Whole sentences, and those with places; None until the first is asked for."""


_in_use = _InUse()


def languages() -> tuple[str, ...]:
    """Return the languages that there are: English, then one for each catalogue."""
    return (ENGLISH, *sorted(path.stem for path in _HERE.glob("*.po")))


def use(language: str | Callable[[], str]) -> str | Callable[[], str]:
    """Choose the language of this process, or what names it once a text is asked for; return the choice before."""
    before = _in_use.language
    _in_use.language, _in_use.texts, _in_use.helps, _in_use.messages = language, None, None, None
    return before


def current() -> str:
    """Return the language in use."""
    if callable(_in_use.language):
        _in_use.language = _in_use.language()
    return _in_use.language


def from_environment(environ: Mapping[str, str] | None = None) -> str:
    """Return the language that LC_ALL, LC_MESSAGES or LANG asks for, English if there is no catalogue of it."""
    environ = os.environ if environ is None else environ
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    code = locale.partition(".")[0].partition("_")[0].lower()
    return code if code in languages() else ENGLISH


def tr(text: str, /, **values: object) -> str:
    """Return ``text`` in the user's language; ``values`` fill its ``{name}``, formatted as by :meth:`str.format`.

    Without values the text is returned as it is, braces and all.
    """
    if _in_use.texts is None:
        _in_use.texts = {} if current() == ENGLISH else catalogue(current())
    said = _in_use.texts.get(text, text)
    return said.format(**values) if values else said


def tr_n(one: str, many: str, n: int, /, **values: object) -> str:
    """Return ``one`` if ``n`` is 1, else ``many``, in the user's language; both may have ``{n}``."""
    return tr(one if n == 1 else many, n=n, **values)


def sentence(text: str, /) -> str:
    """Return a finished sentence in the user's language: a cause, a remedy, a remark, filled in English where it arose.

    Its catalogue (``messages/``) holds such sentences with ``{0}`` where a value stands. One that is not there, or of
    which no sentence is known, stays English.
    """
    if _in_use.messages is None:
        _in_use.messages = ({}, ()) if current() == ENGLISH else _templates(current())
    whole, templates = _in_use.messages
    if not whole:
        return text
    if (said := whole.get(text)) is not None:
        return said
    return next((said for template in templates if (said := template.filled(text)) is not None), text)


def help_text(text: str, /) -> str:
    """Return the help of a command or an option in the user's language, each paragraph by itself.

    Its catalogue (``help/``) is read by help pages alone.
    """
    if _in_use.helps is None:
        _in_use.helps = {} if current() == ENGLISH else catalogue(current(), "help")
    if not _in_use.helps:
        return text
    return "\n\n".join(_in_use.helps.get(each, each) for each in paragraphs(text).split("\n\n"))


def _templates(language: str) -> tuple[Mapping[str, str], tuple[_Template, ...]]:
    known = catalogue(language, "messages")
    templates = [_Template(tuple(parts), said) for key, said in known.items() if len(parts := _PLACE.split(key)) > 1]
    # The longest texts first: a sentence with few words of its own would match those of others.
    return known, tuple(sorted(templates, key=lambda template: -sum(map(len, template.parts))))


def mark(text: str) -> str:
    """Return ``text`` as it is: it is a text of the catalogue that :func:`tr` is given later, out of a table."""
    return text


def paragraphs(text: str) -> str:
    """Join the lines of each paragraph, so that where a text is wrapped in the code does not matter to its key."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def catalogue(language: str, kind: str = "") -> dict[str, str]:
    """Return English text → text of what is translated; empty for a language without a catalogue.

    ``kind`` ``messages`` is that of :func:`sentence`, ``help`` that of :func:`help_text`.
    """
    path = _HERE / kind / f"{language}.po"
    if not path.is_file():
        return {}
    return {key: text for key, text in read(path.read_text(encoding="utf-8")).items() if key and text}


def read(po: str) -> dict[str, str]:
    """Return msgid → msgstr of a gettext catalogue, "" where nothing is translated; contexts and plurals have no use.

    Raises :class:`ValueError` for a line that is none of a catalogue.
    """
    # Not by a library: polib takes 60 times as long, and every command with a message would wait for it.
    out: dict[str, str] = {}
    key: list[str] = []
    value: list[str] = []
    part = key
    for line in [*po.splitlines(), 'msgid ""']:
        if not line or line.startswith("#"):
            continue
        word, _, quoted = ("", "", line) if line.startswith('"') else line.partition(" ")
        if word == "msgid":
            out["".join(key)] = "".join(value)
            key, value = [], []
            part = key
        elif word == "msgstr":
            part = value
        elif word:
            raise ValueError(f"not a line of a catalogue: {line!r}")
        part.append(json.loads(quoted))
    return out
