"""README.txt in a run's folder: what the run is, what each file is for, and what can be done with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gradwire.common.system import atomic
from gradwire.common.training.config import RunConfig
from gradwire.deploy.units import number
from gradwire.server.log.run_log import RunLog
from gradwire.server.log.schema import NAME
from gradwire.server.measures import by_name, outcome_in_words

PAGE = "README.txt"
FILES = {
    NAME: "the log: configuration, initial model, every counted payload, metrics; the model follows from it",
    f"{NAME}-wal, {NAME}-shm": "parts of the log while a server runs or after it was killed: copy them with it",
    "server.json": "the address of the server that uses this folder, for `gradwire watch`",
    "run.lock": "held by the server that uses this folder",
    "worker-0, …": "of `gradwire run`: memories and privacy ledger of each worker process; never copy a ledger back",
}
COMMANDS = {
    "gradwire run --state-dir .{task}": "go on, on this machine; with --rounds N beyond the end",
    "gradwire server --state-dir .": "go on with workers elsewhere",
    "gradwire watch .": "see where it stands, also while a server runs",
    "gradwire model save --state-dir . --out model.safetensors": "take the model out (.npz and .pt too)",
    "gradwire model evaluate --state-dir .{task}": "evaluate it here",
    "gradwire model info .": "names and shapes of its arrays",
}


class FolderPage:
    """The page of one run, written when its server starts and when it ends. It never fails the run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config: RunConfig | None = None
        self._round = 0
        self._summary: Mapping[str, Any] = {}

    def begin(self, log: RunLog) -> None:
        """The server has opened the run's log."""
        self._config, self._round = log.config, log.next_round
        self.write()

    def note(self, event: Mapping[str, Any]) -> None:
        """An event of the server."""
        if event["event"] == "round":
            self._round = event["round"] + 1
        elif event["event"] == "finished":
            self._summary = event["summary"]

    def write(self) -> None:
        """Write the page as things stand; a folder that takes no file goes without."""
        if self._config is not None:
            with suppress(OSError):
                atomic.write(self._folder / PAGE, ["\n".join(self._lines(self._config)).encode()])

    def _lines(self, config: RunConfig) -> Iterator[str]:
        yield "A run of gradwire. Its server writes this page when it starts and when it ends."
        yield ""
        yield from _columns(dict(self._facts(config)))
        yield ""
        yield "Files"
        yield from _columns(FILES)
        yield ""
        yield "Commands, to be called in this folder"
        allowed = _allowed(config)
        yield from _columns({command.format(task=allowed): why for command, why in COMMANDS.items()})
        yield ""

    def _facts(self, config: RunConfig) -> Iterator[tuple[str, str]]:
        for name in ("task", "codec", "optimizer", "local"):
            if value := getattr(config, name):
                yield name, value
        yield "workers", str(config.workers)
        yield "rounds", f"{self._round} of {config.rounds}"
        if self._summary.get("metrics"):
            yield from by_name(self._summary).items()
        elif self._summary:
            yield from (("evaluation", words) for words in outcome_in_words(self._summary))
        if best := self._summary.get("best"):
            yield "best", f"{best['metric']} {number(best['value'])} after round {best['round']}"
        if self._summary:
            yield "digest", self._summary["digest"]


def _allowed(config: RunConfig) -> str:
    """The flag without which no command runs the task's code."""
    from gradwire.worker.tasks import parse_task

    target = getattr(parse_task(config.task), "target", None)
    return f" --allow-task {target}" if target else ""


def _columns(rows: Mapping[str, str]) -> Iterator[str]:
    width = max(map(len, rows))
    return (f"  {name:{width}}  {text}" for name, text in rows.items())
