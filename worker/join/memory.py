"""Two flat vectors that a user's program and its wire process share: the run's model, and the update."""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class SharedVectors:
    """Float32 vectors in an anonymous file, which is gone once both processes are.

    Neither process writes to one while the other reads it: the program waits for an answer to each message, and the
    wire process writes ``model`` only to answer.

    Attributes:
        model: [dim], what the program's model is to be set to; written by the wire process.
        update: [dim], what the program hands over; written by the program.
    """

    def __init__(self, file: int, dim: int) -> None:
        """Map the file of ``create``; ``file`` is its descriptor and stays open."""
        self.file = file
        vectors = np.frombuffer(mmap.mmap(file, 8 * dim), np.float32)
        self.model: NDArray[np.float32] = vectors[:dim]
        self.update: NDArray[np.float32] = vectors[dim:]

    @classmethod
    def create(cls, dim: int) -> SharedVectors:
        """Vectors of zeros, in memory where the system has anonymous files there."""
        if hasattr(os, "memfd_create"):
            file = os.memfd_create("gradwire", os.MFD_CLOEXEC)
        else:
            file, path = tempfile.mkstemp(prefix="gradwire-")
            Path(path).unlink()
        os.ftruncate(file, 8 * dim)
        return cls(file, dim)

    def close(self) -> None:
        """Close the descriptor; the memory is freed with the last array that refers to it."""
        os.close(self.file)
