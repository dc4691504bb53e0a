"""The semantic level on the labelled pairs, and what a look by meaning costs beside the call that it saves.

``python tests/benchmarks/semantic.py`` prints, with vectors made now by the local model (extra ``semantic``): hits of
the pairs that one answer serves and false hits of each guarded kind, for the set that the threshold was settled on and
for the pairs that were written afterwards, beside what the vectors alone would have done; then p50 and p99 of a vector,
and of a look among 2,000 prompts.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.promptop.cache.test_semantic import GUARDED, pairs

from promptop.cache.semantic.embedding import LOCAL_THRESHOLD, LocalEmbedder
from promptop.cache.semantic.guards import difference
from promptop.cache.semantic.level import ProcessMemory, Remembered, packed


def judge(name: str, model: LocalEmbedder) -> list[float]:
    """Print what becomes of a file of pairs; return how long each vector took, seconds."""
    taken = []
    counts: dict[str, Counter[str]] = {"guarded": Counter(), "vectors alone": Counter()}
    asked: Counter[str] = Counter()
    for kind, language, _, one, other in pairs(name):
        vectors = []
        for text in (one, other):
            started = time.perf_counter()
            vectors.append(model(text))
            taken.append(time.perf_counter() - started)
        near = sum(float(a) * float(b) for a, b in zip(*vectors, strict=True)) >= LOCAL_THRESHOLD
        place = f"{kind} {language}" if kind == "same" else kind
        asked[place] += 1
        counts["vectors alone"][place] += near
        counts["guarded"][place] += near and not difference(one, other)
    print(f"{name}: {asked.total()} pairs, threshold {LOCAL_THRESHOLD}")
    print(f"  {'':14} {'pairs':>6} {'hits':>6} {'vectors alone':>14}")
    for place in ("same en", "same zh", *GUARDED, "other"):
        print(f"  {place:14} {asked[place]:6} {counts['guarded'][place]:6} {counts['vectors alone'][place]:14}")
    return taken


def quantile(values: list[float], share: float) -> float:
    """Return a quantile, milliseconds."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000


def main() -> None:
    """Run every case."""
    model = LocalEmbedder()
    model("warm")
    taken = judge("pairs.tsv", model) + judge("pairs_later.tsv", model)
    memory = ProcessMemory(max_entries=2000)
    texts = [text for _, _, _, one, other in pairs("pairs.tsv") for text in (one, other)]
    vectors = [packed(model(text)) for text in texts]
    for number in range(2000):
        vector = vectors[number % len(vectors)]
        assert vector is not None
        memory.add(Remembered(str(number), "f", texts[number % len(texts)], vector, None))
    looks = []
    for vector in vectors:
        assert vector is not None
        started = time.perf_counter()
        memory.near("f", vector, LOCAL_THRESHOLD)
        looks.append(time.perf_counter() - started)
    for name, values in (("vector", taken), ("look among 2,000", looks)):
        print(f"{name}: p50 {quantile(values, 0.5):.2f} ms, p99 {quantile(values, 0.99):.2f} ms, n {len(values)}")


if __name__ == "__main__":
    main()
