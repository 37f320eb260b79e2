"""Points as event files of TensorBoard, in a folder of the run's own.

The folder is named after the run: runs that share ``--tensorboard DIR`` stand side by side in TensorBoard, and a run
that is continued continues its curves. Records and messages are those of the ``tensorboard`` package.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gradwire.common.errors import ConfigError
from gradwire.server.sinks.base import Sink
from gradwire.server.sinks.points import Point, RunSoFar

EVENT_FILE = "events.out.tfevents."
LONGEST_RECORD = 1 << 20  # bytes; ours are shorter


class TensorBoard(Sink):
    """Writes one event file per start of the server."""

    _records: Any = None

    def check(self) -> None:
        if find_spec("tensorboard") is None:
            raise ConfigError(
                "--tensorboard needs the tensorboard package: pip install 'gradwire[tensorboard]', or leave it out"
            )
        # The nearest folder that exists is where others are made.
        place = next(folder for folder in (self.target, *self.target.absolute().parents) if folder.exists())
        if not place.is_dir():
            raise ConfigError(
                f"cannot write event files to {self.target}: {place} is a file, expected a folder"
            )
        if not os.access(place, os.W_OK | os.X_OK):
            raise ConfigError(
                f"cannot write event files to {self.target}: this user may not write in {place}, name another folder"
            )

    def read(self, run: RunSoFar) -> dict[str, int]:
        newest: dict[str, int] = {}
        for path in sorted(self._folder(run).glob(f"{EVENT_FILE}*")):
            for event in _events(path):
                for value in event.summary.value:
                    newest[value.tag] = max(event.step, newest.get(value.tag, -1))
        return newest

    def open(self, run: RunSoFar) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = self._folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time_ns()
        # As others name them: TensorBoard reads them in this order. The last part keeps two starts in a second apart.
        name = f"{EVENT_FILE}{now // 10**9:010}.{socket.gethostname()}.{os.getpid()}.{now % 10**9:09}"
        self._records = RecordWriter((folder / name).open("xb"))
        self._records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        self._records.flush()

    def write(self, points: list[Point]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        now, by_step = time.time(), dict[int, list[Point]]()
        for point in points:
            by_step.setdefault(point.step, []).append(point)
        for step, together in by_step.items():
            values = [Summary.Value(tag=p.name, simple_value=p.value) for p in together]
            event = Event(wall_time=now, step=step, summary=Summary(value=values))
            self._records.write(event.SerializeToString())
        self._records.flush()

    def close(self) -> None:
        if self._records is not None:
            self._records.close()

    def _folder(self, run: RunSoFar) -> Path:
        return self.target / run.run_id[:8]


def _events(path: Path) -> Iterator[Any]:
    """The events in a file, up to a record that a crash has cut off: length, checksum, data, checksum."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    with path.open("rb") as file:
        while len(header := file.read(12)) == 12:
            (length,) = struct.unpack("<Q", header[:8])
            if length > LONGEST_RECORD or len(record := file.read(length + 4)) < length + 4:
                return
            try:
                yield Event.FromString(record[:length])
            except DecodeError:
                return
