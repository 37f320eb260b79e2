"""Results of an experiment that is not finished: one line of JSON each, written when it is measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gradwire.common.errors import ConfigError
from gradwire.common.system.results import to_json


def key_of(params: Mapping[str, Any]) -> str:
    """A case as text: its parameters in the order of their names.

    >>> key_of({"d": 100, "codec": "float32"})
    '{"codec": "float32", "d": 100}'
    """
    return json.dumps(params, sort_keys=True)


class PartialResults:
    """The results so far, in a file that holds those of one fingerprint.

    Attributes:
        results: by the case's key.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Read what is there; a file with another fingerprint is begun anew.

        Raises:
            ConfigError: the file cannot be read or written.
        """
        self.results: dict[str, Any] = {}
        self._path = path
        head = json.dumps({"fingerprint": fingerprint})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
            # A line without an end was being written when the program was killed.
            whole = [line for line in lines if line.endswith("\n")]
            if not whole or whole[0].strip() != head:
                whole = [f"{head}\n"]
            for line in whole[1:]:
                row = json.loads(line)
                self.results[row["key"]] = row["result"]
            path.write_text("".join(whole), encoding="utf-8")
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}; pass another --out") from error

    def add(self, key: str, result: Any) -> Any:
        """Store a result; what JSON gives back of it."""
        text = to_json({"key": key, "result": result})
        self._file.write(f"{text}\n")
        self._file.flush()
        self.results[key] = json.loads(text)["result"]
        return self.results[key]

    def remove(self) -> None:
        """Delete the file: the experiment is finished."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self.results:  # refused before anything was measured: nothing is left behind
            self._path.unlink(missing_ok=True)
