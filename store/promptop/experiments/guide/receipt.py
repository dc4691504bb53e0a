"""What the sheet came to in tokens and dollars of input, as the receipt of a version."""

from __future__ import annotations

from promptop import models
from promptop.client.targets import parse_target
from promptop.experiments.guide.sheet import Sheet
from promptop.prompts.receipt import REWRITE, Receipt
from promptop.settings import Settings


def receipt_of(sheet: Sheet, settings: Settings) -> Receipt:
    """Return the receipt of the way from the first text to the present one, counted for the first model."""
    from promptop.tokens.counting import count

    name = parse_target(sheet.original.model, settings).model
    before, after = (count(each.text, name) for each in (sheet.original, sheet.current))
    usd = [models.price(name, input_tokens=each.tokens, output_tokens=0).usd for each in (before, after)]
    changed = sheet.original.text != sheet.current.text
    return Receipt(name, before.kind, before.tokens, after.tokens, usd[0], usd[1], {REWRITE: 1} if changed else {})
