"""Times to a loss: a table with a column for each link, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gradwire.bench.plotting import figure
from gradwire.bench.race import Lap
from gradwire.deploy.tables import plain_table, print_plain
from gradwire.deploy.units import duration, human

MARKS = "osD^vPX*"


def print_race(console: Console, laps: Sequence[Lap], target: float) -> None:
    """Print them."""
    note = (
        f"Time until the mean training loss was {target:g}, from the first round's opening, and how much longer than "
        "the fastest. Interface bytes of all workers at the server, in all rounds."
    )
    print_plain(console, table_of(laps), note)


def table_of(laps: Sequence[Lap]) -> Table:
    """A row for each case, a column for each link."""
    links = list(dict.fromkeys(link(lap) for lap in laps))
    table = plain_table("case", "rounds", "up", "down", *links)
    best = {name: min(lap.seconds for lap in laps if link(lap) == name) for name in links}
    for case in dict.fromkeys(lap.case for lap in laps):
        own = {link(lap): lap for lap in laps if lap.case == case}
        one = next(iter(own.values()))
        cells = [str(one.rounds), human(one.up_bytes, "B"), human(one.down_bytes, "B")]
        times = [f"{duration(own[name].seconds)} ({own[name].seconds / best[name]:.3g}×)" for name in links]
        table.add_row(case, *cells, *times)
    return table


def link(lap: Lap) -> str:
    """A link's name."""
    return "unshaped" if lap.rate is None else str(lap.rate)


def draw(path: Path, laps: Sequence[Lap], target: float) -> None:
    """A line for each case: seconds (logarithmic) over links, slowest first."""
    links = list(dict.fromkeys(link(lap) for lap in sorted(laps, key=_speed)))
    with figure(path) as axes:
        for i, case in enumerate(dict.fromkeys(lap.case for lap in laps)):
            own = {link(lap): lap.seconds for lap in laps if lap.case == case}
            rounds = next(lap.rounds for lap in laps if lap.case == case)
            axes.plot(
                links,
                [own[name] for name in links],
                marker=MARKS[i % len(MARKS)],
                label=f"{case} ({rounds} rounds)",
            )
        axes.set_yscale("log")
        axes.set_xlabel("each worker's link, both directions")
        axes.set_ylabel("seconds")
        axes.set_title(f"Time to a training loss of {target:g}")
        axes.grid(visible=True, which="both", alpha=0.3)
        axes.legend()


def _speed(lap: Lap) -> float:
    return float("inf") if lap.rate is None else lap.rate.bits
