"""Results as standard JSON, in a file that is complete or not there."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradwire.common.errors import ConfigError
from gradwire.common.system import atomic


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON of a result; numbers that are not finite become null, because JSON cannot spell them.

    >>> to_json({"loss": math.nan, "history": [1.5, math.inf]})
    '{"loss": null, "history": [1.5, null]}'
    """
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


@dataclass(frozen=True)
class ResultFile:
    """A file that the user named for a result, checked before the result is computed.

    A regular file is replaced atomically, links to it followed; a FIFO or a device is written to.
    """

    path: str

    def check(self) -> None:
        """Check that ``write`` can succeed; nothing is changed.

        Raises:
            ConfigError: a folder, a place that does not exist or cannot be written, or where standard output goes.
        """
        mode = self._mode()
        if mode is None or stat.S_ISREG(mode):
            self._check_replaceable()
        elif stat.S_ISDIR(mode):
            raise ConfigError(f"cannot write {self.path}: it is a folder, name a file in it")
        elif stat.S_ISSOCK(mode) or not os.access(self.path, os.W_OK):
            raise ConfigError(f"cannot write {self.path}: this user may not, name another file")

    def write(self, text: str) -> None:
        """Write the text; a regular file is replaced completely or left as it was.

        Raises:
            ConfigError: the disk, or the reader of a FIFO, refused it.
        """
        try:
            mode = self._mode()
            if mode is None or stat.S_ISREG(mode):
                self._replace(text)
            else:
                with Path(self.path).open("w", encoding="utf-8") as target:
                    target.write(text)
        except OSError as error:
            raise ConfigError(f"cannot write {self.path}: {error.strerror}; name another file") from error

    def _mode(self) -> int | None:
        try:
            return Path(self.path).stat().st_mode
        except FileNotFoundError:
            return None  # a link to a missing file is followed too: the file is made there
        except OSError as error:
            raise ConfigError(f"cannot write {self.path}: {error.strerror}; name another file") from error

    def _target(self) -> Path:
        return Path(os.path.realpath(self.path))

    def _check_replaceable(self) -> None:
        target = self._target()
        if target.exists() and any(_is(target, descriptor) for descriptor in (1, 2)):
            raise ConfigError(f"{self.path} is where this program's own output goes: name another file")
        require_place(target, self.path)

    def _replace(self, text: str) -> None:
        target = self._target()
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
        atomic.write(target, [text.encode()], mode=mode)


def require_place(target: Path, named: str) -> None:
    """Check that a file can be made, or replaced, at a place; nothing is changed.

    Args:
        target: the file.
        named: as the user wrote it, for the error.

    Raises:
        ConfigError: its folder does not exist, or cannot be written.
    """
    if not target.parent.is_dir():
        raise ConfigError(f"cannot write {named}: its folder does not exist, make it first")
    try:
        atomic.require_replaceable(target)
    except OSError as error:
        raise ConfigError(
            f"cannot write {named}: no file can be made in {target.parent} ({error.strerror})"
        ) from error


def _is(target: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(target.stat(), os.fstat(descriptor))
    except OSError:  # the descriptor is closed
        return False
