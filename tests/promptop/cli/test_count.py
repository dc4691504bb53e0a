"""promptop count: what it prints, what it refuses, what it loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from promptop.cli.main import main
from promptop.tokens import vocabularies

QUESTION = "解释什么是提示工程?"
RUN = "import sys; from promptop.cli.main import main; sys.exit(main(sys.argv[1:]))"


def piped(text: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own, with standard input."""
    return subprocess.run(
        [sys.executable, "-c", RUN, "count", *arguments], input=text, capture_output=True, check=False
    )


def test_json_has_the_fields_that_programs_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text(QUESTION, encoding="utf-8")
    assert main(["count", str(file), "-m", "gpt-4-turbo", "-m", "gpt-4o", "-m", "claude-opus-5-5", "--json"]) == 0
    turbo, four, claude = json.loads(capsys.readouterr().out)
    assert turbo == {
        "file": str(file),
        "model": "gpt-4-turbo",
        "encoding": "cl100k_base",
        "tokens": 10,
        "kind": "exact",
        "interval": None,
        "window_share": 10 / 128_000,
        "input_usd": 0.0001,
        "price_status": "table",
        "note": None,
    }
    assert (four["tokens"], four["encoding"], four["kind"]) == (6, "o200k_base", "exact")
    assert (claude["kind"], claude["tokens"]) == ("estimated", 9)


def test_standard_input_and_one_line_a_model() -> None:
    done = piped(b"hello", "-m", "gpt-4o", "-m", "gpt-4-turbo")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert lines[0].split() == ["tokens", "window", "input", "model"]
    assert lines[1].split() == ["=", "1", "<0.01", "%", "$0.0000025", "gpt-4o"]
    assert lines[2].split()[-1] == "gpt-4-turbo"


def test_the_text_of_a_file_is_counted_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("", "a\r\nb\r\n", "\ufeffx", "<|endoftext|>", "你好\u2028\n\n  \t", "🙂" * 9):
        file = tmp_path / "t"
        file.write_bytes(text.encode())
        assert main(["count", str(file), "-m", "gpt-4o", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["tokens"] == len(vocabularies.encoder("o200k_base")(text))


def test_a_folder_gives_a_tree_with_sums(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "prompts"
    (root / "deep").mkdir(parents=True)
    (root / ".hidden").mkdir()
    (root / "a.md").write_text("hello")
    (root / "deep" / "b.md").write_text("hello world")
    (root / ".hidden" / "c.md").write_text("hello")
    (root / "picture.png").write_bytes(b"\x89PNG\0\0")
    (root / "latin1.txt").write_bytes(b"caf\xe9")
    assert main(["count", str(root), "-m", "gpt-4o"]) == 0
    out = capsys.readouterr()
    rows = [line.split() for line in out.out.splitlines()[1:]]
    assert [(row[1], row[-1]) for row in rows] == [
        ("3", f"{root}/"),
        ("1", f"{root}/a.md"),
        ("2", f"{root}/deep/"),
        ("2", f"{root}/deep/b.md"),
    ]
    assert "passed over" in out.err
    assert "And 1 more" in out.err
    assert main(["count", str(root), "-m", "gpt-4o", "--json"]) == 0
    assert [entry["tokens"] for entry in json.loads(capsys.readouterr().out)] == [1, 2]


@pytest.mark.parametrize(
    ("data", "told"), [(b"ab\xffc", "byte 0xff at offset 2"), (b"MZ\0\0", "binary"), ("x".encode("utf-16"), "UTF-16")]
)
def test_what_is_no_text_is_refused(data: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "odd\x1b[31m.txt"
    file.write_bytes(data)
    assert main(["count", str(file)]) == 1
    err = capsys.readouterr().err
    assert told in err
    assert "→" in err
    assert "\x1b" not in err


def test_a_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", "/no/such/file"]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_an_unknown_model_is_estimated_unpriced_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "t"
    file.write_text("hello")
    assert main(["count", str(file), "-m", "gpt4o", "--json"]) == 0
    out = capsys.readouterr()
    (entry,) = json.loads(out.out)
    assert (entry["kind"], entry["input_usd"], entry["price_status"], entry["window_share"]) == (
        "estimated",
        None,
        "unpriced",
        None,
    )
    assert "did you mean gpt-4o" in out.err


def test_the_watched_models_of_the_settings_are_counted(
    private_folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = private_folders / "config"
    config.mkdir(parents=True)
    (config / "config.toml").write_text('[editor]\nwatch = ["gpt-4o", "claude-haiku-5-5"]\n')
    (private_folders / "t").write_text("hello")
    assert main(["count", str(private_folders / "t"), "--json"]) == 0
    assert [entry["model"] for entry in json.loads(capsys.readouterr().out)] == ["gpt-4o", "claude-haiku-5-5"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_a_large_file_is_counted_in_constant_memory(tmp_path: Path) -> None:
    file = tmp_path / "large.txt"
    line = "The quick brown fox doesn't jump over 12,345 lazy dogs.\n"
    with file.open("w") as out:
        for _ in range(100):
            out.write(line * 2000)  # 11 MB
    code = (
        "import sys; from promptop.cli.main import main\n"
        "code = main(['count', sys.argv[1], '-m', 'gpt-4o', '--json'])\n"
        "print([line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    listed, _, peak = done.stdout.rpartition("]\n")
    assert json.loads(listed + "]")[0]["tokens"] == 200_000 * len(vocabularies.encoder("o200k_base")(line))
    # 112 MiB, of which the tokenizer takes 101; 160 with the extra fast. Encoding the whole text would add 110.
    assert int(peak) < 200 * 1024


def test_counting_loads_no_screen_and_no_client() -> None:
    code = (
        "import sys; from promptop.cli.main import main\n"
        "main(['count', '-', '-m', 'gpt-4o'])\n"
        "heavy = {'textual', 'openai', 'httpx2', 'genai_prices', 'pydantic', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], input="hello", capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
