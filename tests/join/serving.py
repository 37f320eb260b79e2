"""The real server on a thread of its own, whose events a test waits for."""

import asyncio
import contextlib
import math
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from gradwire.common.training.config import RunConfig
from gradwire.common.transport.tls import ServerTls
from gradwire.server.coordinator import Coordinator
from gradwire.server.rounds.events import Pushed
from gradwire.server.stream.session import Session
from tests.system.harness import TIMEOUT, Run

Event = dict[str, Any]
FLOAT = {"task": "own", "codec": "float32", "optimizer": "sgd(lr=1.0)"}  # the exact mean of the sites' models


def own(**settings: Any) -> RunConfig:
    """A run of sites with loops of their own, which averages exactly; of one site where nothing else is said."""
    return RunConfig(**{**FLOAT, "workers": 1, "evaluate_every": 0, **settings})


class Server:
    """Serves one run from ``with`` on; leaving the block ends it, whether the run is over or not."""

    def __init__(
        self, folder: Path, config: RunConfig, *, listen: str = "127.0.0.1:0", tls: ServerTls | None = None
    ) -> None:
        self.config, self._folder, self._listen, self._tls = config, folder, listen, tls
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self._ended: dict[str, Any] | BaseException | None = None
        self._run: Coordinator | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        run = Run(self.config, self._folder, self._note, tls=self._tls)
        self._serving = asyncio.ensure_future(run.serve(self._listen))
        found: dict[str, Any] | BaseException
        try:
            found = await self._serving
        except BaseException as error:
            found = error
        with self._changed:
            self._ended = found
            self._changed.notify_all()

    def _note(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def __enter__(self) -> "Server":
        self._thread.start()
        self.address: str = self.wait(event="listening")["address"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server at once, in place of kill -9, unless it has ended."""
        with contextlib.suppress(RuntimeError):  # its loop is closed
            self._loop.call_soon_threadsafe(self._serving.cancel)
        self._thread.join(TIMEOUT)

    # ---- what happens --------------------------------------------------------------------------------------

    def find(self, **fields: Any) -> Event | None:
        """The first event with these fields."""
        return next((e for e in self.events if fields.items() <= e.items()), None)

    def wait(self, **fields: Any) -> Event:
        """Wait for it."""
        with self._changed:
            self._changed.wait_for(lambda: self.find(**fields) or self._ended is not None, TIMEOUT)
            found = self.find(**fields)
        assert found is not None, (fields, self._ended, self.events)
        return found

    def committed(self, round_: int) -> None:
        """Wait until that round is committed."""
        self.wait(event="round", round=round_)

    def summary(self) -> dict[str, Any]:
        """Wait until the run is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended is not None, TIMEOUT)
        assert isinstance(self._ended, dict), (self._ended, self.events)
        return self._ended

    def reasons(self) -> dict[str, str | None]:
        """Why each site left, the last time that it did."""
        return {e["process"]: e.get("reason") for e in self.events if e["event"] == "left"}

    # ---- what a test does to it ----------------------------------------------------------------------------

    def abort_streams(self, coordinator: Coordinator) -> None:
        """Break all connections: every site has to reconnect."""
        self._loop.call_soon_threadsafe(_abort, tuple(coordinator.sessions.values()))


def _abort(sessions: tuple[Session, ...]) -> None:
    for session in sessions:
        session.abort("a test breaks this connection")


class Pushes:
    """The pushes that reach the server, as they are counted; those from a round on can be lost.

    Those that are lost are not counted, as if the server were killed when they came.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lost_from = math.inf
        self._changed = threading.Condition()
        self._seen: set[tuple[int, str]] = set()
        handle, pushes = Coordinator.handle, self

        async def watched(coordinator: Coordinator, event: Any) -> None:
            lost = isinstance(event, Pushed) and event.round >= pushes.lost_from
            if not lost:
                await handle(coordinator, event)
            if isinstance(event, Pushed):
                pushes._note(event)
            if lost:
                await asyncio.Event().wait()  # until its stream ends

        monkeypatch.setattr(Coordinator, "handle", watched)

    def _note(self, event: Pushed) -> None:
        with self._changed:
            self._seen.update((event.round, each.process) for each in event.contributions)
            self._changed.notify_all()

    def wait(self, round_: int, process: str) -> None:
        """Wait until a process's push of that round has come, and is counted or lost."""
        with self._changed:
            assert self._changed.wait_for(lambda: (round_, process) in self._seen, TIMEOUT)


def watched(patch: Callable[[str, Any], None]) -> list[Coordinator]:
    """The coordinators that are made from here on; ``patch`` is ``monkeypatch.setattr``."""
    made: list[Coordinator] = []
    begin = Coordinator.__init__

    def noted(self: Coordinator, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        made.append(self)

    patch("gradwire.server.coordinator.Coordinator.__init__", noted)
    return made
