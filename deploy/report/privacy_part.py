"""Privacy of runs: epsilon per push, what the rounds add up to, and what each process has spent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gradwire.common.privacy.accounting import spent
from gradwire.deploy.report.document import Cell, Chart, Part, Section, Series, Table
from gradwire.deploy.report.shown_run import ShownRun

STEPS = 24  # of the curve of what is spent
_ACCOUNTANTS = {
    "pure": "sum of the epsilons (delta 0)",
    "advanced": "advanced composition",
    "tightest": "tightest accountant",
}
_ABOUT = (
    "Epsilon bounds what one worker's payloads reveal of its data to whoever sees them, the server included. The curve "
    "is that of a worker that takes part in every round; each process pays for its payloads from a ledger of its own, "
    "before they leave."
)


def privacy_section(runs: Sequence[ShownRun]) -> Section | None:
    """What was spent; None where no run is private."""
    private = [(run, run.summary["privacy"]) for run in runs if run.summary.get("privacy")]
    if not private:
        return None
    parts: list[Part] = [_ABOUT, _statements(private, named=len(runs) > 1)]
    parts += [_curve(run, stated, named=len(runs) > 1) for run, stated in private if stated["pushes"]]
    ledgers = [row for run, _ in private for row in _ledgers(run)]
    if ledgers:
        parts.append(_spent(private, ledgers))
    return Section("Privacy", parts)


def _statements(private: Sequence[tuple[ShownRun, Mapping[str, Any]]], *, named: bool) -> Table:
    rows: list[list[Cell]] = []
    for run, stated in private:
        costs = [(stated.get("spent") or {}).get(name) for name in _ACCOUNTANTS]
        each = [stated["epsilon_per_push"], stated["pushes"]]
        rows.append([*([run.name] if named else []), *each, *costs, stated["delta"], stated["max_epsilon"]])
    columns = ["epsilon per push", "pushes at most", *_ACCOUNTANTS.values(), "at delta", "budget"]
    return Table("Epsilon of one worker's data", [*(["run"] if named else []), *columns], rows)


def _curve(run: ShownRun, stated: Mapping[str, Any], *, named: bool) -> Chart:
    epsilon, pushes, delta = stated["epsilon_per_push"], stated["pushes"], stated["delta"] or 0.0
    at = sorted({max(1, round(pushes * step / STEPS)) for step in range(1, STEPS + 1)} | {1})
    costs = [spent(epsilon, count, delta) for count in at]
    series = [
        Series(name, at, [cost[key] for cost in costs])
        for key, name in _ACCOUNTANTS.items()
        if costs[-1].get(key) is not None
    ]
    if stated["max_epsilon"]:
        series.append(Series("budget", [at[0], at[-1]], [stated["max_epsilon"]] * 2, style="dashed"))
    of = f" of {run.name}" if named else ""
    x = "rounds in which a worker takes part"
    return Chart(
        f"Epsilon spent by round{of}", x, "epsilon" + (f" at delta {delta:g}" if delta else ""), series
    )


def _ledgers(run: ShownRun) -> Iterator[tuple[ShownRun, list[Cell]]]:
    delta = (run.summary["privacy"] or {}).get("delta") or 0.0
    for process, found in run.spending.items():
        costs = spent(found.epsilon, found.pushes, delta)
        least = min(value for value in costs.values() if value is not None)
        lifetime = found.lifetime
        yield (
            run,
            [process, found.workers, found.pushes, found.epsilon, least, lifetime.pushes, lifetime.pure],
        )


def _spent(
    private: Sequence[tuple[ShownRun, Mapping[str, Any]]], ledgers: Sequence[tuple[ShownRun, list[Cell]]]
) -> Table:
    columns = [
        *(
            "process",
            "workers",
            "pushes of the busiest worker",
            "epsilon per push",
            "epsilon spent in this run",
        ),
        *("pushes in all runs", "sum of the epsilons of all runs"),
    ]
    named = len(private) > 1
    rows = [[*([run.name] if named else []), *row] for run, row in ledgers]
    return Table("What each process has spent, by its ledger", [*(["run"] if named else []), *columns], rows)
