"""The program's end of its wire process: started, spoken to, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from gradwire.common import errors
from gradwire.common.errors import FailedPrecondition, GradwireError, Unavailable
from gradwire.common.training.layout import Layout
from gradwire.worker.join.frames import Closed, Message, pack, receive
from gradwire.worker.join.memory import SharedVectors
from gradwire.worker.join.settings import Settings

EXIT_SECONDS = 8.0  # for the wire process to tell the server and to end
# The program's import path first: gradwire may have been found by it.
_START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from gradwire.worker.join.wire import main
main({}, {})
"""


class Link:
    """A wire process, and the socket to it. Every call blocks; a signal's exception leaves the link usable to close.

    Only the process that made it uses it: one that was forked from it, as data loaders are, leaves it alone.
    """

    def __init__(
        self, settings: Settings, layout: Layout, constants: Sequence[bytes], vectors: SharedVectors
    ) -> None:
        """Start the process, which connects to the server.

        Args:
            settings: of the join.
            layout: of the model.
            constants: values of its constant arrays; none where they are too long.
            vectors: ``update`` holds the initial model.
        """
        self._vectors, self._owner = vectors, os.getpid()
        self._channel, theirs = socket.socketpair()
        path = [entry for entry in sys.path if isinstance(entry, str)]
        try:
            with theirs:
                self._process = _start(theirs.fileno(), vectors.file, path)
        except BaseException:
            self._channel.close()
            vectors.close()
            raise
        first = {
            "settings": settings.to_json(),
            "layout": layout.to_json(),
            "pid": os.getpid(),
        }
        try:
            self._send(pack(first, constants))
        except BaseException:
            self.close("its program ended while it joined")
            raise

    @property
    def pid(self) -> int:
        """The id of the wire process."""
        return self._process.pid

    def ask(self, message: Message, say: Callable[[str], None]) -> Message:
        """Send a message and wait for its answer.

        Args:
            message: the program's.
            say: called with lines for the user that come before the answer.

        Raises:
            GradwireError: what ended the wire process's part in the run.
        """
        if os.getpid() != self._owner:
            raise FailedPrecondition(
                "this process was forked from the one that joined: only that one takes steps"
            )
        self._send(pack(message))
        try:
            while "answer" not in (answer := receive(self._channel)):
                say(answer["say"])
        except Closed as error:
            raise self._lost() from error
        if answer["answer"] == "error":
            raise _error(answer["kind"], answer["message"])
        return answer

    def close(self, reason: str) -> None:
        """Leave the run for this reason and end the process; nothing where it has ended, or is another's child."""
        if os.getpid() != self._owner:
            self._channel.close()  # the copy of this process
            self._process.returncode = 0  # nothing for it to wait for
            return
        try:
            self._channel.settimeout(EXIT_SECONDS)  # of a process that reads nothing any more
            self._send(pack({"leave": reason}))
            self._process.wait(EXIT_SECONDS)
        except (TimeoutError, subprocess.TimeoutExpired):
            pass
        finally:
            self._channel.close()
            self._process.kill()
            self._process.wait()
            self._vectors.close()

    def _send(self, message: bytes) -> None:
        """Write a message; what a process that has ended wrote before can still be received."""
        with contextlib.suppress(ConnectionError):
            self._channel.sendall(message)

    def _lost(self) -> Unavailable:
        """Why there is no answer: the process was killed, or failed in a way that it could not describe."""
        code = self._process.wait()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return Unavailable(
            f"the process that holds this site's connection was {how}: start the program again; with state_dir it goes "
            "on where it was"
        )


def _start(channel: int, file: int, path: Sequence[str]) -> subprocess.Popen[bytes]:
    """The wire process, in a process group of its own: Ctrl-C is for the program, which then leaves in order."""
    command = [sys.executable, "-c", _START.format(channel, file), json.dumps(path)]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(channel, file),
        env={"GRPC_VERBOSITY": "NONE", **os.environ},  # what went wrong is one line of the program's
        process_group=0,
    )


def _error(kind: str, message: str) -> Exception:
    """The error that the wire process raised, as one of this process."""
    found: Any = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, GradwireError):
        return found(message)
    return GradwireError(f"the connection of this site failed: {kind}: {message}")
