"""The journal of a batch: one line for each answer as it comes, so that no answer is paid for twice.

A line is written and handed to the system before the next request of that worker starts: a kill -9 loses at most what
was on its way. Results are read back by their offsets, so that memory holds numbers and not answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError
from promptop.batch.input import Item


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What became of an item."""

    result: dict[str, Any]
    """A line of OpenAI's batch output: id, custom_id, response, error."""
    ok: bool
    usd: float | None
    """What it cost now; 0 for an answer from the cache."""
    cached: bool = False


def journal_of(out: Path) -> Path:
    """Return where the answers of an unfinished batch are kept."""
    return out.with_name(f"{out.name}.journal")


class Journal:
    """The file ``OUT.journal`` beside a batch's output, mode 0600."""

    def __init__(self, out: Path) -> None:
        self.path = journal_of(out)
        self._out = out
        self._done: dict[str, tuple[int, bool]] = {}
        self._spent = 0.0
        self._file = self._open()

    def _open(self) -> Any:
        try:
            self._out.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise PromptopError(f"{self.path} cannot be written ({error.strerror}).", "Choose another -o.") from None
        file = os.fdopen(descriptor, "r+b")
        end = 0
        for line in iter(file.readline, b""):
            if not line.endswith(b"\n"):
                break  # the last line of a killed process: half an answer is none
            try:
                entry = json.loads(line)
                self._done[entry["digest"]] = (end, bool(entry["ok"]))
                self._spent += entry["usd"] or 0.0
            except (ValueError, KeyError, TypeError):
                file.close()
                raise PromptopError(
                    f"{self.path} is not a journal of promptop.", "Move it away, or choose another -o."
                ) from None
            end += len(line)
        file.truncate(end)
        file.seek(end)
        return file

    @property
    def spent_usd(self) -> float:
        """What all answers in it cost."""
        return self._spent

    def finished(self, item: Item) -> bool:
        """Whether an earlier run has answered this very request."""
        return self._done.get(item.digest, (0, False))[1]

    def add(self, item: Item, outcome: ItemOutcome) -> None:
        """Write an outcome."""
        digest = item.digest
        entry = {"digest": digest, "ok": outcome.ok, "usd": outcome.usd, "result": outcome.result}
        # Half of a surrogate pair in an answer is written as its escape, which is JSON; UTF-8 has no form for it.
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"
        try:
            self._done[digest] = (self._file.seek(0, os.SEEK_END), outcome.ok)
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise PromptopError(
                f"{self.path} cannot be written ({error.strerror}).", "Make room; the same command goes on from there."
            ) from None
        self._spent += outcome.usd or 0.0

    def results(self, items: Sequence[Item]) -> Iterator[dict[str, Any] | None]:
        """Yield the result of each item in order; None for one that has not run."""
        for item in items:
            place = self._done.get(item.digest)
            if place is None:
                yield None
                continue
            self._file.seek(place[0])
            yield json.loads(self._file.readline())["result"]

    def failures(self, items: Sequence[Item], most: int) -> list[str]:
        """Return up to ``most`` lines that say which items failed, and why."""
        said: list[str] = []
        for result in self.results([item for item in items if not self._done.get(item.digest, (0, True))[1]][:most]):
            error = (result or {}).get("error") or {}
            said.append(f"{(result or {}).get('custom_id')}: {error.get('code')}: {error.get('message')}")
        return said

    def write_output(self, items: Sequence[Item]) -> int:
        """Write the results that there are, in the items' order, to the output file at once; returns how many."""
        count = 0
        try:
            with tempfile.NamedTemporaryFile(
                "w", dir=self._out.parent, delete=False, encoding="utf-8", errors="backslashreplace"
            ) as file:
                for result in self.results(items):
                    if result is not None:
                        file.write(json.dumps(result, ensure_ascii=False) + "\n")
                        count += 1
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(self._out)
        except OSError as error:
            with contextlib.suppress(OSError, NameError):
                Path(file.name).unlink()
            raise PromptopError(
                f"{self._out} cannot be written ({error.strerror}).", f"The answers are kept in {self.path}."
            ) from None
        return count

    def close(self, *, remove: bool = False) -> None:
        """Close the file; remove it once everything is in the output."""
        self._file.close()
        if remove:
            self.path.unlink(missing_ok=True)
