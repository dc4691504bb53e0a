"""Record what the reference tokenizers make of some texts, for tests/promptop/tokens/references.json.

    python tools/record_references.py deepseek=tokenizer.json tekken=tekken_240911.json qwen=qwen.tiktoken

Needs ``tokenizers`` (DeepSeek), ``mistral-common`` (tekken) and ``dashscope`` (Qwen), which the project itself does not
use: run it in an environment of its own. Recorded are the number of tokens and a hash of their ids.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests" / "promptop" / "tokens"


def digest(ids: Sequence[int]) -> str:
    """Return a short hash of token ids."""
    return hashlib.blake2b(",".join(map(str, ids)).encode(), digest_size=8).hexdigest()


def reference(name: str, source: str) -> tuple[str, Callable[[str], list[int]]]:
    """Return the reference tokenizer's name with version, and its function text → ids of ordinary text."""
    if name == "deepseek":
        made = importlib.import_module("tokenizers").Tokenizer.from_file(source)
        return "tokenizers", lambda text: list(made.encode(text, add_special_tokens=False).ids)
    if name == "tekken":
        module = importlib.import_module("mistral_common.tokens.tokenizers.tekken")
        tekken = module.Tekkenizer.from_file(source)
        special = tekken.num_special_tokens
        return "mistral-common", lambda text: [i - special for i in tekken.encode(text, bos=False, eos=False)]
    module = importlib.import_module("dashscope.tokenizers.qwen_tokenizer")
    qwen = module.QwenTokenizer(source)
    return "dashscope", lambda text: list(qwen.encode(text, allowed_special=set()))


def main(arguments: list[str]) -> int:
    """Write the file."""
    spec = importlib.util.spec_from_file_location("material", TESTS / "material.py")
    assert spec is not None
    assert spec.loader is not None
    material = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(material)
    source = random.Random(3)
    texts = [material.ENGLISH, material.CHINESE, material.CODE, material.mixed(4000), ""]
    texts += [material.text(source, source.choice((1, 2, 4, 12, 40))) for _ in range(300)]
    texts = [text for text in texts if "<|" not in text]
    table: dict[str, object] = {"texts": texts}
    for argument in arguments:
        name, _, path = argument.partition("=")
        package, encode = reference(name, path)
        found = [encode(text) for text in texts]
        table[name] = {
            "reference": f"{package} {importlib.metadata.version(package)}",
            "tokens": [[len(ids), digest(ids)] for ids in found],
        }
    (TESTS / "references.json").write_text(json.dumps(table, ensure_ascii=True, separators=(",", ":")) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
