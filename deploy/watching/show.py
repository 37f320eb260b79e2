"""A run as those see it who watch it: a live table on a terminal, lines elsewhere, or JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from typing import Any

from rich.console import Console

from gradwire.common.system.results import to_json
from gradwire.deploy.run.live import Lines, display_for, live_table
from gradwire.deploy.run.report import print_report, rounds_in_words
from gradwire.deploy.run.view import View
from gradwire.deploy.tables import print_plain
from gradwire.deploy.units import counted

Event = Mapping[str, Any]


async def show_all(events: AsyncIterator[Event], console: Console, display: Lines | None) -> Event:
    """Show events as they come; the last one.

    Args:
        events: of a run, the state first.
        console: standard output.
        display: shows them; None prints them as JSON, one object per line.
    """
    last: Event = {}
    with display if display is not None else nullcontext():
        async for last in events:
            if display is None:
                print(to_json(last), flush=True)
                continue
            if last["event"] == "state":
                display.note(heading(last))
            display.show(last)
            display.tick()
    if display is not None and last.get("event") == "finished":
        print_report(console, {"restarts": {}, **last["summary"]})
    return last


def new_display(console: Console) -> Lines:
    """The display that suits where the output goes."""
    return display_for(console, View())


def show_stored(state: Event, console: Console) -> None:
    """Show where a run stands that no server serves."""
    view = View()
    view.apply(state)
    finished = "finished" if state["finished"] else "not finished, and no server uses the folder"
    print_plain(console, heading(state), finished, live_table(view))


def heading(state: Event) -> str:
    """What the run is, in one line."""
    rounds = rounds_in_words(state["rounds"], state["local"])
    return (
        f"{state['task']}, {state['codec']}: {counted(state['workers'], 'worker')}, {rounds}, "
        f"after round {state['round']}"
    )
