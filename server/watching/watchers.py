"""Those who watch a run: each has a short queue of its own, and none is waited for.

A watcher that reads too slowly for its queue misses events: it gets the state of the run anew in their place. The round
events of a watcher that is not ready for the next one replace each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from gradwire.common.errors import (
    FailedPrecondition,
    LayoutError,
    NotFiniteError,
    SpecError,
    Unavailable,
    WireError,
)
from gradwire.common.system.results import to_json
from gradwire.common.transport.limits import PIECE_BYTES
from gradwire.server.coordinator import Coordinator
from gradwire.server.watching.describe import POINTS, describe, thinned
from gradwire.server.watching.pending import pending

MOST_WATCHERS = 16
QUEUED = 256  # events
EVERY = 0.05  # seconds between what is sent to one watcher
STATE_EVERY = 1.0  # seconds between states, which cost more
LOOK_EVERY = 1.0  # seconds between two looks at who is waited for
END_WAIT = 1.0  # seconds for watchers to read the last event
_LARGE = ("sites", "history")  # left out of an event that would be too long

Event = dict[str, Any]
Write = Callable[[str], Awaitable[None]]


class Watcher:
    """One who watches; the queue holds events that were not sent yet, and none after ``behind`` is set."""

    def __init__(self, points: int) -> None:
        self.points = points
        self.behind = True  # at first, of everything
        self.queue: deque[Event] = deque()
        self.ready = asyncio.Event()
        self.ready.set()

    def put(self, event: Event) -> None:
        """Queue an event."""
        self.ready.set()
        newest = self.queue[-1]["event"] if self.queue else None
        if newest == event["event"] and newest in ("round", "pending"):
            self.queue[-1] = event
        elif len(self.queue) < QUEUED:
            self.queue.append(event)
        else:
            self.queue.clear()
            self.behind = True

    def take(self) -> list[Event]:
        """The events since the last call."""
        self.ready.clear()
        events = list(self.queue)
        self.queue.clear()
        return events


class Watchers:
    """All who watch a run.

    Attributes:
        run: what they watch; set before the server takes connections.
    """

    run: Coordinator

    def __init__(self) -> None:
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._watchers: set[Watcher] = set()
        self._none_left = asyncio.Event()
        self._none_left.set()
        self._ended = asyncio.Event()
        self._last: Event | None = None  # the outcome, where there is one

    def publish(self, event: Event) -> None:
        """Queue an event for everybody who watches; may be called from any thread."""
        if threading.get_ident() == self._thread:
            self._put(event)
        else:  # a warning of the thread that waits for the disk
            self._loop.call_soon_threadsafe(self._put, event)

    def _put(self, event: Event) -> None:
        for watcher in self._watchers:
            watcher.put(event)

    async def watch(self, points: int, write: Write) -> None:
        """Serve one watcher: the state of the run, then its events, until the run is over.

        Args:
            points: of the history, at most; 0 for the usual number.
            write: sends one event.

        Raises:
            FailedPrecondition: as many as can be watch already.
            Unavailable: the server stops before the run is over.
        """
        if len(self._watchers) >= MOST_WATCHERS:
            raise FailedPrecondition(
                f"{MOST_WATCHERS} watch this run already: end one of them, or watch with another's output"
            )
        watcher = Watcher(min(points or POINTS, POINTS))
        self._watchers.add(watcher)
        self._none_left.clear()
        try:
            await self._serve(watcher, write)
        finally:
            self._watchers.discard(watcher)
            if not self._watchers:
                self._none_left.set()

    async def _serve(self, watcher: Watcher, write: Write) -> None:
        while not self._ended.is_set():
            await watcher.ready.wait()
            pause = await self._flush(watcher, write)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), pause)
        await self._flush(watcher, write)
        if self._last is None:
            raise Unavailable("the server stops: it goes on once it is started again")
        await write(as_text(self._last))

    async def _flush(self, watcher: Watcher, write: Write) -> float:
        """Send what is queued; seconds until the next time."""
        behind = watcher.behind
        events = watcher.take()
        if behind:
            watcher.behind, events = False, [self.state(watcher.points)]
        for event in events:
            await write(as_text(event))
        return STATE_EVERY if behind else EVERY

    # ---- what they are shown -------------------------------------------------------------------------------

    def state(self, points: int = POINTS) -> Event:
        """The state of the run."""
        run = self.run
        live: dict[str, int] = {s.process: len(s.workers) for s in run.sessions.values()}
        codec = run.fold.codec if run.fold.has_model else None
        epsilon = codec.epsilon if codec is not None and codec.private else None
        described = describe(
            run.config,
            run.log.run_id,
            run.counters,
            run.state.round,
            epsilon=epsilon,
            live=live,
            points=points,
            single=run.evaluations.shows_single_sites,
        )
        return {**described, "pending": self.pending()}

    def pending(self) -> Event | None:
        """Who the open round waits for, once it has been open for more than a moment."""
        since = self.run.counters.open_since
        if since is None:
            return None
        names = {number: session.process for number, session in self.run.sessions.items()}
        return pending(self.run.state, names, time.monotonic() - since)

    async def look(self, progress: Callable[[Event], None]) -> None:
        """Report who is waited for, as long as somebody is."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if (event := self.pending()) is not None:
                progress(event)

    # ---- the end -------------------------------------------------------------------------------------------

    async def end(self, outcome: Event | None = None) -> None:
        """End all streams, with this event or with UNAVAILABLE; those that do not read are not waited for."""
        self._last = outcome
        self._ended.set()
        for watcher in self._watchers:
            watcher.ready.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._none_left.wait(), END_WAIT)


def finished(summary: Event) -> Event:
    """The last event of a run that has finished; its history is thinned."""
    return {"event": "finished", "summary": {**summary, "history": thinned(summary["history"])}}


def failed(error: Exception) -> Event | None:
    """The last event of a run that cannot go on; None where it goes on once its server is started again.

    The texts of other errors name files of the server, which are not the watchers' concern.
    """
    if isinstance(error, NotFiniteError | WireError | LayoutError | SpecError):
        return {"event": "failed", "message": str(error)}
    return None


def as_text(event: Event) -> str:
    """An event as JSON that fits into a message."""
    text = to_json(event)
    if len(text) <= PIECE_BYTES:
        return text
    short = {name: value for name, value in event.items() if name not in _LARGE}
    if isinstance(short.get("workers"), list):
        short["workers"] = len(short["workers"])  # of a process, whose ids are of no interest here
    if "summary" in short:
        short["summary"] = {name: value for name, value in short["summary"].items() if name not in _LARGE}
    return to_json(short)
