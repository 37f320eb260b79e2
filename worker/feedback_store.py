"""The error feedback of all workers that a process hosts, and their checkpoints."""

from __future__ import annotations

from pathlib import Path

from gradwire.common.arrays.compat import Array
from gradwire.common.codecs import AnyCodec
from gradwire.common.randomness import Coins
from gradwire.common.system.atomic import make_folder
from gradwire.worker.feedback import ErrorFeedback


class FeedbackStore:
    """One error feedback per worker; with a folder, each is on disk before a payload made from it leaves."""

    def __init__(self, codec: AnyCodec, run_id: bytes, workers: tuple[int, ...], folder: Path | None) -> None:
        """Empty memories, or those that the folder holds.

        Args:
            codec: has to contract.
            run_id: of the run that the memories belong to.
            workers: ids of the workers.
            folder: keeps the checkpoints; None keeps the memories in this process alone.

        Raises:
            SpecError: the codec does not contract.
            LogError: a checkpoint is damaged, or of another run or codec.
        """
        run = run_id.hex()
        self._folder = folder
        self._of = {worker: ErrorFeedback(codec, run=run, worker=worker) for worker in workers}
        if folder is not None:
            make_folder(folder)
            for worker, feedback in self._of.items():
                if self._path(folder, worker).exists():
                    feedback.restore(self._path(folder, worker))

    def encode(
        self, worker: int, gradient: Array, round_: int, coins: Coins, *, shared: int | None = None
    ) -> bytes:
        """The payload of a worker's gradient plus its memory, which is on disk by then.

        Args:
            worker: the worker's id.
            gradient: floating array [dim], NumPy or torch.
            round_: the round that the payload is for.
            coins: private coins of this worker and round.
            shared: public seed of this worker and round, for codecs that need one.

        Raises:
            TaskError, DomainError: as ``ErrorFeedback.encode``.
            LogError: the disk refused the checkpoint.
        """
        payload = self._of[worker].encode(gradient, round_, coins, shared=shared)
        self._save(worker)
        return payload

    def last_payloads(self, round_: int) -> dict[int, bytes]:
        """By worker, the last payload of those whose last one was of that round and was not added back."""
        payloads = {worker: feedback.last_payload(round_) for worker, feedback in self._of.items()}
        return {worker: payload for worker, payload in payloads.items() if payload is not None}

    def add_back(self, worker: int, payload: bytes, round_: int, shared: int | None) -> None:
        """Add what a payload carried back to its worker's memory: the round was committed without it.

        Args:
            worker: the worker's id.
            payload: what the worker sent, or would have sent.
            round_: the round that it was for.
            shared: public seed of this worker and round, for codecs that need one.
        """
        self._of[worker].add_back(payload, round_, shared=shared)
        self._save(worker)

    def _save(self, worker: int) -> None:
        if self._folder is not None:
            self._of[worker].save(self._path(self._folder, worker))

    @staticmethod
    def _path(folder: Path, worker: int) -> Path:
        return folder / f"feedback-{worker}"
