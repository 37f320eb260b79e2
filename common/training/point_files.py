"""Point sets in a user's files, for specs that name them by digest."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gradwire.common.codecs.forms.known_points import register_points
from gradwire.common.errors import ConfigError


def read_points(path: Path | str) -> str:
    """Make the point set of a file known to this process; returns its digest.

    Args:
        path: a .npy file of an array [points, coordinates], as ``numpy.save`` writes it.

    Raises:
        ConfigError: no such file, no array, or an array that is no point set.
    """
    try:
        with Path(path).open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise ConfigError(f"the point set {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(
            f"the point set {path} is no .npy file of numbers ({' '.join(str(error).split())}): write it with "
            f"numpy.save(path, array)"
        ) from error
    try:
        return register_points(array)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def read_all_points(paths: Iterable[Path | str]) -> None:
    """Make the point sets of several files known.

    Raises:
        ConfigError: as ``read_points``.
    """
    for path in paths:
        read_points(path)
