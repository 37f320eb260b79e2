"""Ctrl-C while modules are still being imported.

Python's own handler raises KeyboardInterrupt wherever the signal arrives; in the middle of an import that is a
traceback. Until the command that was called is imported, the signal ends the process, as it ends any other program.
"""

from __future__ import annotations

import signal


def exit_silently() -> None:
    """Let Ctrl-C end this process at once; where it is ignored (nohup, a background job) it stays ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_keyboard_interrupt() -> None:
    """From now on let Ctrl-C raise KeyboardInterrupt, so that the command cleans up."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
