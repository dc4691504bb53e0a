"""The trimmed prompt of a proof: a prompt as anywhere, what ``trim --json`` printed, or names of trim rules."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from promptop.base.errors import PromptopError
from promptop.cli.command_line.declare import LIBRARY
from promptop.cli.shared.prompt_input import PromptInput, read_input
from promptop.prompts.files import read_text
from promptop.prompts.reader import draft_from


def trimmed_input(given: str, text: str | None, base: PromptInput, model: str) -> tuple[PromptInput, Mapping[str, int]]:
    """Return the trimmed prompt, and which rules made it where that is known (rule id → changes).

    ``given`` names a prompt, holds the JSON of ``promptop trim --json`` (a file, or ``-``), or lists rules with commas
    between them, which are applied to ``base``. Raises :class:`PromptopError` for what cannot be read.
    """
    if text is not None or given.startswith(LIBRARY):
        return read_input(given, text), {}
    path = Path(given)
    if given != "-" and not path.exists() and (names := _rules_in(given)):
        return _by_rules(names, base, model)
    if given == "-":
        found = read_input(given)
        made = _printed_by_trim(found.source)
    else:
        source, _, _ = read_text(path)
        made = _printed_by_trim(source)
        found = read_input(given) if made is None else replace(base, given=given, version=None)
    if made is None:
        return found, {}
    return replace(base, source=made[0], draft=draft_from(made[0])), made[1]


def _rules_in(given: str) -> list[str]:
    from promptop.trim import RULES

    names = [name.strip() for name in given.split(",")]
    return names if {rule.id for rule in RULES}.issuperset(names) else []


def _by_rules(names: list[str], base: PromptInput, model: str) -> tuple[PromptInput, Mapping[str, int]]:
    from promptop import models
    from promptop.trim import chosen, trim

    found = models.find(model)
    made = trim(base.text, found.encoding if found is not None else "o200k_base", chosen(names))
    if not made.edits:
        raise PromptopError(f"The rules {', '.join(names)} change nothing in {base.given}.", "Name others; trim --all.")
    rules = Counter(rule for edit in made.edits for rule in edit.rule.split("+"))
    return replace(base, source=made.text, draft=draft_from(made.text)), rules


def _printed_by_trim(source: str) -> tuple[str, Mapping[str, int]] | None:
    """Return text and rules of what ``promptop trim --json`` printed; None for anything else."""
    if not source.lstrip().startswith("{"):
        return None
    try:
        shape = json.loads(source)
    except (ValueError, RecursionError):
        return None
    if (
        not isinstance(shape, dict)
        or not isinstance(shape.get("text"), str)
        or not isinstance(shape.get("edits"), list)
    ):
        return None
    receipt = shape.get("receipt")
    rules = receipt.get("rules") if isinstance(receipt, dict) else None
    if not isinstance(rules, dict):
        named = (str(edit.get("rule") or "") for edit in shape["edits"] if isinstance(edit, dict))
        rules = Counter(rule for name in named for rule in name.split("+") if rule)
    return shape["text"], {str(name): int(count) for name, count in rules.items() if isinstance(count, int)}
