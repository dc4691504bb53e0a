"""The optimisation sheet: what each step plans, what it keeps, and the table that it ends as."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptop.base import texts
from promptop.base.errors import UsageError
from promptop.cli.main import main
from promptop.experiments.guide import export
from promptop.experiments.guide.run import effect_of
from promptop.experiments.guide.sheet import Effect, Figure, Sheet, Taken, load, save
from promptop.experiments.guide.steps import NAMES, Options, Variant, step_of
from promptop.prompts.library import Library
from promptop.settings import CacheSettings, Profile, Settings
from promptop.simulator import SimulatedEndpoint
from promptop.simulator.answers import answer

LONG = (
    "请你扮演一个资深的软件工程师,详细解释什么是提示工程,包括它的定义、重要性、常用技巧,还要举2个实际例子,"
    "语言要通俗易懂,不要用专业术语。\n"
)
SHORT = "用200字解释提示工程:定义、1个重要性、1个技巧(比如Few-shot)。\n"
REWRITTEN = "解释提示工程:定义、重要性、技巧,举2例,通俗,不要用专业术语。\n"
TALK = "system:\nBe brief.\n\n" + "".join(f"user:\nq{n}\n\nassistant:\na{n}\n\n" for n in range(5)) + "user:\nlast\n"


def settings(*models: str, **profiles: Profile) -> Settings:
    own = Profile(name="sim", base_url="http://127.0.0.1:1/v1", models=models or ("gpt-4o", "gpt-4o-mini"))
    return Settings(profile="sim", profiles={"sim": own, **profiles})


def plan(name: str, now: Variant, chosen: Settings | None = None, **options: Any) -> Any:
    return step_of(name).plan(now, chosen or settings(), Options(**options))


NOW = Variant(LONG, "gpt-4o")


def test_shortening_by_rules_says_what_leads_further() -> None:
    found = plan("shorten", NOW)
    (change,) = found.changes
    assert change.label.startswith("rules: 53 → ") and change.after.text != LONG
    assert "--rewrite" in found.note and "ablate" in found.note
    (own,) = plan("shorten", NOW, shorter=SHORT).changes
    assert own.after.text == SHORT


def test_a_short_prompt_has_nothing_to_shorten() -> None:
    found = plan("shorten", replace(NOW, text="Name a fruit.\n"))
    assert not found.changes and "nothing to shorten" in found.note


def test_context_leaves_out_whole_rounds_or_says_that_there_are_none() -> None:
    assert "nothing to leave out" in plan("context", NOW).note
    (change,) = plan("context", replace(NOW, text=TALK), rounds=2).changes
    sent = [each["content"] for each in change.after.request(settings()).messages]
    assert sent == ["Be brief.", "q3", "a3", "q4", "a4", "last"]
    assert not plan("context", replace(NOW, text=TALK, rounds=2), rounds=2).changes


def test_parameters_are_told_apart() -> None:
    limited, cooled = plan("parameters", NOW, max_tokens=50).changes
    assert (limited.after.max_tokens, limited.after.temperature) == (50, None)
    assert (cooled.after.max_tokens, cooled.after.temperature) == (50, 0.0)
    assert not plan("parameters", cooled.after).changes


def test_the_cache_needs_answers_that_are_kept() -> None:
    assert "temperature 0" in plan("cache", NOW).note
    assert plan("cache", replace(NOW, temperature=0.0)).changes[0].after.cache
    always = replace(settings(), cache=CacheSettings(any_temperature=True))
    assert plan("cache", NOW, always).changes


def test_a_lighter_model_is_a_cheaper_one_of_the_settings() -> None:
    assert plan("model", NOW).changes[0].after.model == "gpt-4o-mini"
    assert "no cheaper model" in plan("model", replace(NOW, model="gpt-4o-mini")).note
    assert plan("model", NOW, to="sim-fast").changes[0].after.model == "sim-fast"


def test_another_endpoint_is_another_address() -> None:
    assert "One endpoint" in plan("endpoint", NOW).note
    two = settings(near=Profile(name="near", base_url="http://127.0.0.1:2/v1"))
    assert plan("endpoint", NOW, two).changes[0].after.model == "gpt-4o@near"
    with pytest.raises(UsageError, match="no other endpoint"):
        plan("endpoint", NOW, two, to="sim")


def figure(key: str, before: float, after: float | None, verdict: str = "") -> Figure:
    return Figure(key, key.split("_", maxsplit=1)[0], before, after, None, verdict)


def test_an_effect_that_cannot_be_told_from_chance_is_called_none() -> None:
    same = Effect("temperature 0", (figure("ttft_s", 0.4, 0.41, "same"), figure("total_s", 1, 1.1, "same")), (10, 10))
    assert export.verdict_of(same) == "no measurable effect"
    few = Effect("x", (figure("ttft_s", 0.4, 0.2, "few"),), (2, 2))
    assert export.verdict_of(few) == "too few calls to tell"
    better = Effect("x", (figure("ttft_s", 0.4, 0.2, "better"), figure("cost_usd", 1, 1, "same")), (9, 9))
    assert export.verdict_of(better) == "ttft −50 %"
    assert effect_of("x", [], []).figures == ()


def test_a_sheet_survives_its_file(tmp_path: Path) -> None:
    sheet = Sheet(str(tmp_path / "p.md"), NOW, replace(NOW, stop=("END",)))
    effect = Effect("l", (Figure("ttft_s", "TTFT", 1.0, 0.5, (-0.6, -0.4), "better"),), (10, 10))
    sheet = sheet.with_step(step_of("shorten"), Taken("shorten", 5, (effect,), "note", True, 0.1), NOW)
    sheet = sheet.with_step(step_of("baseline"), Taken("baseline", 4), None)
    path = save(sheet)
    assert load(sheet.name) == sheet
    assert path.stat().st_mode & 0o077 == 0
    assert [each.step for each in sheet.taken] == ["baseline", "shorten"]
    assert sheet.next_step == "context"
    path.write_text("no json")
    assert load(sheet.name) is None


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        yield endpoint.base_url


def command(tmp_path: Path, url: str, *more: str) -> list[str]:
    prompt, config = tmp_path / "long.md", tmp_path / "c.toml"
    prompt.write_text(LONG, encoding="utf-8")
    config.write_text(
        f'profile = "sim"\n[profiles.sim]\nbase_url = "{url}"\nmodels = ["gpt-4o", "gpt-4o-mini"]\n', encoding="utf-8"
    )
    log = tmp_path / "log.db"
    return ["guide", str(prompt), "--config", str(config), "--log", str(log), "-n", "5", "-q", *more]


def test_the_long_prompt_is_led_through_every_step_to_a_version_with_a_receipt(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path, url, "--all", "--max-tokens", "9", "--json")) == 0
    sheet = json.loads(capsys.readouterr().out)
    steps = {each["step"]: each for each in sheet["steps"]}
    assert list(steps) == list(NAMES) and sheet["next"] is None
    assert "请你" not in json.dumps(sheet, ensure_ascii=False)
    cached = steps["cache"]["effects"][0]["figures"]
    assert next(each for each in cached if each["key"] == "cost_usd")["after"] == 0
    assert [each["label"] for each in steps["parameters"]["effects"]] == ["max_tokens 9", "temperature 0"]
    lighter = {each["key"]: each for each in steps["model"]["effects"][0]["figures"]}
    assert 0 < lighter["cost_usd"]["after"] < lighter["cost_usd"]["before"], "no hit is among the measured calls"
    assert not steps["model"]["adopted"] and sheet["current"]["model"] == "gpt-4o"
    assert steps["streaming"]["effects"][0]["figures"][0]["key"] == "seen_s"
    short = tmp_path / "short.md"
    short.write_text(SHORT, encoding="utf-8")
    assert (
        main(command(tmp_path, url, "--step", "shorten", "--with", str(short), "--save", "pair", "--format", "md")) == 0
    )
    out, err = capsys.readouterr()
    assert "=53 → =" in err and "pair v2" in err
    assert out.splitlines()[2].startswith("| step | change | TTFT")
    assert "| Shorten | your text: 41 → 23 tokens |" in out
    assert "input: 48 → " in out.partition("95 % intervals")[2]
    version = Library().version("pair")
    assert version.text == SHORT and version.receipt is not None and version.receipt.tokens_after <= 29
    assert version.receipt.is_open, "nothing is claimed of the answers"


def test_a_model_rewrites_where_the_rules_save_little(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "rewritten", lambda system, asked: REWRITTEN if "shorten prompts" in system else "")
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.setenv(name, "zh_CN.UTF-8")
    before = texts.use(texts.ENGLISH)
    try:
        steps = ["--step", "baseline", "--step", "shorten", "--rewrite"]
        assert main(command(tmp_path, url, *steps, "--save", "pair", "--format", "md")) == 0
        out, err = capsys.readouterr()
        assert "| 精简 | 你的文本：53 → 24 token |" in out and "无可测量的效果" in out.partition("95 % 置信区间：")[2]
        assert main(command(tmp_path, url, "--format", "csv")) == 0
        assert "你" not in capsys.readouterr().out.partition("\n")[0], "the names of columns stay"
    finally:
        for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
            monkeypatch.setenv(name, "C.UTF-8")
        texts.use(before)
    receipt = Library().version("pair").receipt
    assert receipt is not None and receipt.tokens_before == 53 and 22 <= receipt.tokens_after <= 29
    # What a model's text loses is left out and named.
    monkeypatch.setattr(answer, "rewritten", lambda system, asked: SHORT)
    assert main(command(tmp_path, url, "--reset", "--step", "shorten", "--rewrite")) == 0
    out, err = capsys.readouterr()
    assert "of the model's changes left out" in err and "rules: 53 → 41 tokens" in out
    assert "--rewrite" in out, "the way on is named"


def test_an_edited_file_is_what_is_measured_next(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = command(tmp_path, url, "--step", "shorten")
    assert main(asked) == 0
    Path(asked[1]).write_text(SHORT, encoding="utf-8")
    capsys.readouterr()
    assert main(asked[:-2]) == 0
    assert "edited since" in capsys.readouterr().out
    assert main(asked) == 0
    assert "your text: 41 → 23 tokens" in capsys.readouterr().out


def test_forms(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(tmp_path, url)) == 0
    assert "--step baseline" in capsys.readouterr().out
    assert main(command(tmp_path, url, "--step", "baseline", "--format", "csv")) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["figure"] for row in rows} >= {"ttft_s", "total_s", "input_tokens", "cost_usd"}
    page = tmp_path / "sheet.html"
    assert main(command(tmp_path, url, "--format", "html", "-o", str(page))) == 0
    assert "Baseline" in page.read_text(encoding="utf-8")
    assert main(command(tmp_path, url, "--reset")) == 0
    assert load(str(tmp_path / "long.md")) is None


def test_usage(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(tmp_path, url, "--step", "magic")) == 2
    assert "no step 'magic'" in capsys.readouterr().err
    assert main(command(tmp_path, url, "--adopt", "--leave")) == 2
    assert main(command(tmp_path, "http://127.0.0.1:9/v1", "--step", "baseline")) == 1
    assert load(str(tmp_path / "long.md")) is None, "what failed is not in the sheet"
