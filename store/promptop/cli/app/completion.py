"""Print the completion script of a shell: commands, options, models, profiles, prompts and files.

bash: eval "$(promptop completion bash)" in ~/.bashrc. zsh: the same in ~/.zshrc, after compinit. fish: promptop
completion fish > ~/.config/fish/completions/promptop.fish
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from promptop.base.errors import UsageError
from promptop.cli.command_line.completion import SHELLS, script
from promptop.cli.command_line.declare import Parameters, ParsedArguments, argument

EXAMPLES = ("promptop completion bash", "promptop completion zsh", "promptop completion fish")


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        argument("shell", required=False, choices=SHELLS, metavar="SHELL", help="bash, zsh or fish (default: $SHELL)")
    ]


def run(args: ParsedArguments) -> int:
    """Print the script."""
    from promptop.cli.command_line.loading import Root

    shell = args.shell or Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        raise UsageError("No shell was named.", f"Write promptop completion {'|'.join(SHELLS)}.")
    sys.stdout.write(script(Root(), shell) + "\n")
    return 0
