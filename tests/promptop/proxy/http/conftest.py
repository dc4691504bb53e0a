"""The parser's comparison, which is a program too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def parser_fuzz() -> ModuleType:
    """Return ``parser_fuzz.py`` as a module."""
    path = Path(__file__).with_name("parser_fuzz.py")
    spec = importlib.util.spec_from_file_location("parser_fuzz", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["parser_fuzz"] = module
    spec.loader.exec_module(module)
    return module
