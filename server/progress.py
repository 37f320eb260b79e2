"""Progress of a run on standard output: one JSON object per line, or plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from gradwire.common.system.results import to_json
from gradwire.server.measures import in_words, number, outcome_in_words, sites_in_words
from gradwire.server.pace import Pace, clock_time

Progress = Callable[[dict[str, Any]], None]
ROUND_EVERY = 0.05  # seconds between round events in JSON
LINE_EVERY = 2.0  # and in plain lines
FIRST_PATIENCE = 10.0  # seconds before a plain line says who is waited for


class ProgressFormat(StrEnum):
    """How ``gradwire server`` reports progress."""

    JSON = "json"
    LINES = "lines"
    NONE = "none"


def to_all(*observers: Progress) -> Progress:
    """One function that hands every event to each of the observers, in order."""

    def observe(event: dict[str, Any]) -> None:
        for observer in observers:
            observer(event)

    return observe


def reporter(form: ProgressFormat) -> Progress:
    """A function that prints events; of the round events only some, the last one always."""
    if form is ProgressFormat.NONE:
        return lambda event: None
    write = _json_line if form is ProgressFormat.JSON else PlainLines().show
    every = ROUND_EVERY if form is ProgressFormat.JSON else LINE_EVERY
    last = -every

    def report(event: dict[str, Any]) -> None:
        nonlocal last
        if event["event"] == "round" and event["round"] + 1 < event["rounds"]:
            if time.monotonic() - last < every:
                return
            last = time.monotonic()
        write(event)

    return report


_FINISHED = """finished: {rounds} rounds, loss {loss}{measures}
up {uplink[payload_bits]} bits in {uplink[message_bytes]} bytes of messages
down {downlink[payload_bits]} bits in {downlink[message_bytes]} bytes of messages
predicted bytes were measured: {predicted_equals_measured}
replicas agree: {replicas_agree} (digest {digest}, {replicas_checked} of {processes} checked){best_model}{restarts}"""


_TEXTS = {
    "listening": "listening on {address}, run {run_id}, round {round}",
    "joined": "{process} joined: {live} of {expected} workers",
    "left": "{process} left{why}: {live} of {expected} workers",
    "restarted": "{process} was started again at round {round}: from here its part is not bit-reproducible",
    "round": "round {round} of {rounds}: loss {loss}, {uplink_bits} bits up, {downlink_bits} bits down{eta}",
    "metrics": "after {round} rounds: {metrics}",
    "pending": "round {round} has waited {took} for {who}",
    "resync": "{process} differed in round {round} and is sent the server's model",
    "warning": "warning: {message}",
    "waiting": "the run is finished; waiting {seconds:g} s to check the replicas of workers {workers}",
    "finished": _FINISHED,
}


def _json_line(event: dict[str, Any]) -> None:
    sys.stdout.write(to_json(event) + "\n")
    sys.stdout.flush()


class PlainLines:
    """Events in words. How long the run will take is estimated from the rounds that are shown."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._patience = Patience()

    def show(self, event: dict[str, Any]) -> None:
        """Print one event, unless it is one more of those that say who is waited for."""
        kind = event["event"]
        if kind == "round":
            self._pace.add(event["round"] + 1, event["seconds"])
            event = {
                **event,
                "round": event["round"] + 1,
                "loss": number(event["loss"]),
                "eta": self._eta(event),
            }
        elif kind == "finished":
            event = _in_words(event["summary"])
        elif kind in ("joined", "left"):
            event = _with_range(event)
        elif kind == "metrics":
            event = {**event, "metrics": ", ".join([*in_words(event), *sites_in_words(event)])}
        elif kind == "pending":
            if not self._patience.ends(event):
                return
            took = clock_time(event["seconds"])
            event = {**event, "round": event["round"] + 1, "took": took, "who": waited_for(event)}
        print(_TEXTS[kind].format(**event), flush=True)

    def _eta(self, event: dict[str, Any]) -> str:
        left = self._pace.remaining(event["rounds"])
        return f", ETA {clock_time(left)}" if left else ""


def _with_range(event: dict[str, Any]) -> dict[str, Any]:
    """How many workers may be connected, and why a process has left."""
    reason = event.get("reason")
    why = f" ({reason}; its seat is kept)" if reason else ""
    least = f"{event['least']}.." if event.get("least") else ""
    return {**event, "expected": f"{least}{event['expected']}", "why": why}


class Patience:
    """When to say once more who is waited for: after ten seconds, and each time the wait has doubled."""

    def __init__(self) -> None:
        self._round, self._next = -1, FIRST_PATIENCE

    def ends(self, event: Mapping[str, Any]) -> bool:
        """Whether this ``pending`` event is to be shown."""
        if event["round"] != self._round:
            self._round, self._next = event["round"], FIRST_PATIENCE
        if event["seconds"] < self._next:
            return False
        while self._next <= event["seconds"]:
            self._next *= 2
        return True


def waited_for(event: Mapping[str, Any]) -> str:
    """The processes in a ``pending`` event.

    >>> waited_for({"processes": ["alice", "bob"], "more": 3})
    'alice, bob and 3 more'
    """
    names = ", ".join(event["processes"])
    return f"{names} and {event['more']} more" if event["more"] else names


def _in_words(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary with its metrics on the line of the loss, and yes and NO for its checks."""
    checks = {
        name: "yes" if summary[name] else "NO" for name in ("predicted_equals_measured", "replicas_agree")
    }
    best = summary.get("best")
    kept = f"\nbest {best['metric']} {best['value']:.4g} after round {best['round']}" if best else ""
    measures = "".join(f", {measure}" for measure in outcome_in_words(summary))
    loss = number(summary["loss"])
    again = ", ".join(
        f"{name} (started {count} times)" for name, count in summary.get("restarted", {}).items()
    )
    restarts = f"\nnot bit-reproducible: {again}" if again else ""
    return {
        **summary, **checks, "loss": loss, "measures": measures, "best_model": kept, "restarts": restarts
    }  # fmt: skip
