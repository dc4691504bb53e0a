"""How much trimming saves on the corpus of tests/promptop/trim, beside promptminify on the same texts.

    python tests/benchmarks/trim_corpus.py [FOLDER]

Prints, by language, the mean saving in o200k tokens and how many prompts came out with a protected span (code, quote,
address, variable, number …) or a negation that is not the one that went in. With a folder: mean and median over its
files, for prompts that were not written with the rules in mind.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections.abc import Callable
from pathlib import Path

from promptop.prompts.structure import read_structure
from promptop.tokens import encoding
from promptop.trim import RULES, chosen, trim
from promptop.trim.guards import negations

CORPUS = Path(__file__).parents[1] / "promptop" / "trim" / "corpus.txt"
ENCODING = "o200k_base"


def prompts() -> list[tuple[str, str]]:
    """Return (language, text) of each prompt of the corpus."""
    parts = re.split(r"^=== (\w+) .*\n", CORPUS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def harmed(before: str, after: str) -> bool:
    """Tell whether a protected zone or a negation was changed."""
    return _spans(before) != _spans(after) or negations(before) != negations(after)


def minifiers() -> dict[str, Callable[[str], str]]:
    """Return ways to trim, by name; promptminify where it is installed."""
    safe = chosen(safe_only=True)
    found: dict[str, Callable[[str], str]] = {
        "promptop, safe rules": lambda text: trim(text, ENCODING, safe).text,
        "promptop, all rules": lambda text: trim(text, ENCODING, RULES).text,
    }
    try:
        import promptmin.tokens
        from promptmin.engine import minify
    except ImportError:
        print("promptminify is not installed: pip install -e '.[dev]'")
        return found
    promptmin.tokens._ENCODERS_CACHE[ENCODING] = encoding(ENCODING)  # it would fetch the ranks from the network
    for mode in ("lite", "aggressive"):
        found[f"promptminify {mode}"] = lambda text, mode=mode: minify(text, mode=mode, tokenizer="gpt-4o")["minified"]  # type: ignore[misc]
    return found


def of_folder(texts: list[str]) -> None:
    """Print mean and median saving over ``texts``, and how many lost a protected span or a negation."""
    count = encoding(ENCODING).encode_ordinary
    print(f"{len(texts)} prompts{'':14} {'mean':>8} {'median':>8} {'changed':>8} {'spans':>8} {'negations':>10}")
    for name, minify in minifiers().items():
        results = [minify(text) for text in texts]
        saved = [
            100 * (1 - len(count(after)) / max(1, len(count(text)))) for text, after in zip(texts, results, strict=True)
        ]
        pairs = list(zip(texts, results, strict=True))
        denied = sum(negations(before) != negations(after) for before, after in pairs)
        spans = sum(_spans(before) != _spans(after) for before, after in pairs)
        changed = sum(before.strip() != after.strip() for before, after in pairs)
        print(
            f"{name:24} {statistics.mean(saved):6.2f} % {statistics.median(saved):6.2f} %"
            f" {changed:>8} {spans:>8} {denied:>10}"
        )


def _spans(text: str) -> list[str]:
    return [text[each.start : each.end].strip() for each in read_structure(text).protected if each.reason != "a label"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="a folder of prompts, one a file")
    folder = parser.parse_args().folder
    if folder is not None:
        of_folder([path.read_text(encoding="utf-8") for path in sorted(folder.iterdir()) if path.is_file()])
        return
    texts = prompts()
    count = encoding(ENCODING).encode_ordinary
    languages = ("en", "zh", "mixed")
    print(f"{'':24} " + " ".join(f"{name:>14}" for name in languages) + f" {'all':>8} {'harmed':>7}")
    for name, minify in minifiers().items():
        savings: dict[str, list[float]] = {language: [] for language in languages}
        bad = 0
        for language, text in texts:
            after = minify(text)
            savings[language].append(1 - len(count(after)) / len(count(text)))
            bad += harmed(text, after)
        cells = [f"{100 * statistics.mean(savings[each]):11.1f} % {len(savings[each]):>1}"[:14] for each in languages]
        everything = statistics.mean(value for values in savings.values() for value in values)
        print(f"{name:24} " + " ".join(f"{cell:>14}" for cell in cells) + f" {100 * everything:6.1f} % {bad:>7}")


if __name__ == "__main__":
    main()
