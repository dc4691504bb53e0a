"""Errors that a user can act on: a cause, a remedy, and the exit code of the command that meets them."""

from __future__ import annotations


class PromptopError(Exception):
    """A failure with its cause (``str(error)``) and remedy; a command prints both and exits with ``exit_code``."""

    exit_code = 1

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause)
        self.remedy = remedy

    def __str__(self) -> str:
        from promptop.base.texts import sentence

        cause = sentence(str(self.args[0]))
        return f"{cause}\n  → {sentence(self.remedy)}" if self.remedy else cause

    @property
    def cause(self) -> str:
        """The cause alone, in one sentence."""
        return str(self.args[0])


class UsageError(PromptopError):
    """The command line or a settings file says something that is not valid: exit code 2."""

    exit_code = 2
