"""How bash, zsh and fish ask for completions: click's protocol, mended for colons, blanks and files among names."""

from __future__ import annotations

import os

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

_BASH = r"""%(complete_func)s() {
    local completion file= word=$2
    COMPREPLY=()
    # Bash cuts words at colons, at signs and equals signs (lib:NAME, model@profile): the whole line is handed over.
    while IFS= read -r completion; do
        case $completion in
            plain,*) COMPREPLY+=("$(printf '%%q' "${completion#*,}")") ;;
            dir,*|file,*) file=1 ;;
        esac
    done < <(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_CWORD="$word" %(complete_var)s=bash_complete "$1")
    if [[ $file ]]; then
        if (( ${#COMPREPLY[@]} )); then
            while IFS= read -r completion; do
                [[ -d $completion ]] && completion+=/ && compopt -o nospace
                COMPREPLY+=("$(printf '%%q' "$completion")")
            done < <(compgen -f -- "$word")
        else
            compopt -o default
        fi
    fi
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class _Bash(BashComplete):
    """Bash, whose names and files stand side by side, and whose words are cut where it cuts them."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        return _split(os.environ["COMP_WORDS"])

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        word, cut = _value_of(incomplete), os.environ.get("COMP_CWORD", "")
        before = word.removesuffix(cut) if word.endswith(cut) else ""
        found = super().get_completions(args, incomplete)
        for each in found:
            each.value = each.value.removeprefix(before)
        return found


class _Zsh(ZshComplete):
    """Zsh, which replaces the whole word, ``--model=`` included."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        return _whole(super().get_completions(args, incomplete), incomplete)


class _Fish(FishComplete):
    """Fish, which replaces the whole word too, and whose script takes a description to end at a comma."""

    def get_completion_args(self) -> tuple[list[str], str]:
        return _split(os.environ["COMP_WORDS"])

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        found = _whole(super().get_completions(args, incomplete), incomplete)
        for each in found:
            each.help = each.help.replace(",", ";") if each.help else None
        return found


def asking(shell: str, root: click.Command, variable: str) -> ShellComplete | None:
    """Return what answers a shell, None for a shell that is not known."""
    kinds: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}
    kind = kinds.get(shell)
    return kind(root, {}, "promptop", variable) if kind is not None else None


def _split(line: str) -> tuple[list[str], str]:
    """Return the whole words behind the command of a line up to the cursor, and the word that is being typed."""
    words = split_arg_string(line)
    begun = words.pop() if len(words) > 1 and not line.endswith((" ", "\t")) else ""
    return words[1:], begun


def _value_of(word: str) -> str:
    return word.partition("=")[2] if word.startswith("-") else word


def _whole(found: list[CompletionItem[str]], word: str) -> list[CompletionItem[str]]:
    """Put ``--model=`` before values where the word has it."""
    name, equals, _ = word.partition("=")
    for each in found if equals and name.startswith("-") else ():
        if each.type == "plain":
            each.value = f"{name}={each.value}"
    return found
