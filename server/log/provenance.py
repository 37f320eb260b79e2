"""What the model in a log was computed with: specs with every default written out, and the releases that wrote it.

A later release may have other defaults. It could then fold the same rounds into other bits, so what is stored here is
compared before a log is continued.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

from gradwire.common.errors import LogError
from gradwire.common.transport.protocol import PROTOCOL


class Resolved(NamedTuple):
    """A run's configuration at its dimension.

    Attributes:
        dim: number of parameters.
        codec_spec: canonical, for ``dim`` coordinates.
        codec_fingerprint: 16 bytes.
        optimizer_spec: canonical.
        downlink_spec: canonical: what ``auto`` chose, where that was configured.
    """

    dim: int
    codec_spec: str
    codec_fingerprint: bytes
    optimizer_spec: str
    downlink_spec: str


class Release(NamedTuple):
    """A release of gradwire.

    Attributes:
        version: of the package.
        protocol: the number that it announces in Join.
    """

    version: str
    protocol: int


def this_release() -> Release:
    """The release that is running."""
    return Release(version("gradwire"), PROTOCOL)


def require_same(stored: Resolved, found: Resolved, writers: Sequence[Release]) -> None:
    """Check that a log may be continued.

    Args:
        stored: what the log was begun with.
        found: what its configuration amounts to here.
        writers: the releases that wrote the log, the latest last.

    Raises:
        LogError: the two differ.
    """
    names = {"optimizer_spec": "optimizer", "dim": "dim", "codec_spec": "codec", "downlink_spec": "downlink"}
    for field, what in {**names, "codec_fingerprint": "codec's fingerprint"}.items():
        was, now = getattr(stored, field), getattr(found, field)
        if was != now:
            was, now = (value.hex() if isinstance(value, bytes) else value for value in (was, now))
            raise LogError(
                f"the run's {what} is {now} here, but {was} in its log: "
                f"resume it with the installation that wrote it, gradwire {writers[-1].version}"
            )
