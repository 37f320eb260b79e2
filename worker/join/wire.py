"""The wire process of one joined program: gRPC, codec, replica and records, away from the user's threads and forks.

gRPC's threads do not survive a fork, and data loaders fork; so the program itself never loads gRPC. This process is
its child, gets everything over one socket, and does not outlive it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from gradwire.common.errors import ConfigError, GradwireError
from gradwire.common.system import atomic
from gradwire.common.system.locks import FileLock
from gradwire.common.training.layout import Layout
from gradwire.common.transport.address import parse_address, require_protected
from gradwire.common.transport.tls import worker_tls
from gradwire.worker.certificates import hold
from gradwire.worker.join import frames
from gradwire.worker.join.loop import OwnLoop
from gradwire.worker.join.memory import SharedVectors
from gradwire.worker.join.settings import Settings
from gradwire.worker.privacy.limits import Limits, budget_from
from gradwire.worker.process import WorkerOptions, WorkerProcess
from gradwire.worker.updates.handed_over import LoopLeft

# A program that is started again at once waits for the wire process of the one that was killed to end.
PREDECESSOR_SECONDS = 10.0
NAME_FILE = "name"  # in the state directory: the name of a process that was given none
LOCK_FILE = "join.lock"
_held: list[FileLock] = []
GONE = "its program ended without leaving the run"


def main(channel: int, file: int) -> None:
    """Serve the program at the other end of a socket until it leaves or the run is finished.

    Args:
        channel: descriptor of the socket.
        file: descriptor of the shared vectors.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # The program decides: it leaves, or ends, and this process with it.
        signal.signal(number, signal.SIG_IGN)
    asyncio.run(_serve(socket.socket(fileno=channel), file))


async def _serve(channel: socket.socket, file: int) -> None:
    reader, writer = await asyncio.open_connection(sock=channel)

    def send(message: frames.Message) -> None:
        if not writer.is_closing():
            writer.write(frames.pack(message))

    try:
        wire = Wire(await frames.read(reader), file, send)
        with _watched_parent(wire):
            work = asyncio.create_task(wire.run())
            listening = asyncio.create_task(_listen(reader, wire))
            await work
            listening.cancel()
            await asyncio.wait([listening])
    except frames.Closed:
        return
    except Exception as error:
        send({"answer": "error", "kind": type(error).__name__, "message": str(error) or repr(error)})
        if not isinstance(error, GradwireError | LoopLeft):
            logging.getLogger(__name__).debug("the wire process failed", exc_info=True)
    finally:
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


async def _listen(reader: asyncio.StreamReader, wire: Wire) -> None:
    """Take the program's messages, until it leaves or is gone."""
    reason = GONE
    try:
        while "leave" not in (message := await frames.read(reader)):
            wire.loop.receive(message)
        reason = message["leave"]
    except frames.Closed:
        pass  # it was killed, or it ended
    wire.leave(reason)


@contextlib.contextmanager
def _watched_parent(wire: Wire) -> Iterator[None]:
    """Notice a program that was killed while processes that it forked still have the socket open."""
    if not hasattr(os, "pidfd_open"):
        yield
        return
    parent = os.pidfd_open(os.getppid())
    if os.getppid() != wire.program:  # it was killed before, and this process has another parent now
        wire.leave(GONE)
    running = asyncio.get_running_loop()

    def gone() -> None:
        running.remove_reader(parent)
        wire.leave(GONE)

    running.add_reader(parent, gone)
    try:
        yield
    finally:
        running.remove_reader(parent)
        os.close(parent)


class Wire:
    """The worker process behind one joined program.

    Attributes:
        program: id of its process.
    """

    def __init__(self, first: frames.Message, file: int, send: Callable[[frames.Message], None]) -> None:
        """Prepare it.

        Args:
            first: the program's first message: settings, layout and constants.
            file: of the shared vectors.
            send: writes a message to the program.

        Raises:
            GradwireError: settings, certificates or the state directory cannot be used.
        """
        settings = Settings.from_json(first["settings"])
        layout = Layout.from_json(first["layout"])
        vectors = SharedVectors(file, layout.dim)
        self._send = send
        self.program: int = first["pid"]
        self.loop = OwnLoop(vectors, layout, first.get("attachments", ()), send, evaluates=settings.evaluates)
        self._process = WorkerProcess(_options(settings, self.program, self._say), self._say, self.loop)
        self.loop.status = self._process.status

    async def run(self) -> None:
        """Take part until the run is finished or the program leaves.

        Raises:
            GradwireError: the server refused the program, or could not be reached.
        """
        try:
            await self._process.run()
            await self.loop.requested()
        except LoopLeft:
            return
        except asyncio.CancelledError:  # it left while there was no connection
            if self.loop.left is None:
                raise
            return
        model = self._process.model
        self.loop.finish(model.reported, model.round)

    def leave(self, reason: str) -> None:
        """The program leaves: the server is told, if there is a stream."""
        self.loop.leave(reason)
        self._process.leave(reason)

    def _say(self, text: str) -> None:
        self._send({"say": text})


def _options(settings: Settings, pid: int, say: Callable[[str], None]) -> WorkerOptions:
    """The options of the worker process.

    Raises:
        GradwireError: files that cannot be used, or settings that contradict each other.
    """
    from gradwire.common.codecs import allow_codecs
    from gradwire.common.training.optimizers import allow_optimizers
    from gradwire.common.training.point_files import read_all_points

    allow_codecs(settings.allow_codec)
    allow_optimizers(settings.allow_optimizer)
    read_all_points(settings.points)
    address = parse_address(settings.server)
    cert = None if settings.cert is None else hold(Path(settings.cert), PREDECESSOR_SECONDS)
    tls = worker_tls(_path(settings.ca), cert, _path(settings.key))
    if warning := require_protected(address, tls=tls is not None, insecure=settings.insecure):
        say(warning)
    certified = tls.identity.name if tls is not None and tls.identity is not None else None
    state_dir = None if settings.state_dir is None else _locked(Path(settings.state_dir))
    return WorkerOptions(
        server=address,
        name=settings.name or certified or _kept_name(state_dir, f"{socket.gethostname()}-{pid}"),
        workers=() if settings.worker is None else (settings.worker,),
        retry_for=settings.retry_for,
        state_dir=state_dir,
        limits=Limits(budget_from(settings.max_epsilon, settings.delta, state_dir), settings.report_metrics),
        tls=tls,
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _locked(state_dir: Path) -> Path:
    """The state directory, once no other program uses it; held until this process ends.

    Raises:
        ConfigError: another one does, or it cannot be used.
    """
    try:
        atomic.make_folder(state_dir)
        lock = FileLock(state_dir / LOCK_FILE, create_mode=0o600)
        if lock.acquire_within(PREDECESSOR_SECONDS):
            _held.append(lock)
            return state_dir
    except OSError as error:
        raise ConfigError(
            f"state_dir {state_dir} cannot be used: {error.strerror}; name a folder that may be written"
        ) from error
    raise ConfigError(f"another program uses state_dir {state_dir}: give each program one of its own")


def _kept_name(state_dir: Path | None, name: str) -> str:
    """The name that a program had when it was started with this state directory first: with it, it keeps its seat."""
    if state_dir is None:
        return name
    path = state_dir / NAME_FILE
    try:
        if not path.exists():
            atomic.write(path, [name.encode()])
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be used: {error}; pass name=… to gradwire.join") from error
