"""The point sets of users, by digest: a spec names a digest, and each process is given the points themselves.

Nothing that arrives over a network adds to them: the local command line does (``--points FILE``), or the user's program
(``gradwire.register_points``).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gradwire.common.arrays.compat import F64
from gradwire.common.codecs.forms.hull import Reach, reach
from gradwire.common.codecs.forms.point_set import PointSet
from gradwire.common.errors import ConfigError, SpecError

DIGEST_DIGITS = 32  # hexadecimal digits of SHA-256 that a digest has: 128 bits
MAX_VALUES = 1 << 18  # points times coordinates; a linear program of that size takes half a second
TOUCHING = 1e-6  # how far below 1 a reach may be that float32 has rounded
MARGIN = 1e-9  # between a vector and the hull's boundary


@dataclass(frozen=True, eq=False)
class KnownPoints:
    """A user's points, and what is found out about their hull.

    Attributes:
        digest: ``sha256:`` and 32 hexadecimal digits.
        points: float64 [n, dim], float32 values, not writable.
    """

    digest: str
    points: F64

    @cached_property
    def reach(self) -> Reach:
        """How far the hull reaches in its shortest direction."""
        return reach(self.points)

    @property
    def refuted(self) -> bool:
        """Whether the hull is known not to contain the unit ball ([V] Theorem 6)."""
        return self.reach.high < 1 - TOUCHING

    @property
    def proven(self) -> bool:
        """Whether the hull is known to contain the unit ball, up to the rounding of its points to float32."""
        return self.reach.low >= 1 - TOUCHING

    @cached_property
    def usable(self) -> PointSet:
        """The set for a codec.

        Raises:
            SpecError: the hull does not contain the unit ball; the message has a direction in which it is too short.
        """
        low, high, _ = self.reach
        if self.refuted:
            raise SpecError(f"points: {self.why_refuted}")
        near = low if self.proven else high
        lift = 1.0 if near >= 1 + MARGIN else (1 + MARGIN) / near
        largest = 1.0 if self.proven else 1 / (lift * min(low, high))
        return PointSet(self.points, lift, largest, breaks_ties=True)

    @property
    def why_refuted(self) -> str:
        """One line on the direction that [V] Theorem 6 fails in."""
        _, high, direction = self.reach
        where = f"in the direction {_short(direction)}"
        if high <= TOUCHING:
            return (
                f"the origin is not inside the hull of {self.digest}: {where} no point has a positive component; "
                f"add points there"
            )
        return (
            f"the hull of {self.digest} does not contain the unit ball: {where} it ends at {high:.6g}, expected at "
            f"least 1 ([V] Theorem 6); multiply the points by {_rounded_up(1 / high)}"
        )


_KNOWN: dict[str, KnownPoints] = {}
_EXAMPLES: set[str] = set()  # digests of the conformance tests' sets, which no message lists


def register_points(points: Any) -> str:
    """Make a point set known to this process, for specs that name it: ``points(DIGEST)``.

    Args:
        points: [n, dim] numbers, at least dim + 1 points and at most 2**18 numbers; used as float32.

    Returns:
        Its digest, which depends on the shape and the float32 values alone: ``sha256:`` and 32 hexadecimal digits.

    Raises:
        ConfigError: another shape or type, a value that float32 cannot hold, too few points or too many.

    >>> register_points([[4, 0], [-2, 4], [-2, -4]])
    'sha256:22147ce47988565dbfd2519ea9fc43fd'
    """
    values = _checked(points)
    digest = digest_of(values)
    if digest not in _KNOWN:
        kept = values.astype(np.float64)
        kept.setflags(write=False)
        _KNOWN[digest] = KnownPoints(digest, kept)
    _EXAMPLES.discard(digest)
    return digest


def known_points(digest: str) -> KnownPoints:
    """The point set with that digest.

    Raises:
        SpecError: this process was not given it.
    """
    if digest in _KNOWN:
        return _KNOWN[digest]
    given = ", ".join(registered_points())
    raise SpecError(
        f"points: no point set {digest} here, where {f'there is only {given}' if given else 'none was given'}: pass "
        f"--points FILE, or points=FILE to gradwire.join, the .npy file that the run's other processes have"
    )


def registered_points() -> tuple[str, ...]:
    """The digests of the user's point sets that this process knows, in the order in which they came."""
    return tuple(digest for digest in _KNOWN if digest not in _EXAMPLES)


def register_example(points: Any) -> str:
    """``register_points`` for a set of the conformance tests."""
    digest = register_points(points)
    _EXAMPLES.add(digest)
    return digest


def digest_of(points: np.ndarray[Any, np.dtype[np.float32]]) -> str:
    """The digest of float32 [n, dim]: of the two lengths, 8 bytes each, and the values, little-endian, row by row."""
    data = struct.pack("<QQ", *points.shape) + points.astype("<f4").tobytes()
    return f"sha256:{hashlib.sha256(data).hexdigest()[:DIGEST_DIGITS]}"


def _checked(points: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The points as float32 [n, dim], without negative zeros."""
    given = np.asarray(points)
    if given.ndim != 2 or given.dtype.kind not in "iuf":
        raise ConfigError(
            f"the points have shape {given.shape} and dtype {given.dtype}, expected numbers [points, coordinates]"
        )
    count, dim = given.shape
    if dim < 1 or count < dim + 1:
        raise ConfigError(
            f"there are {count} points of {dim} coordinates, expected at least {dim + 1} of at least 1: with fewer the "
            f"hull is flat"
        )
    if given.size > MAX_VALUES:
        raise ConfigError(
            f"the points have {given.size:,} values, expected at most {MAX_VALUES:,}: give fewer points"
        )
    with np.errstate(over="ignore"):
        values: np.ndarray[Any, np.dtype[np.float32]] = given.astype(np.float32) + np.float32(0)
    if not np.isfinite(values).all():
        at = np.argwhere(~np.isfinite(values))[0].tolist()
        raise ConfigError(f"the points hold a value that is not a finite float32, at {at}: correct the array")
    return values


def _short(direction: F64) -> str:
    shown = ", ".join(f"{value:.3g}" for value in direction[:8])
    return f"[{shown}{', …' if direction.size > 8 else ''}]"


def _rounded_up(factor: float) -> str:
    return f"{factor * (1 + 1e-6):.7g}"
