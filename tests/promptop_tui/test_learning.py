"""What the app learns from the log by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.promptop_tui.conftest import MakeApp
from tests.support.waits import until_shown as wait_until

from promptop.log import Row, Writer
from promptop.tokens import estimate, factors, for_model
from promptop_tui import app as app_module


def fill(path: Path) -> None:
    """Log calls of a model whose server counts 1.4 times o200k, and 1.9 times from the 31st call on."""
    writer = Writer(path)
    for k in range(60):
        chars = (1000 + 97 * k, 13 * k, 300, 0)
        reported = round((1.4 if k < 30 else 1.9) * estimate.o200k_from_chars(chars)) + 4
        writer.put(
            Row(
                started_ms=1_700_000_000_000 + k,
                operation_name="chat",
                request_model="claude-opus-5-5",
                request_messages=1,
                input_chars=json.dumps(chars),
                usage_input_tokens=reported,
                usage_source="reported",
            )
        )
    assert writer.flush(10)
    writer.close()


async def test_factors_are_learned_and_a_changed_tokenizer_is_told(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, private_folders: Path
) -> None:
    monkeypatch.setattr(app_module, "LEARN_AFTER_S", 0.01)
    prices = private_folders / "config" / "prices.toml"
    prices.parent.mkdir(parents=True, exist_ok=True)
    prices.write_text("[models.x]\ncolour = 3\n")
    app = make_app()
    fill(app.context.log_path)
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_until(pilot, lambda: len(app._notifications) >= 2)
        told = [note.message for note in app._notifications]
        assert any("claude-opus-5-5" in text and "+3" in text for text in told), told
        assert any("unknown key 'colour'" in text for text in told), told
    assert factors.current()["claude-opus-5-5"].since_ms == 1_700_000_000_030
    counted = for_model("claude-opus-5-5", {"o200k_base": 1200}, (5000, 500, 300, 0))
    assert counted.tokens == pytest.approx(1.9 * 1200, rel=0.03)
    assert counted.interval is not None
