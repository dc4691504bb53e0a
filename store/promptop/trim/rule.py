"""What a rule is: it proposes, and :mod:`.engine` decides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from promptop.trim.protected_spans import Zones

Severity = Literal["safe", "check"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Replace [start, end) by ``after``."""

    start: int
    end: int
    after: str


class Rule(ABC):
    """One way to say it with less."""

    id: ClassVar[str]
    description: ClassVar[str]
    severity: ClassVar[Severity]
    may_enter_zones: ClassVar[bool] = False
    """Whether the rule is about a protected zone itself, and knows what it does there."""

    @abstractmethod
    def find(self, zones: Zones) -> Iterator[Proposal]:
        """Yield the places of a text, in order."""
