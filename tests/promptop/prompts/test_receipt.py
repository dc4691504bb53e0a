"""The trim receipt: what it counts, and that each form with it still reads as itself."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from promptop.cli.main import main
from promptop.client.result import RunResult
from promptop.experiments.proof.single_input import prove
from promptop.prompts import parse
from promptop.prompts.formats import FORMATS, export
from promptop.prompts.proof import PROVEN
from promptop.prompts.receipt import Receipt, applied, receipt_from

RECEIPT = Receipt("gpt-4o", "exact", 1200, 900, 0.003, 0.00225, {"polite-zh": 2, "shorter-en": 1})
PROMPT = parse("system:\n简短回答。\n\nuser:\nWhat is {{topic}}?\n")


def test_the_line_says_tokens_dollars_and_rules() -> None:
    assert RECEIPT.line() == (
        "trimmed for gpt-4o: =1,200 → =900 tokens, $0.003000 → $0.002250 a call by polite-zh×2, shorter-en×1"
    )
    assert ", n/a by" in replace(RECEIPT, usd_before=None).line()


def test_a_proof_goes_with_the_receipt_into_each_form_that_has_a_place() -> None:
    pair = ([RunResult("m", "m", "m", "好", "done")] * 5, [RunResult("m", "m", "m", "好", "done")] * 5)
    alike = prove("a", "b", ["gpt-4o"], [pair], [], now_ms=1)
    assert not RECEIPT.is_proven
    assert not replace(RECEIPT, proof=alike).is_proven, "one input is alike at most"
    proven = replace(RECEIPT, proof=replace(alike, verdict=PROVEN))
    assert proven.is_proven
    assert proven.line().endswith("; proven on one input by 10 calls: gpt-4o alike (n=5+5)")
    assert "# trimmed for gpt-4o" in export(PROMPT, "curl", proven) and "; proven on one input by 10" in export(
        PROMPT, "curl", proven
    )
    assert receipt_from(parse(export(PROMPT, "prompty", proven)).front["metadata"]["trim"]) == proven


def test_undone_changes_are_not_counted() -> None:
    taken = [("polite-en", "please "), ("polite-en", "please "), ("hedge", "very ")]
    assert applied(taken, "please go, please be very kind", "go, be very kind") == {"polite-en": 2}
    assert applied(taken, "please please very so", "please please very so") == {}
    assert applied([("rewrite", "be kind")], "please be very kind", "kindly") == {
        "rewrite": 1
    }  # made by an earlier change


@pytest.mark.parametrize("form", [each.name for each in FORMATS])
def test_each_form_still_reads_as_itself(form: str) -> None:
    plain, stamped = export(PROMPT, form), export(PROMPT, form, RECEIPT)
    assert (plain == stamped) == (form in ("text", "json"))
    if form == "json":
        assert set(json.loads(stamped)) == {"model", "messages"}
    elif form == "python":
        assert ast.dump(ast.parse(stamped)) == ast.dump(ast.parse(plain))
    elif form in ("promptfoo", "llm"):
        assert yaml.safe_load(stamped) == yaml.safe_load(plain)
    elif form == "prompty":
        read = parse(stamped)
        assert read.front["metadata"]["trim"] == RECEIPT.as_dict()
        assert [message.content for message in read.messages] == [message.content for message in PROMPT.messages]
    if form != "text" and plain != stamped and form != "prompty":
        assert RECEIPT.line() in stamped.splitlines()[0]


def test_trim_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.md"
    path.write_text("请你帮我总结下面的文章，非常感谢。\n")
    assert main(["trim", "--json", str(path)]) == 0
    told = json.loads(capsys.readouterr().out)
    receipt = told["receipt"]
    assert (receipt["tokens_before"], receipt["tokens_after"]) == (told["tokens_before"], told["tokens_after"])
    assert receipt["rules"] == {"polite-zh": 2}
    assert receipt["usd_after"] < receipt["usd_before"]
