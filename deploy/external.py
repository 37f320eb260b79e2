"""Codecs, optimizers and point sets from a user's own files: what a command line lets the process use."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from gradwire.common.training.settings import described

_HELP = "package.module:Class of your own {}, which specs may name; may be repeated"
_POINTS = ".npy file of a point set, which specs may name by its digest; may be repeated"

AllowCodec = Annotated[list[str] | None, typer.Option(help=f"{_HELP.format('codec')}.")]
PointFiles = Annotated[
    list[Path] | None, typer.Option("--points", metavar="FILE", help=f"{_POINTS}.", show_default=False)
]
AllowOptimizer = Annotated[list[str] | None, typer.Option(help=f"{_HELP.format('optimizer')}.")]


@dataclass(frozen=True, kw_only=True)
class ExternalOptions:
    """The options of commands that build the codec and the optimizer of a run."""

    allow_codec: tuple[str, ...] = field(default=(), metadata=described(_HELP.format("codec")))
    allow_optimizer: tuple[str, ...] = field(default=(), metadata=described(_HELP.format("optimizer")))

    points: tuple[str, ...] = field(default=(), metadata=described(_POINTS, metavar="FILE"))

    def import_allowed(self) -> None:
        """Import and register what was allowed, and read the point sets.

        Raises:
            SpecError: a target cannot be imported, or is no such class.
            ConfigError: a file that is no point set.
        """
        import_allowed(self.allow_codec, self.allow_optimizer, self.points)

    @property
    def flags(self) -> tuple[str, ...]:
        """The same options for the command line of a child process."""
        return (
            *(f"--allow-codec={target}" for target in self.allow_codec),
            *(f"--allow-optimizer={target}" for target in self.allow_optimizer),
            *(f"--points={path}" for path in self.points),
        )


def import_allowed(
    codecs: Collection[str] | None,
    optimizers: Collection[str] | None = None,
    points: Collection[Path | str] | None = None,
) -> None:
    """Import and register codecs and optimizers, each ``package.module:Class``, and point sets; None for none.

    Args:
        codecs: to import.
        optimizers: to import.
        points: .npy files of point sets.

    Raises:
        SpecError: a target cannot be imported, or is no such class.
        ConfigError: a file that is no point set.
    """
    from gradwire.common.codecs import allow_codecs
    from gradwire.common.training.optimizers import allow_optimizers
    from gradwire.common.training.point_files import read_all_points

    allow_codecs(codecs or ())
    allow_optimizers(optimizers or ())
    read_all_points(points or ())
