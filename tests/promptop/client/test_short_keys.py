"""Short keys are hidden where they stand alone, and not cut out of words."""

from __future__ import annotations

import pytest

from promptop import models
from promptop.client.errors import _hide


def test_a_short_key_garbles_no_word() -> None:
    assert _hide("it does not exist: key x is wrong", ("x",)) == "it does not exist: key [key] is wrong"
    assert _hide("is ollama_host set? Bearer ollama", ("ollama",)) == "is ollama_host set? Bearer [key]"
    assert _hide("urlsk-0123456789abcdefend", ("sk-0123456789abcdef",)) == "url[key]end"


@pytest.mark.parametrize(("said", "part"), [("通义", "qwen"), ("智谱", "glm"), ("深度求索", "deepseek")])
def test_models_are_found_by_their_chinese_names(said: str, part: str) -> None:
    found = models.search(said)
    assert found
    assert [model.id for model in found] == [model.id for model in models.search(part)]
