"""Files of named arrays; the ending of the name says which form a file has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from gradwire.common.errors import ConfigError
from gradwire.common.system import atomic, results
from gradwire.common.weights.arrays import Weights


class WeightFile(ABC):
    """A form of file, and one file of it.

    Attributes:
        ending: of the names of such files.
    """

    ending: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self.path = path

    def require(self) -> None:  # noqa: B027 - most need nothing
        """Check that the packages which this form needs are there.

        Raises:
            ConfigError: one is missing.
        """

    @abstractmethod
    def parts(self, weights: Weights, about: Mapping[str, str]) -> Sequence[bytes]:
        """The content of a file with these arrays and this metadata, in pieces."""

    @abstractmethod
    def read(self) -> Weights:
        """The arrays in the file.

        Raises:
            ConfigError: it cannot be read, or is something else.
        """

    def notes(self, weights: Weights) -> list[str]:
        """What the file will not show of these arrays, a line each."""
        return []

    def metadata(self) -> dict[str, str]:
        """What ``write`` was given as ``about``; empty where this form keeps none."""
        return {}

    def check(self) -> None:
        """Check that ``write`` can succeed; nothing is changed.

        Raises:
            ConfigError: a package is missing, or no file can be made at this place.
        """
        self.require()
        require_place(self.path)

    def write(self, weights: Weights, about: Mapping[str, str]) -> None:
        """Write the arrays; a file that is there is replaced whole, or left as it was.

        Args:
            weights: the arrays.
            about: further facts by name, where this form has a place for them.

        Raises:
            ConfigError: as ``check``, or the disk refused it.
        """
        self.check()
        write_whole(self.path, self.parts(weights, about))

    def read_bytes(self) -> bytes:
        """The whole file.

        Raises:
            ConfigError: there is none, or it cannot be read.
        """
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {self.path}: {error.strerror}") from error

    def malformed(self, why: str) -> ConfigError:
        """The error to raise where a file is not of this form."""
        return ConfigError(f"{self.path} is not a {self.ending} file of arrays: {why}")


def require_place(path: Path) -> None:
    """Check that a file can be made at a place; nothing is changed.

    Raises:
        ConfigError: it cannot.
    """
    if path.is_dir():
        raise ConfigError(f"cannot write {path}: it is a folder, name a file in it")
    results.require_place(path, str(path))


def write_whole(path: Path, parts: Sequence[bytes]) -> None:
    """Replace a file, or leave it as it was.

    Raises:
        ConfigError: the disk refused it.
    """
    try:
        atomic.write(path, parts)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; name another file") from error
