"""Short texts are counted without tiktoken, and come to what tiktoken counts; the tables on disk heal themselves."""

from __future__ import annotations

import random
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from promptop.base.files import state_dir
from promptop.tokens import short_texts, vocabularies

TEXTS = (
    "",
    "The quick brown fox doesn't jump over 12,345 lazy dogs; it's (mostly) ASLEEP, isn't IT'S.\r\n\r\n\t x",
    "解释什么是提示工程?用200字解释提示工程:定义、1个重要性、1个技巧(比如Few-shot)。カタカナ한국어",
    "def f(x):\n    return {'a': x // 2}  # !\n/path\n\n\n   \n" + " " * 90 + "a" * 300 + "=" * 90,
    "Zażółć gęślą jaźń Привет Ελλάδα שלום สวัสดี 🚀🙂 ½ ² € → ｆｕｌｌ",
    "trailing blanks   \n",
    "<|endoftext|> is text",
)


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have each test begin without a table, in this process and on disk."""
    monkeypatch.setenv("PROMPTOP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(vocabularies, "_built", {})
    short_texts._counter.cache_clear()


def by_table(name: str, text: str) -> int | None:
    counter = short_texts._counter(name)
    assert counter is not None
    return counter.count(text)


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base", "r50k_base", "qwen", "tekken", "deepseek"])
def test_counts_are_those_of_tiktoken(name: str) -> None:
    encode = vocabularies.encoder(name)
    chooser = random.Random(name)
    every = [chr(at) for at in range(0x20000) if short_texts._PLAIN.fullmatch(chr(at))]
    texts = list(TEXTS)
    for _ in range(300):
        pool = chooser.choice([list("ab C1'\n .,s漢"), every])
        texts.append("".join(chooser.choices(pool, k=chooser.randrange(40))))
    for text in texts:
        assert by_table(name, text) == len(encode(text)), repr(text)


def test_each_letter_is_cut_as_tiktoken_cuts_it() -> None:
    encode = vocabularies.encoder("o200k_base")
    for place in range(0, 0x1F6C6, 37):
        x = chr(place)
        if short_texts._PLAIN.fullmatch(x):
            text = f"a{x}b 1{x}2 {x}{x}Ab'S{x} \n{x}\n\n .{x}!{x}漢{x} {x}"
            assert by_table("o200k_base", text) == len(encode(text)), hex(place)


@pytest.mark.parametrize("text", ["it'ſ", "a\x00b", "\u200f", "\ud800x", "\u2028", "x" * 20_000, "y" * 600])
def test_what_could_be_cut_otherwise_goes_to_tiktoken(text: str) -> None:
    expected = len(vocabularies.encoder("o200k_base")(text))
    vocabularies._built.clear()
    assert short_texts.count_tokens("o200k_base", text) == expected
    assert vocabularies.loaded("o200k_base") is not None


def test_a_short_text_loads_no_tiktoken(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom promptop.tokens import count\nprint(count('hi', 'gpt-4o').tokens, 'tiktoken' in sys.modules)"
    )
    for _ in range(2):  # cold, then with the table
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["1", "False"]


def table() -> Path:
    (found,) = (state_dir() / "vocabularies").glob("p50k_base-*.ranks")
    return found


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "folder"])
def test_a_damaged_table_is_written_anew(damage: str) -> None:
    assert by_table("p50k_base", "hello world") == 2
    path = table()
    whole = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        broken = {"cut": whole[:-9], "bit": whole[:5000] + b"\xff" + whole[5001:], "empty": b""}[damage]
        path.write_bytes(broken)
    short_texts._counter.cache_clear()
    assert short_texts.count_tokens("p50k_base", "hello world") == 2
    if damage != "folder":
        assert path.read_bytes() == whole


def test_tables_are_private_and_older_ones_go() -> None:
    folder = state_dir() / "vocabularies"
    folder.mkdir(parents=True)
    older = folder / "p50k_base-ptranks0-00.ranks"
    older.write_bytes(b"x")
    by_table("p50k_base", "hello")
    assert not older.exists()
    assert stat.S_IMODE(table().stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [table().name]  # no temporary file is left


def test_several_processes_write_one_table() -> None:
    code = "from promptop.tokens.short_texts import count_tokens; print(count_tokens('p50k_base', 'hello world'))"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0].strip() for process in running] == ["2", "2", "2"]
    short_texts._Ranks(table().read_bytes())


def test_without_a_folder_tiktoken_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("PROMPTOP_STATE_DIR", str(tmp_path / "file"))
    assert short_texts.count_tokens("p50k_base", "hello world") == 2
    assert vocabularies.loaded("p50k_base") is not None
