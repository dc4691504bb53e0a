"""What a rule is: it proposes, and :mod:`.engine` decides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from promptop.prompts.structure import Span, Structure

Severity = Literal["safe", "check"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Replace [start, end) by ``after``."""

    start: int
    end: int
    after: str
    kept: tuple[Span, ...] = ()
    """Spans inside that ``after`` repeats: what is protected may stand in them."""


class TrimRule(ABC):
    """One way to say it with less."""

    id: ClassVar[str]
    description: ClassVar[str]
    severity: ClassVar[Severity]
    enters_protected: ClassVar[bool] = False
    """Whether the rule is about protected spans themselves, and knows what it does there."""
    on_request: ClassVar[bool] = False
    """Whether the rule acts only where it is named: right for some prompts, noise for most."""

    @abstractmethod
    def find(self, structure: Structure) -> Iterator[Proposal]:
        """Yield the places of a text, in order."""
