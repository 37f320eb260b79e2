"""The display of a run in progress: a live table on a terminal, a line every two seconds elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from gradwire.deploy.run.view import View
from gradwire.deploy.tables import print_plain
from gradwire.deploy.units import counted, human, number
from gradwire.server.pace import clock_time
from gradwire.server.progress import Patience, waited_for

EVERY = 2.0  # seconds between lines
MOST_SITES = 8  # in the table
WARNING = f" {logging.getLevelName(logging.WARNING)}: "  # in lines of processes that warn


class Lines:
    """Plain lines: remarks at once, the state of the run every two seconds and at its end."""

    def __init__(
        self,
        view: View,
        console: Console,
        *,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.view, self.console, self.verbose = view, console, verbose
        self._clock = clock
        self._next_line = clock() + EVERY
        self._shown_rounds = 0  # in the last line
        self._warned: set[str] = set()  # names of processes
        self._warnings: set[str] = set()
        self._patience = Patience()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, event: Mapping[str, Any]) -> None:
        """An event of the server."""
        self.view.apply(event)
        if event["event"] == "listening" and self.view.round:
            self._resumed()
        if event["event"] == "resync":
            process, round_ = event["process"], event["round"]
            self.note(f"{process} differed from the server after round {round_} and received its model")
        if event["event"] == "warning":
            self.note(f"warning: {event['message']}")
        if event["event"] == "pending":
            self._waits(event)
        if event["event"] == "finished":
            self._line()

    def _waits(self, event: Mapping[str, Any]) -> None:
        """Say who is waited for, now and then."""
        if self._patience.ends(event):
            round_, seconds = event["round"] + 1, clock_time(event["seconds"])
            self.note(f"round {round_} has waited {seconds} for {waited_for(event)}")

    def _resumed(self) -> None:
        self._shown_rounds = self.view.round
        if self.view.round >= self.view.rounds:
            self.note(f"the run is complete: {self.view.round} rounds")
        else:
            self.note(f"resuming after round {self.view.round}")

    def note(self, text: str) -> None:
        """A remark, on its own line."""
        print_plain(self.console, text)

    def log(self, name: str, line: str) -> None:
        """A line that a child wrote: shown with ``verbose``; its first warning is always shown."""
        if self.verbose:
            self.note(f"{name}: {line}")
        elif WARNING in line and name not in self._warned:
            self._warned.add(name)
            self._warn(name, line.partition(WARNING)[2])

    def _warn(self, name: str, text: str) -> None:
        """Show a warning unless another process has written the same."""
        if text not in self._warnings:
            self._warnings.add(text)
            self.note(f"{name}: {text}; pass --verbose to see the rest")

    def tick(self) -> None:
        """Draw a line when it is time."""
        if self._clock() >= self._next_line:
            self._line()

    def _line(self) -> None:
        self._next_line = self._clock() + EVERY
        if self.view.round > self._shown_rounds:
            self._shown_rounds = self.view.round
            self.note(status_line(self.view))


class LiveTable(Lines):
    """A table that is redrawn in place; remarks scroll above it."""

    def __enter__(self) -> LiveTable:
        self._live = Live(
            get_renderable=lambda: live_table(self.view),
            console=self.console,
            refresh_per_second=8,
            transient=True,
        )
        self._live.start(refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def _line(self) -> None:
        """The table shows the state already."""

    def _waits(self, event: Mapping[str, Any]) -> None:
        """And this."""


def display_for(console: Console, view: View, *, verbose: bool = False) -> Lines:
    """The display that suits where the output goes."""
    return (LiveTable if console.is_terminal else Lines)(view, console, verbose=verbose)


def status_line(view: View) -> str:
    """The state of a run in one line."""
    up, down = view.uplink, view.downlink
    parts = [
        f"round {view.round}/{view.rounds}",
        f"loss {number(view.loss)}",
        *_metrics(view)[:1],
        f"up {human(up.payload_bits, 'bit')} per worker and round",
        f"down {human(down.payload_bits, 'bit')} per process",
        f"total {human(up.message_bytes, 'B')} up, {human(down.message_bytes, 'B')} down",
    ]
    if view.privacy is not None:
        parts.append(view.privacy)
    if view.rate:
        parts.append(f"{view.rate:.3g} rounds/s")
    if view.remaining:
        parts.append(f"ETA {clock_time(view.remaining)}")
    if 0 < view.connected < view.expected:
        parts.append(f"{view.connected} of {view.expected_range} workers")
    return "  ".join(parts)


def live_table(view: View) -> RenderableType:
    """The state of a run as a progress bar and a table."""
    table = Table.grid(padding=(0, 2))
    if not view.round:
        workers = "worker" if view.expected == 1 else "workers"
        connected = f"{view.connected} of {view.expected_range} {workers} connected …"
        if view.pending is None:
            return connected
        table.add_row(connected)
        table.add_row(waiting(view.pending))
        return table
    bar = Table.grid(padding=(0, 2))
    eta = f"ETA {clock_time(view.remaining)}" if view.remaining else ""
    rate = f"{view.rate:.3g} rounds/s" if view.rate else ""
    bar.add_row(
        f"round {view.round}/{view.rounds}", ProgressBar(view.rounds, view.round, width=30), rate, eta
    )
    table.add_row("loss", number(view.loss), "  ".join(_metrics(view)))
    for name, values in list(view.sites.items())[:MOST_SITES] if len(view.sites) > 1 else ():
        table.add_row("", name, "  ".join(f"{n} {number(v)}" for n, v in values["metrics"].items()))
    if len(view.sites) > MOST_SITES:
        table.add_row("", f"and {counted(len(view.sites) - MOST_SITES, 'site')} more")
    for name, flow, whom in (("uplink", view.uplink, "worker"), ("downlink", view.downlink, "process")):
        each = f"{human(flow.payload_bits, 'bit')} per {whom} and round" if flow.payload_bits else ""
        table.add_row(name, each, f"{human(flow.message_bytes, 'B')} so far")
    if view.privacy is not None:
        table.add_row("privacy", view.privacy)
    resyncs = f"{counted(view.resyncs, 'resync')}" if view.resyncs else ""
    table.add_row("workers", f"{view.connected} of {view.expected_range} connected", resyncs)
    if view.pending is not None:
        table.add_row("waiting", waiting(view.pending))
    return Group(bar, table)


def waiting(pending: Mapping[str, Any]) -> str:
    """Who is waited for, and for how long."""
    return f"for {waited_for(pending)}, {clock_time(pending['seconds'])}"


def _metrics(view: View) -> list[str]:
    """The metrics, accuracy first: a line shows one. Of an earlier model they say after how many rounds."""
    ranked = sorted(view.metrics.items(), key=lambda item: item[0] != "accuracy")
    when = "" if view.measured_at == view.round else f" (after {view.measured_at})"
    return [f"{name} {view.ranges.get(name, number(value))}{when}" for name, value in ranked]
