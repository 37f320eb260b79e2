"""Every format by name, and the one that a file is of."""

from __future__ import annotations

from pathlib import Path

from gradwire.common.errors import DataError
from gradwire.common.spec import did_you_mean
from gradwire.worker.data.own.base import Format, content_of
from gradwire.worker.data.own.csv import CsvFormat
from gradwire.worker.data.own.images import ImagesFormat
from gradwire.worker.data.own.libsvm import LibsvmFormat
from gradwire.worker.data.own.npz import NpzFormat
from gradwire.worker.data.own.parquet import ParquetFormat

FORMATS: dict[str, type[Format]] = {
    cls.name: cls for cls in (CsvFormat, NpzFormat, LibsvmFormat, ParquetFormat, ImagesFormat)
}


def format_named(name: str) -> type[Format]:
    """The format of that name.

    Raises:
        DataError: there is none.
    """
    if name not in FORMATS:
        raise DataError(f"unknown format {name!r}{did_you_mean(name, FORMATS)}")
    return FORMATS[name]


def format_of(path: Path) -> Format:
    """The format of a file by its ending, with the options that fit it; of a folder, images.

    Raises:
        DataError: none has such an ending, or the file is something else.
    """
    if path.is_dir():
        return ImagesFormat.of(path)
    for format in FORMATS.values():
        if path.suffix.lower() in format.suffixes:
            require_content(path, format)
            return format.of(path)
    endings = ", ".join(suffix for format in FORMATS.values() for suffix in format.suffixes)
    raise DataError(
        f"{path}: cannot tell its format by its ending, expected one of {endings}, or a folder of images"
    )


def require_content(path: Path, format: type[Format] | Format) -> None:
    """Refuse what is plainly no file of this format.

    Raises:
        DataError: it is missing, empty or something else.
    """
    found = content_of(path)
    if found != format.content:
        raise DataError(
            f"{path} is {found}, expected {format.content} ({format.name}): is it the right file?"
        )
