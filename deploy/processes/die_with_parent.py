"""The ``gradwire`` command line in a process that does not outlive its parent.

The parent holds the writing end of the child's standard input and never writes to it. However the parent ends,
``kill -9`` included, the kernel closes that end; the child then reads end-of-file and kills itself. Nothing is lost:
what the server has announced is in its log. (Linux's PR_SET_PDEATHSIG would do the same, but it follows the parent's
thread, not the process, misses a parent that died first, and is missing elsewhere.)
"""

from __future__ import annotations

import os
import signal
import sys
import threading


def die_with_parent() -> None:
    """Kill this process once the other end of its standard input is closed; readers of the input find it empty."""
    watched = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    threading.Thread(target=_watch, args=(watched,), name="parent", daemon=True).start()


def _watch(fd: int) -> None:
    while os.read(fd, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    die_with_parent()
    from gradwire.deploy.cli import call

    sys.exit(call(sys.argv[1:]))
