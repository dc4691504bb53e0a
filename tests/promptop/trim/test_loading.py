"""The package is loaded by threads at once: trims and lint of the editor begin together."""

from __future__ import annotations

import subprocess
import sys

THREADS = """
import importlib, sys, threading
sys.setswitchinterval(1e-5)
errors = []
def load(name):
    try:
        importlib.import_module(name)
    except ImportError as error:
        errors.append(error)
threads = [threading.Thread(target=load, args=(name,)) for name in sys.argv[1:]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(str(errors) if errors else 0)
"""


def test_threads_that_load_trims_and_lint_at_once_both_have_them() -> None:
    names = ("promptop.trim.engine", "promptop.trim.rules.phrase_rules", "promptop.trim.lint")
    for order in (names, names[::-1]):
        done = subprocess.run([sys.executable, "-c", THREADS, *order], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
