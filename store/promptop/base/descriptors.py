"""How many files and connections this process may hold open."""

from __future__ import annotations

import contextlib

from promptop.base.errors import PromptopError

MOST = 65_536
SPARE = 64
"""Files beside the connections: the log, the caches, the terminal, libraries."""


def raise_limit() -> int | None:
    """Let this process open as many files as it may, and return how many; None where there is no limit to ask for.

    A stream through the proxy takes two, and a common soft limit is 1,024.
    """
    try:
        import resource
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def require(connections: int) -> None:
    """Raise :class:`PromptopError` that says what is needed, if so many connections cannot be open at once."""
    allowed = raise_limit()
    needed = connections + SPARE
    if allowed is not None and allowed < needed:
        raise PromptopError(
            f"{connections:,} calls at once need {needed:,} open files, and this process may open {allowed:,}.",
            f"Raise the limit first: ulimit -n {needed} (its hard limit is the system's), or ask for fewer at once.",
        )
