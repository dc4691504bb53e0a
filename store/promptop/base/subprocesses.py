"""A process of our own that works beside the screen: it speaks on its standard input and output, nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def start(module: str) -> subprocess.Popen[bytes]:
    """Start ``module`` of this package, whatever the working directory holds and wherever the package lies."""
    root = str(Path(__file__).parents[2])
    known = os.environ.get("PYTHONPATH")
    return subprocess.Popen(
        # -P: a file in the working directory must not stand in for a module of the standard library
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the screen is drawn on stderr; failures come as answers
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{known}" if known else root},
        process_group=0,  # a Ctrl-C in the terminal is the screen's to handle
    )
