"""The worker process: real processes and pipes."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
from tests.promptop.tokens.material import mixed

from promptop.tokens import TokenDocument, vocabularies
from promptop.tokens.scripts import chars_by_script
from promptop.workers.token_client import Counted, Counts, Edges, Failed, Lines, Reply, SnippetCounts, TokenClient

BOTH = ("o200k_base", "cl100k_base")


class Harness:
    """A client and its replies."""

    def __init__(self) -> None:
        self.replies: queue.Queue[Reply] = queue.Queue()
        self.client = TokenClient(self.replies.put)

    def next(self, timeout: float = 20) -> Reply:
        return self.replies.get(timeout=timeout)

    def counts(self, version: int) -> Counts:
        """Return the counts of that version, past those of older ones."""
        while True:
            reply = self.next()
            assert isinstance(reply, Counts), reply
            if reply.version == version:
                return reply


@pytest.fixture
def harness() -> Iterator[Harness]:
    made = Harness()
    yield made
    made.client.close()
    assert not made.client.alive


def test_documents_are_counted_and_follow_their_edits(harness: Harness) -> None:
    text = "hello 你好\nworld"
    version = harness.client.open("d", text, BOTH)  # before the start: kept
    harness.client.start()
    assert harness.counts(version) == Counts(
        "d", version, {"o200k_base": Counted(5, True), "cl100k_base": Counted(6, True)}, chars_by_script(text)
    )
    for start, end, new in ((0, 0, "x"), (3, 9, ""), (0, 0, "def f():\n    return 1\n"), (0, 5, "解释")):
        text = text[:start] + new + text[end:]
        reply = harness.counts(harness.client.edit("d", start, end, new))
        assert {name: count.tokens for name, count in reply.counts.items()} == {
            name: len(vocabularies.encoder(name)(text)) for name in BOTH
        }
        assert reply.chars == chars_by_script(text)


def test_lines_edges_and_snippets(harness: Harness) -> None:
    harness.client.start()
    text = mixed(20_000)
    reference = TokenDocument("o200k_base", text)
    version = harness.client.open("d", text, ["o200k_base"])
    harness.counts(version)
    asked = harness.client.request_lines("d", "o200k_base", 3, 9)
    assert harness.next() == Lines(asked, "d", version, "o200k_base", 3, tuple(reference.count_lines(3, 9)))
    asked = harness.client.request_edges("d", "o200k_base", 100, 400)
    assert harness.next() == Edges(asked, "d", version, "o200k_base", 100, 400, tuple(reference.boundaries(100, 400)))
    asked = harness.client.request_counts(["解释什么是提示工程?", "", "<|endoftext|>", "\ud800"], BOTH)
    reply = harness.next()
    assert isinstance(reply, SnippetCounts)
    assert (reply.id, reply.counts["cl100k_base"][:2], reply.counts["o200k_base"][:2]) == (asked, (10, 0), (6, 0))
    assert reply.counts["o200k_base"][2] > 1


def test_a_burst_of_edits_is_answered_with_the_last_version(harness: Harness) -> None:
    harness.client.start()
    harness.counts(harness.client.open("d", "", ["o200k_base"]))
    for _ in range(400):
        version = harness.client.edit("d", 0, 0, "word ")
    reply = harness.counts(version)
    assert reply.counts["o200k_base"].tokens == len(vocabularies.encoder("o200k_base")("word " * 400))


def test_what_cannot_be_done_is_told_and_the_worker_lives_on(harness: Harness) -> None:
    harness.client.start()
    asked = harness.client.request_lines("nowhere", "o200k_base", 0, 1)
    reply = harness.next()
    assert isinstance(reply, Failed)
    assert (reply.id, reply.restarting) == (asked, False)
    harness.client.open("odd", "x", ["no_such_encoding"])
    reply = harness.next()
    assert isinstance(reply, Failed)
    assert "no_such_encoding" in reply.message
    harness.client.edit("odd", 0, 0, "y")
    harness.client.close_doc("odd")
    version = harness.client.open("d", "hello", ["o200k_base"])
    assert harness.counts(version).counts["o200k_base"].tokens == 1
    with pytest.raises(IndexError):
        harness.client.edit("d", 4, 9, "")
    with pytest.raises(KeyError):
        harness.client.edit("odd", 0, 0, "")


def test_a_killed_worker_is_reported_and_replaced_once_with_the_documents_as_they_are(harness: Harness) -> None:
    harness.client.start()
    text = mixed(300_000)
    harness.counts(harness.client.open("d", text, ["o200k_base"]))
    for at in (0, 150_000, 299_000):
        text = text[:at] + "新" + text[at:]
        version = harness.client.edit("d", at, at, "新")
    harness.counts(version)
    first = harness.client.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    reply = harness.next()
    assert reply == Failed("The token counter stopped (signal 9).", None, True)
    assert harness.counts(version).counts["o200k_base"].tokens == len(vocabularies.encoder("o200k_base")(text))
    second = harness.client.pid
    assert second not in (None, first)
    os.kill(second or 0, signal.SIGKILL)
    assert harness.next() == Failed("The token counter stopped (signal 9).", None, False)
    harness.client.edit("d", 0, 1, "")  # nobody counts any more, and nothing breaks
    assert harness.client.pid == second


def test_a_request_that_a_dying_worker_left_is_answered_by_the_next(harness: Harness) -> None:
    harness.client.start()
    harness.counts(harness.client.open("d", "hello world", ["o200k_base"]))
    os.kill(harness.client.pid or 0, signal.SIGSTOP)
    asked = harness.client.request_lines("d", "o200k_base", 0, 0)
    os.kill(harness.client.pid or 0, signal.SIGKILL)
    replies = [harness.next() for _ in range(3)]
    assert isinstance(replies[0], Failed)
    lines = [reply for reply in replies if isinstance(reply, Lines)]
    assert [(reply.id, reply.tokens) for reply in lines] == [(asked, (2,))]


def test_closing_is_quick_while_the_worker_counts(harness: Harness) -> None:
    harness.client.start()
    harness.counts(harness.client.open("d", "", ["o200k_base"]))
    harness.client.edit("d", 0, 0, "a" * 3_000_000)
    begun = time.monotonic()
    harness.client.close()
    harness.client.close()
    assert time.monotonic() - begun < 5
    assert not harness.client.alive


def test_the_worker_ends_with_its_parent() -> None:
    code = (
        "import os, queue\n"
        "from promptop.workers.token_client import TokenClient\n"
        "replies = queue.Queue(); client = TokenClient(replies.put); client.start()\n"
        "client.open('d', 'x', ['o200k_base']); replies.get(timeout=20)\n"
        "print(client.pid, flush=True); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    worker = int(done.stdout)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.02)
    pytest.fail("the worker outlived its parent")


def test_a_module_in_the_working_directory_does_not_stand_in_for_a_real_one(
    harness: Harness, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    with open("json.py", "w") as out:  # noqa: PTH123
        out.write("raise SystemExit(3)")
    harness.client.start()
    assert harness.counts(harness.client.open("d", "hello", ["o200k_base"])).counts["o200k_base"].tokens == 1
