"""The parts of a draft: messages, what headings, tags and examples begin, and what is switched off; and edits of them.

All of it is worked out from the text and its structure, without a widget.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptop.prompts import fill
from promptop.prompts.comments import CLOSE, OPEN, is_close, is_open, spans, without

if TYPE_CHECKING:
    from promptop.prompts import Prompt
    from promptop.prompts.structure import Section

_LONGEST_TITLE = 60


@dataclass(frozen=True, slots=True)
class DraftPart:
    """One row of the outline."""

    kind: str
    """A kind of :class:`Section`, or ``off``."""
    title: str
    start: int
    """Offset in characters; a message begins with the line that names its role."""
    end: int
    depth: int = 0
    has_parts: bool = False
    order: int = 0
    """Number among the parts of one kind and title: a part is the same one after an edit if these three are."""

    @property
    def key(self) -> tuple[str, str, int]:
        """What names the part from one reading to the next."""
        return self.kind, self.title, self.order


def parts_of(text: str) -> tuple[DraftPart, ...]:
    """Return the parts in the order of the text, each behind the one that holds it.

    Front matter that cannot be read leaves none.
    """
    from promptop.prompts.structure import read_structure  # 60 ms of patterns, and no part of the first paint

    found: list[DraftPart] = []
    structure = read_structure(text)
    off = list(spans(text, structure.body_start))
    at = structure.body_start
    for section in structure.outline:
        start = _role_line(text, at, section.start)
        found.append(DraftPart(section.kind, section.title, start, section.end, 0, bool(section.children)))
        for child in section.children:
            found += _inside(child, 1)
        at = section.end
    found = [part for part in found if not any(start <= part.start < end for start, end in off)]
    for start, end in off:
        depth = int(any(part.kind == "message" and part.start <= start < part.end for part in found))
        found.append(DraftPart("off", _title_of_off(text[start:end]), start, end, depth))
    found.sort(key=lambda part: (part.start, -part.end))
    return tuple(_numbered(found))


def _inside(section: Section, depth: int) -> Iterator[DraftPart]:
    children = section.children
    while len(children) == 1 and (children[0].start, children[0].title) == (section.start, section.title):
        children = children[0].children  # a heading of an example is that example
    yield DraftPart(section.kind, section.title[:_LONGEST_TITLE], section.start, section.end, depth, bool(children))
    for child in children:
        yield from _inside(child, depth + 1)


def _numbered(parts: Sequence[DraftPart]) -> Iterator[DraftPart]:
    seen: dict[tuple[str, str], int] = {}
    for part in parts:
        order = seen.get((part.kind, part.title), 0)
        seen[part.kind, part.title] = order + 1
        yield DraftPart(part.kind, part.title, part.start, part.end, part.depth, part.has_parts, order)


def _role_line(text: str, low: int, start: int) -> int:
    """Return where the line that names the role of a message begins, if there is one between ``low`` and ``start``."""
    head = text[low:start]
    return low + len(head) - len(head.lstrip()) if head.strip() else start


def _title_of_off(text: str) -> str:
    lines = [line.strip() for line in text.split("\n") if line.strip() and not is_open(line) and not is_close(line)]
    return lines[0].lstrip("#").strip()[:_LONGEST_TITLE] if lines else "(empty)"


def sent_text(text: str, part: DraftPart) -> str:
    """Return what of a part is sent: for one that is off, what would be."""
    if part.kind != "off":
        return without(text[part.start : part.end])
    lines = text[part.start : part.end].split("\n")
    return "\n".join(line for line in lines if not is_open(line) and not is_close(line))


def sent_texts(text: str, parts: Sequence[DraftPart], prompt: Prompt) -> list[str]:
    """Return what is sent of each part, variables filled by samples: messages add up to the draft's figure.

    The line that names a message's role is no part of what is sent.
    """
    contents = [message.content for message in prompt.filled()]
    messages = [part for part in parts if part.kind == "message" and part.depth == 0]
    of_message = dict(zip(messages, contents, strict=False)) if len(messages) == len(contents) else {}
    return [of_message[part] if part in of_message else fill(sent_text(text, part), prompt.sample) for part in parts]


def toggled(text: str, part: DraftPart) -> tuple[int, int, str] | None:
    """Return the edit (start, end, text) that switches a part off, or on again.

    None for a part that shares a line with other text: only whole lines can be switched off.
    """
    start, end = part.start, part.end
    if part.kind == "off":
        return start, end, _with_ending(sent_text(text, part), text[start:end])
    while end > start and text[end - 1] in "\r\n":
        end -= 1
    rest = text[end : text.find("\n", end) if "\n" in text[end:] else len(text)]
    before = text[text.rfind("\n", 0, start) + 1 : start]
    if before.strip() or rest.strip():
        return None
    start -= len(before)
    lines = [line for line in text[start:end].split("\n") if not is_open(line) and not is_close(line)]
    return start, end, "\n".join([OPEN, *lines, CLOSE])


def _with_ending(text: str, old: str) -> str:
    stripped = text.rstrip("\n")
    return stripped + "\n" * (len(old) - len(old.rstrip("\n")))


def moved(parts: Sequence[DraftPart], part: DraftPart, text: str, *, down: bool) -> tuple[int, int, str, int] | None:
    """Return the edit (start, end, text) that swaps a part with its neighbour, and where the part begins then.

    None where there is no neighbour of the same depth under the same parent.
    """
    siblings = _siblings(parts, part)
    at = siblings.index(part)
    other = at + 1 if down else at - 1
    if not 0 <= other < len(siblings):
        return None
    first, second = (part, siblings[other]) if down else (siblings[other], part)
    first_end, second_end = (_core_end(text, each) for each in (first, second))
    between = text[first_end : second.start]
    new = text[second.start : second_end] + between + text[first.start : first_end]
    begins = first.start + (second_end - second.start) + len(between) if down else first.start
    return first.start, second_end, new, begins


def _siblings(parts: Sequence[DraftPart], part: DraftPart) -> list[DraftPart]:
    at = parts.index(part)
    low = next((n + 1 for n in range(at - 1, -1, -1) if parts[n].depth < part.depth), 0)
    high = next((n for n in range(at + 1, len(parts)) if parts[n].depth < part.depth), len(parts))
    return [each for each in parts[low:high] if each.depth == part.depth]


def _core_end(text: str, part: DraftPart) -> int:
    end = part.end
    while end > part.start and text[end - 1] in "\r\n":
        end -= 1
    return end
