"""Progress of a run on standard output: one JSON object per line, or plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from gradwire.common.system.results import to_json
from gradwire.server.measures import in_words, number, outcome_in_words, sites_in_words

Progress = Callable[[dict[str, Any]], None]
ROUND_EVERY = 0.05  # seconds between round events in JSON
LINE_EVERY = 2.0  # and in plain lines


class ProgressFormat(StrEnum):
    """How ``gradwire server`` reports progress."""

    JSON = "json"
    LINES = "lines"
    NONE = "none"


def reporter(form: ProgressFormat) -> Progress:
    """A function that prints events; of the round events only some, the last one always."""
    if form is ProgressFormat.NONE:
        return lambda event: None
    write = _json_line if form is ProgressFormat.JSON else _plain_line
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


def _json_line(event: dict[str, Any]) -> None:
    sys.stdout.write(to_json(event) + "\n")
    sys.stdout.flush()


def _plain_line(event: dict[str, Any]) -> None:
    kind = event["event"]
    text = {
        "listening": "listening on {address}, run {run_id}, round {round}",
        "joined": "{process} joined: {live} of {expected} workers",
        "left": "{process} left{why}: {live} of {expected} workers",
        "restarted": "{process} was started again at round {round}: from here its part is not bit-reproducible",
        "round": "round {round} of {rounds}: loss {loss}, {uplink_bits} bits up, {downlink_bits} bits down",
        "metrics": "after {round} rounds: {metrics}",
        "resync": "{process} differed in round {round} and is sent the server's model",
        "warning": "warning: {message}",
        "waiting": "the run is finished; waiting {seconds:g} s to check the replicas of workers {workers}",
        "finished": _FINISHED,
    }[kind]
    if kind == "finished":
        event = _in_words(event["summary"])
    elif kind in ("joined", "left"):
        reason = event.get("reason")
        why = f" ({reason}; its seat is kept)" if reason else ""
        least = f"{event['least']}.." if event.get("least") else ""
        event = {**event, "expected": f"{least}{event['expected']}", "why": why}
    elif kind == "metrics":
        event = {**event, "metrics": ", ".join([*in_words(event), *sites_in_words(event)])}
    elif kind == "round":
        event = {**event, "round": event["round"] + 1, "loss": number(event["loss"])}
    print(text.format(**event), flush=True)


def _in_words(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary with its metrics on the line of the loss, and yes and NO for its checks."""
    checks = {
        name: "yes" if summary[name] else "NO" for name in ("predicted_equals_measured", "replicas_agree")
    }
    best = summary.get("best")
    kept = f"\nbest {best['metric']} {best['value']:.4g} after round {best['round']}" if best else ""
    measures = "".join(f", {measure}" for measure in outcome_in_words(summary))
    loss = number(summary["loss"])
    again = ", ".join(f"{name} (started {count} times)" for name, count in summary.get("restarted", {}).items())
    restarts = f"\nnot bit-reproducible: {again}" if again else ""
    return {
        **summary, **checks, "loss": loss, "measures": measures, "best_model": kept, "restarts": restarts
    }  # fmt: skip
