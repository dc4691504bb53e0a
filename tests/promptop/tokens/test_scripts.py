"""Characters by script."""

from __future__ import annotations

import random
import subprocess
import sys

from tests.promptop.tokens.material import text

from promptop.tokens.scripts import add, chars_by_script


def test_classes() -> None:
    assert chars_by_script("") == (0, 0, 0, 0)
    assert chars_by_script("Hello, world") == (12, 0, 0, 0)
    assert chars_by_script("你好，世界。") == (0, 6, 0, 0)
    assert chars_by_script("カタカナ한국어") == (0, 7, 0, 0)
    assert chars_by_script("{x=1}\n") == (1, 0, 5, 0)
    assert chars_by_script("Привет 🙂") == (1, 0, 0, 7)
    assert chars_by_script("café – naïve") == (12, 0, 0, 0)
    assert chars_by_script("\ud800") == (0, 0, 0, 1)


def test_each_character_is_counted_once_wherever_it_stands() -> None:
    source = random.Random(1)
    for _ in range(200):
        content = text(source, 30, surrogates=True)
        assert sum(chars_by_script(content)) == len(content)
        cut = source.randrange(len(content) + 1)
        assert add(chars_by_script(content[:cut]), chars_by_script(content[cut:])) == chars_by_script(content)


def test_scripts_and_client_load_no_tokenizer() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "import promptop.tokens.scripts, promptop.workers.token_client, promptop.models, promptop.models.pricing\n"
        "promptop.models.price('gpt-4o', input_tokens=1, output_tokens=1)\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(loaded - set(sys.stdlib_module_names) - {'promptop', 'platformdirs'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
