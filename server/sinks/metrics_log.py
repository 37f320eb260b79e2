"""Points as JSON lines, one per point, with the fields of MLflow's ``Metric``: key, value, timestamp, step."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from gradwire.common.errors import ConfigError
from gradwire.common.system.results import ResultFile
from gradwire.server.sinks.base import Sink
from gradwire.server.sinks.points import Point, RunSoFar

FIELDS = {"key", "value", "timestamp", "step"}
LONGEST_LINE = 4096  # bytes; ours are shorter


class MetricsLog(Sink):
    """Appends to a file. A line is written whole, or cut off by a crash: then the next server removes what is left."""

    _file: IO[bytes] | None = None

    def check(self) -> None:
        ResultFile(str(self.target)).check()
        if self._is_regular() and not os.access(self.target, os.R_OK | os.W_OK):
            raise ConfigError(
                f"cannot write {self.target}: this user may not read and write it, name another file"
            )
        for _ in self._lines():  # something else than points is found now, not when the run has begun
            break

    def read(self, run: RunSoFar) -> dict[str, int]:
        newest: dict[str, int] = {}
        losses: dict[int, float] = {}
        for line in self._lines():
            newest[line["key"]] = max(line["step"], newest.get(line["key"], -1))
            if line["key"] == "loss":
                losses = {line["step"]: line["value"]}
        if newest and not run.history:
            raise self._of_another_run()
        for step, loss in losses.items():
            if step in run.history and run.history[step].get("loss") != loss:
                raise self._of_another_run()
        return newest

    def open(self, run: RunSoFar) -> None:
        self._file = self.target.open("ab", buffering=0)
        if self._is_regular():
            self._file.truncate(self._whole())

    def write(self, points: list[Point]) -> None:
        assert self._file is not None
        now = time.time_ns() // 1_000_000
        rows = ({"key": p.name, "value": p.value, "timestamp": now, "step": p.step} for p in points)
        rest = memoryview("".join(json.dumps(row) + "\n" for row in rows).encode())
        while rest:
            rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _of_another_run(self) -> ConfigError:
        return ConfigError(
            f"{self.target} has the metrics of another run: name another file with --metrics-log"
        )

    def _is_regular(self) -> bool:
        return self.target.exists() and stat.S_ISREG(self.target.stat().st_mode)

    def _lines(self) -> Iterator[dict[str, Any]]:
        """The points in the file, without an incomplete line at its end."""
        if not self._is_regular():
            return
        with self.target.open("rb") as file:
            while (line := file.readline(LONGEST_LINE)).endswith(b"\n"):
                yield self._parsed(line)
            if len(line) >= LONGEST_LINE:
                raise self._not_ours()

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise self._not_ours() from error
        if not isinstance(row, dict) or row.keys() != FIELDS or not isinstance(row["step"], int):
            raise self._not_ours()
        return row

    def _not_ours(self) -> ConfigError:
        return ConfigError(
            f"{self.target} has something else in it than metrics, one JSON object per line: name another file with "
            "--metrics-log"
        )

    def _whole(self) -> int:
        """Bytes of the complete lines."""
        size = self.target.stat().st_size
        with Path(self.target).open("rb") as file:
            file.seek(max(0, size - LONGEST_LINE))
            tail = file.read()
        return size - len(tail) + tail.rfind(b"\n") + 1
