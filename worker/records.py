"""The durable records of the logical workers that a process hosts, in its state directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gradwire.common.arrays.compat import Array, to_host
from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import LogError
from gradwire.common.system.atomic import make_folder
from gradwire.common.training.local import LocalSteps
from gradwire.worker.record_file import Record, Sent, read_record, write_record

PREFIX = "record-"  # of the files, before the worker's id


class Records:
    """One file per worker, ``record-<id>``; each belongs to one run, codec and local steps.

    Attributes:
        bytes_written: by this process.
    """

    def __init__(self, folder: Path, owner: Mapping[str, str], *, always: bool = True) -> None:
        """Make the folder if it is missing.

        Args:
            folder: the state directory of this process, which no other process writes to.
            owner: see ``owner_of``; a record that names another one is refused.
            always: whether a worker that remembers nothing has a record too, for its last payload.
        """
        make_folder(folder)
        self._folder, self._owner, self._always = folder, owner, always
        self._rounds, self._newest = 0, -1
        self.bytes_written = 0

    def load(self, worker: int) -> Record | None:
        """A worker's record; None where it has none yet.

        Raises:
            LogError: it is damaged, of another release, or belongs to something else.
        """
        before = self._folder / f"feedback-{worker}"
        if before.exists():
            raise LogError(
                f"{before} is the error feedback of an earlier release (0.2): finish its run with that release, "
                "or remove the file"
            )
        path = self._path(worker)
        if not path.exists():
            return None
        record = read_record(path)
        self._check_owner(path, record, worker)
        return record

    def save(self, worker: int, round_: int, last: Sent | None, arrays: Mapping[str, Array]) -> None:
        """Replace a worker's record, durably; nothing is written of a worker that remembers nothing, unless ``always``.

        Args:
            worker: the worker's id.
            round_: its next round.
            last: what it sent last, if it may have to be sent again.
            arrays: its memories, NumPy or torch.

        Raises:
            LogError: the disk refused it; the record is as it was.
        """
        if not arrays and not self._always:
            return
        on_host = {name: to_host(array) for name, array in arrays.items()}
        record = Record(self._owned_by(worker), round_, last, on_host)
        self.bytes_written += write_record(self._path(worker), record)
        self._rounds += round_ != self._newest
        self._newest = round_

    @property
    def bytes_per_round(self) -> float:
        """Mean bytes that this process wrote in a round, for all of its workers."""
        return self.bytes_written / max(self._rounds, 1)

    def _path(self, worker: int) -> Path:
        return self._folder / f"{PREFIX}{worker}"

    def _owned_by(self, worker: int) -> dict[str, str]:
        return {**self._owner, "worker": str(worker)}

    def _check_owner(self, path: Path, record: Record, worker: int) -> None:
        expected = self._owned_by(worker)
        if record.owner == expected:
            return
        what = next((name for name in expected if record.owner.get(name) != expected[name]), "something else")
        raise LogError(
            f"the record in {path} is of the {what} {record.owner.get(what)}, not of {expected.get(what)}: "
            "remove it if that run is over, or give each run a --state-dir of its own"
        )


def bytes_per_round(folder: Path) -> int:
    """Bytes of the records of all worker processes whose state directories are in a folder.

    A round replaces those of the workers that take part in it.
    """
    return sum(path.stat().st_size for path in folder.glob(f"*/{PREFIX}*") if path.is_file())


def owner_of(run_id: bytes, codec: AnyCodec, local: LocalSteps | None, *, feedback: bool) -> dict[str, str]:
    """What a record belongs to, in words: memories of anything else would be wrong here."""
    return {
        "run": run_id.hex(),
        "codec": f"{codec.spec} at {codec.dim} coordinates",
        "local steps": local.spec if local is not None else "none",
        "error feedback": "error" if feedback else "none",
    }
