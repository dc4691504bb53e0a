"""What may know what, and what may be loaded when."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAVY = {
    "textual",
    "openai",
    "tiktoken",
    "rich",
    "pydantic",
    "sqlite_utils",
    "numpy",
    "genai_prices",
    "aiohttp",
}


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after running ``code``."""
    script = f"{code}\nimport sys, json; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_arrows_run_one_way() -> None:
    """The contract in pyproject.toml: the core knows no screen; inside it, arrows run one way."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_package_loads_nothing_but_the_standard_library() -> None:
    bare = loaded_by("pass")
    after = loaded_by("import promptop")
    beyond = {name for name in after - bare if name not in sys.stdlib_module_names}
    assert beyond == {"promptop"}


def test_the_shim_loads_none_of_the_app_s_libraries() -> None:
    assert not loaded_by("import promptop; promptop.observe; promptop.transport") & HEAVY


def test_sending_a_prompt_loads_no_sdk() -> None:
    line = "['run', '--text', 'hi', '-m', 'gpt-4o', '--base-url', 'http://127.0.0.1:9/v1', '--retries', '0']"
    loaded = loaded_by(f"from promptop.cli import main as m\nm.main({line})")
    assert "httpx2" in loaded
    assert not loaded & (HEAVY - {"tiktoken"})


def test_counting_in_the_shell_loads_no_screen_and_no_sdk() -> None:
    code = "from promptop.cli import main as m\ntry: m.main(['count', '--help'])\nexcept SystemExit: pass"
    assert not loaded_by(code) & (HEAVY - {"tiktoken"})
