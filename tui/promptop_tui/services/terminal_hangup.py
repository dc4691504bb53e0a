"""Notices that the terminal is gone, whoever was told of it.

SIGHUP goes to the leader of the session alone, and not every leader hands it on: below ``make`` the app went on without
a terminal, a core busy with reading nothing.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable


def watch(fd: int, gone: Callable[[], object]) -> None:
    """Call ``gone``, on a thread of its own, when the terminal behind ``fd`` has hung up; costs nothing until then."""
    threading.Thread(target=_wait, args=(fd, gone), name="hang-up", daemon=True).start()


def _wait(fd: int, gone: Callable[[], object]) -> None:
    poll = select.poll()
    poll.register(fd, 0)  # no event is asked for; a hang-up is told all the same
    # Where terminals cannot be polled, this is said at once as POLLNVAL: there SIGHUP alone tells.
    if any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll()):
        gone()
