"""``OUT.batches``: which batches lie at a provider for an output file, so that no run creates one twice."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from promptop.base.errors import PromptopError

_VERSION = 1


@dataclass(slots=True)
class BatchAtProvider:
    """One batch at the provider."""

    token: str
    """Ours, in the batch's metadata."""
    url: str
    items: dict[str, str]
    """custom_id → digest of the request."""
    file_id: str = ""
    batch_id: str = ""
    status: str = ""
    created_s: float = field(default_factory=time.time)
    counts: tuple[int, ...] = (0, 0, 0)
    """Total, completed and failed, as the provider last said."""
    hold: int = 0
    """The reservation of its money (:mod:`promptop.budget.ledger`)."""


class ProviderState:
    """The parts of one output file, mode 0600, written before and after each step."""

    def __init__(self, out: Path, base_url: str) -> None:
        """Read what an earlier run left; raise :class:`PromptopError` for another endpoint's or a foreign file."""
        self.path = out.with_name(f"{out.name}.batches")
        self._base_url = base_url
        self.parts: list[BatchAtProvider] = []
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            there, parts = found["base_url"], [BatchAtProvider(**part) for part in found["parts"]]
            if found["promptop_batches"] != _VERSION:
                raise ValueError
        except FileNotFoundError:
            return
        except OSError as error:
            raise PromptopError(f"{self.path} cannot be read ({error.strerror}).", "Check its permissions.") from None
        except (ValueError, KeyError, TypeError):
            raise PromptopError(f"{self.path} is not a file of promptop's batches.", "Move it away.") from None
        if there != base_url:
            raise PromptopError(
                f"{self.path} names batches at {there}, and this profile's endpoint is {base_url}.",
                "Use the profile that they were sent with, or choose another -o.",
            )
        self.parts = parts

    def begin(self, url: str, items: Mapping[str, str], hold: int = 0) -> BatchAtProvider:
        """Note that a batch is about to be sent, under the reservation ``hold``."""
        part = BatchAtProvider(secrets.token_hex(12), url, dict(items), hold=hold)
        self.parts.append(part)
        self.save()
        return part

    def drop(self, part: BatchAtProvider) -> None:
        """Forget a batch that has been collected."""
        self.parts.remove(part)
        self.save()

    def save(self) -> None:
        """Write the file at once; without parts there is none."""
        if not self.parts:
            self.path.unlink(missing_ok=True)
            return
        text = {
            "promptop_batches": _VERSION,
            "base_url": self._base_url,
            "parts": [asdict(part) for part in self.parts],
        }
        name = ""
        try:
            with tempfile.NamedTemporaryFile("w", dir=self.path.parent, delete=False, encoding="utf-8") as file:
                name = file.name
                json.dump(text, file, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except OSError as error:
            if name:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
            raise PromptopError(f"{self.path} cannot be written ({error.strerror}).", "Make room.") from None
