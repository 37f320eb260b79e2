"""Codecs and optimizers from a user's own files: what a command line lets the process import."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated

import typer

from gradwire.common.training.settings import described

_HELP = "package.module:Class of your own {}, which specs may name; may be repeated"

AllowCodec = Annotated[list[str] | None, typer.Option(help=f"{_HELP.format('codec')}.")]
AllowOptimizer = Annotated[list[str] | None, typer.Option(help=f"{_HELP.format('optimizer')}.")]


@dataclass(frozen=True, kw_only=True)
class ExternalOptions:
    """The options of commands that build the codec and the optimizer of a run."""

    allow_codec: tuple[str, ...] = field(default=(), metadata=described(_HELP.format("codec")))
    allow_optimizer: tuple[str, ...] = field(default=(), metadata=described(_HELP.format("optimizer")))

    def import_allowed(self) -> None:
        """Import and register what was allowed.

        Raises:
            SpecError: a target cannot be imported, or is no such class.
        """
        import_allowed(self.allow_codec, self.allow_optimizer)

    @property
    def flags(self) -> tuple[str, ...]:
        """The same options for the command line of a child process."""
        return (
            *(f"--allow-codec={target}" for target in self.allow_codec),
            *(f"--allow-optimizer={target}" for target in self.allow_optimizer),
        )


def import_allowed(codecs: Collection[str] | None, optimizers: Collection[str] | None = None) -> None:
    """Import and register codecs and optimizers, each ``package.module:Class``; None for none.

    Raises:
        SpecError: a target cannot be imported, or is no such class.
    """
    from gradwire.common.codecs import allow_codecs
    from gradwire.common.training.optimizers import allow_optimizers

    allow_codecs(codecs or ())
    allow_optimizers(optimizers or ())
