"""The report at the end of a run: bytes of every layer, and the results of the checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from gradwire.common.training.local import parse_local
from gradwire.deploy.units import counted, duration, human, number
from gradwire.server.measures import outcome_in_words

LAYERS = {
    "payload_bits": "payload bits",
    "payload_bytes": "payload bytes",
    "message_bytes": "message bytes",
    "tcp_bytes": "TCP bytes",
}


def print_report(console: Console, summary: Mapping[str, Any]) -> None:
    """The byte table and the closing lines."""
    if summary["uplink"]["payload_bits"]:  # else every round was done before
        console.print(byte_table(summary))
    for line in closing_lines(summary):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def byte_table(summary: Mapping[str, Any]) -> Table:
    """Four layers in both directions: predicted, measured, and measured per round and worker or process."""
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("")
    for title in ("predicted", "measured", "per round"):
        table.add_column(title, justify="right")
    rounds = summary["rounds"] - summary.get("first_round", 0)
    drawn = summary.get("cohort")
    senders = drawn or summary["workers"], summary["processes"]
    nouns = "drawn worker" if drawn else "worker", "process"
    for direction, noun, count in zip(("uplink", "downlink"), nouns, senders, strict=True):
        messages = rounds * count
        table.add_row(direction, "", "", f"per {noun}", style="bold")
        for layer, name in LAYERS.items():
            measured = summary[direction].get(layer)
            predicted = summary["predicted"][direction].get(layer)
            unit = "bit" if layer == "payload_bits" else "B"
            share = human(measured / messages, unit) if messages and measured is not None else "—"
            bound = "≥ " if layer == "tcp_bytes" and _is_lower_bound(summary) else ""
            table.add_row(f"  {name}", _count(predicted), f"{bound}{_count(measured)}", share)
    return table


def _is_lower_bound(summary: Mapping[str, Any]) -> bool:
    """Whether TCP bytes were missed: a killed server's last second, or a connection that ended unnoticed."""
    tcp = summary.get("tcp", {})
    return tcp.get("connections") is not None and not tcp["complete"]


def closing_lines(summary: Mapping[str, Any]) -> list[str]:
    """The outcome in a few lines."""
    metrics = "".join(f", {words}" for words in outcome_in_words(summary))
    lines = [
        f"{_pace(summary)}, loss {number(summary['loss'])}{metrics}",
        *_best(summary),
        *_privacy(summary),
        f"predicted bytes were measured: {_yes(summary['predicted_equals_measured'])}",
        f"replicas agree: {_yes(summary['replicas_agree'])} (digest {summary['digest']}, "
        f"{summary['replicas_checked']} of {summary['processes']} checked)",
    ]
    if summary.get("record_bytes_per_round"):
        lines.append(f"workers' records: {human(summary['record_bytes_per_round'], 'B')} written per round")
    faults = [f"{name} restarted {counted(count, 'time')}" for name, count in summary["restarts"].items()]
    faults += [counted(summary[name], noun) for name, noun in _FAULTS.items() if summary.get(name)]
    return [*lines, f"interruptions survived: {', '.join(faults)}"] if faults else lines


_FAULTS = {"reconnects": "reconnect", "resyncs": "resync", "late": "late push"}


def _best(summary: Mapping[str, Any]) -> list[str]:
    """The best evaluation of a run that keeps its model."""
    best = summary.get("best")
    return [f"best {best['metric']} {number(best['value'])} after round {best['round']}"] if best else []


def _privacy(summary: Mapping[str, Any]) -> list[str]:
    """The guarantee for each worker's data, by each accountant."""
    privacy = summary.get("privacy")
    if privacy is None:
        return []
    spent = {name: value for name, value in privacy["spent"].items() if value is not None}
    costs = ", ".join(f"{value:.4g} ({name})" for name, value in spent.items())
    at = f" at delta {privacy['delta']:g}" if privacy["delta"] else ""
    limit = f" of {privacy['max_epsilon']:g}" if privacy["max_epsilon"] else ""
    each = f"epsilon {privacy['epsilon_per_push']:.4g} per push"
    return [f"privacy of a worker's inputs: {each}, {costs} in {privacy['pushes']} pushes{at}{limit}"]


def _pace(summary: Mapping[str, Any]) -> str:
    """The rounds and their time; a restarted server has timed its own rounds only."""
    rounds, first = summary["rounds"], summary.get("first_round", 0)
    speed = f"{duration(summary['seconds'])} ({summary['rounds_per_second']:.3g} rounds/s)"
    total = rounds_in_words(rounds, summary.get("local"))
    if not first:
        return f"{total} in {speed}"
    return f"{total}, the last {rounds - first:,} counted here in {speed}"


def rounds_in_words(rounds: int, local: str | None) -> str:
    """How many rounds, and of how many local steps each.

    >>> rounds_in_words(60, None), rounds_in_words(20, "local(steps=50)")
    ('60 rounds', '20 rounds of 50 local steps')
    """
    steps = f" of {counted(parse_local(local).steps, 'local step')}" if local else ""
    return f"{counted(rounds, 'round')}{steps}"


def _count(value: int | None) -> str:
    return "—" if value is None else f"{value:,}"


def _yes(value: bool) -> str:
    return "yes" if value else "NO"
