"""How much trimming saves on the corpus of tests/promptop/trim, beside promptminify on the same texts.

    python tests/benchmarks/trim_corpus.py

Prints, by language, the mean saving in o200k tokens and how many prompts came out with a protected zone (code, quote,
address, variable, number …) or a negation that is not the one that went in.
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
    spans = [
        [each.text[span.start : span.end] for span in each.protected if span.reason != "a label"]
        for each in (read_structure(before), read_structure(after))
    ]
    kept = spans[0] == spans[1]
    return not kept or negations(before) != negations(after)


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


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__).parse_args()
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
