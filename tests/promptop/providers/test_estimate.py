"""Our own count beside the server's: only with a tokenizer that the process holds already."""

from __future__ import annotations

import subprocess
import sys

import pytest

from promptop.providers.estimate import O200K_LIMIT, o200k_if_loaded
from promptop.tokens import encoding

SCRIPT = """
import sys
from promptop.providers.estimate import o200k_if_loaded
print(o200k_if_loaded("hello"), "tiktoken" in sys.modules, end=" ")
from promptop.tokens import encoding
encoding("cl100k_base")
print(o200k_if_loaded("hello"), end=" ")
encoding("o200k_base")
print(o200k_if_loaded("解释什么是提示工程?"))
"""


def test_nothing_is_loaded_for_it_and_what_is_loaded_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["None", "False", "None", "6"]


def test_the_host_s_own_tiktoken_serves_too(monkeypatch: pytest.MonkeyPatch) -> None:
    o200k = encoding("o200k_base")
    import tiktoken.registry

    monkeypatch.delitem(sys.modules, "promptop.tokens.vocabularies")
    monkeypatch.setitem(tiktoken.registry.ENCODINGS, "o200k_base", o200k)
    assert o200k_if_loaded("hello hello") == 2


def test_a_huge_text_and_half_a_surrogate_pair_do_no_harm() -> None:
    encoding("o200k_base")
    assert o200k_if_loaded("x" * (O200K_LIMIT + 1)) is None
    assert o200k_if_loaded("a\ud800b") is not None
