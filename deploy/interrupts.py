"""Ctrl-C while modules are still being imported.

Python's own handler raises wherever it strikes; in the middle of an import that is a traceback. Until the command that
was called stands ready, the signal simply ends the process, as it ends any other program.
"""

from __future__ import annotations

import signal


def leave() -> None:
    """Let Ctrl-C end this process at once; where it is ignored (nohup, a background job) it stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def take() -> None:
    """The command stands ready: from now on Ctrl-C raises KeyboardInterrupt, and what was begun is put in order."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
