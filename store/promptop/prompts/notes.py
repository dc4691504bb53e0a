"""What must be said of a prompt before it is sent: what was left out, not understood, or stays unfilled."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PromptNote:
    """One remark about a prompt."""

    cause: str
    """What is sent otherwise than it may be meant, without a full stop."""
    line: int | None = None
    """Line of the text, from 1; None if it is about none."""
    remedy: str = ""
    """What to do, if that is not plain from the cause."""
    is_about_values: bool = False
    """Whether it says that a value that was given is not used."""
    is_about_filling: bool = False
    """Whether it names what stays unfilled, which matters only to what is sent."""

    @property
    def where(self) -> str:
        """The line, to stand before the cause; empty if it is about none."""
        return f"line {self.line}: " if self.line else ""

    def __str__(self) -> str:
        return f"{self.where}{self.cause}" + (f" ({self.remedy})" if self.remedy else "")
