"""The error feedback of all workers that a process hosts, and their checkpoints."""

from __future__ import annotations

from pathlib import Path

from gradwire.common.arrays.compat import Array
from gradwire.common.codecs import AnyCodec
from gradwire.common.randomness import Coins
from gradwire.worker.feedback import ErrorFeedback


class Memories:
    """One memory a worker; with a folder, each is on disk before a payload made from it leaves."""

    def __init__(self, codec: AnyCodec, run_id: bytes, workers: tuple[int, ...], folder: Path | None) -> None:
        """Empty memories, or those that the folder holds.

        Raises:
            SpecError: the codec does not contract.
            LogError: a checkpoint that is damaged, or of another run or codec.
        """
        run = run_id.hex()
        self._folder = folder
        self._of = {worker: ErrorFeedback(codec, run=run, worker=worker) for worker in workers}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for worker, memory in self._of.items():
                if self._path(folder, worker).exists():
                    memory.restore(self._path(folder, worker))

    def encode(self, worker: int, gradient: Array, round_: int, coins: Coins, shared: int | None) -> bytes:
        """The payload of a worker's gradient and memory; as ``ErrorFeedback.encode``."""
        payload = self._of[worker].encode(gradient, round_, coins, shared=shared)
        self._save(worker)
        return payload

    def kept(self, worker: int, round_: int) -> bytes | None:
        """A worker's last payload, where it was of that round and has not been given back."""
        return self._of[worker].kept(round_)

    def give_back(self, worker: int, payload: bytes, round_: int, shared: int | None) -> None:
        """Return what a worker's payload carried: its round was committed without it."""
        self._of[worker].give_back(payload, round_, shared=shared)
        self._save(worker)

    def _save(self, worker: int) -> None:
        if self._folder is not None:
            self._of[worker].save(self._path(self._folder, worker))

    @staticmethod
    def _path(folder: Path, worker: int) -> Path:
        return folder / f"feedback-{worker}"
