"""Reading data files, packed or not, with their checksums."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gradwire.common.errors import DataError

_OPENERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".xz": lzma.decompress}


@dataclass(frozen=True)
class PublicFile:
    """A file as its publisher serves it: the same bytes at every address.

    Attributes:
        urls: addresses to try in this order.
        sha256: hex digest of the bytes served.
        nbytes: their number, None where it is not known.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str
    nbytes: int | None = None


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, expected: PublicFile) -> None:
    """Refuse a file whose bytes are not the published ones.

    Raises:
        DataError: the checksum differs.
    """
    found = sha256_of(path)
    if found != expected.sha256:
        raise DataError(
            f"{path} is not the published file: its sha256 is {found[:16]}…, expected {expected.sha256[:16]}…; "
            f"remove it and fetch it again"
        )


def read_unpacked(path: Path) -> bytes:
    """The contents of a file, unpacked if its name ends in .gz or .xz.

    Raises:
        DataError: the file cannot be read, or is not packed as its ending promises.
    """
    try:
        return _OPENERS.get(path.suffix, bytes)(path.read_bytes())
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"cannot read {path}: {error}; replace the file") from error
