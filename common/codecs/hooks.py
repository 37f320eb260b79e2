"""The codec contract for families: what a new codec implements.

``Codec`` in ``codec.py`` has the methods that callers use. They validate, are final, and call the hooks here::

    x --_quantize--> symbols --_pack--> payload --_unpack--> symbols --_reconstruct--> index domain --synthesise--> x̂

A family is a frozen dataclass derived from ``Codec``, or from a form in ``forms/`` that implements some of the hooks.
Its fields are its parameters, by the names that a spec uses. It keeps no state: the result of a hook depends on the
parameters and the arguments alone, so that equal arguments give equal bytes on every machine and array backend.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64
from gradwire.common.arrays.update import Terms, Vector
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.randomness import Coins

S = TypeVar("S")  # a family's symbols: the content of a payload before it is bits


class Example(NamedTuple):
    """A codec for the conformance tests; with ``enumerable`` they list its payloads and check every probability."""

    spec: str
    dim: int
    enumerable: bool = False


class CodecHooks(ABC, Generic[S]):
    """The hooks of a family; ``nbits`` and ``variance``, which callers use too, are declared by ``Codec``.

    Attributes:
        name: the family's name in specs.
        source: where the family is defined: a key of the sources in docs/theory.md, and the place there.
        plan_templates: specs that ``gradwire plan`` tries, with the placeholders of ``deploy/planning/fitting.py``; an
            empty tuple means none, and for a class that does not set them they follow from its parameters.
    """

    dim: int
    name: ClassVar[str]
    source: ClassVar[str]
    plan_templates: ClassVar[tuple[str, ...]] = ()

    # ---- required ------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def examples(cls) -> tuple[Example, ...]:
        """Codecs of this family for the conformance tests, at least one of them small and one large."""

    @abstractmethod
    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> S:
        """Draw the symbols of a valid gradient.

        Args:
            vector: the checked gradient [dim], on the backend and device of the caller's array.
            coins: private randomness; secret where ``secret_coins``.
            shared: the public seed of the worker and round, 0 without ``shared_randomness``.

        Raises:
            DomainError: the gradient is outside the codec's domain.
        """

    @abstractmethod
    def _pack(self, symbols: S, out: BitWriter) -> None:
        """Append the symbols: exactly ``nbits`` bits, at most that many without ``fixed_length``."""

    @abstractmethod
    def _unpack(self, bits: BitReader) -> S:
        """Read the symbols back, with a leading axis where the reader holds a batch and the codec ``batches``.

        Raises:
            PayloadError: bits that ``_pack`` never writes.
        """

    @abstractmethod
    def _reconstruct(self, symbols: S, shared: int) -> Terms | NDArray[np.float64]:
        """The estimate in the index domain, ``Terms`` or float64 [index_size]; of a batch, their sum."""

    # ---- optional ------------------------------------------------------------------------------------------

    @classmethod
    def planned(cls) -> tuple[str, ...] | None:
        """``plan_templates`` of this class itself, as a subclass is another family; None where it sets none."""
        return vars(cls).get("plan_templates")

    @property
    def index_size(self) -> int:
        """Length of vectors in the index domain."""
        return self.dim

    def synthesise(self, total: Vector) -> Vector:
        """The linear map from the index domain [index_size] to gradients [dim]; by default the identity.

        It is linear so that a server adds many payloads in the index domain and synthesises once.
        """
        return total

    @property
    def batches(self) -> bool:
        """Whether ``_unpack`` and ``_reconstruct`` take many payloads at once; such a family has ``_apply_weights``."""
        return False

    def _apply_weights(self, symbols: S, weights: F64) -> S:
        """Symbols of a batch of n payloads whose estimates are multiplied by ``weights`` [n]."""
        raise NotImplementedError(f"{self.name} does not read batches: it implements no _apply_weights")

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[S, float]]:
        """Every result of ``_quantize`` with its exact probability; for tests at small dimensions."""
        raise NotImplementedError(f"{self.name} does not enumerate its payloads: it implements no _law")

    # ---- for __post_init__ ---------------------------------------------------------------------------------

    def _settle(self, **values: Any) -> None:
        """Set parameters to their canonical values, and flags that depend on them, before the codec is used."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_range(self, parameter: str, least: float, most: float, unit: str = "") -> None:
        """Check that a numeric parameter is within bounds.

        Args:
            parameter: its name.
            least: the least value allowed.
            most: the largest value allowed.
            unit: what follows the bounds in the message.

        Raises:
            SpecError: it is outside, or NaN.
        """
        value = getattr(self, parameter)
        if not least <= value <= most:
            expected = f"expected {least} to {most} {unit}".rstrip()
            raise SpecError(f"{self.name}: {parameter} is {value}, {expected}")


def check_family(cls: type[CodecHooks[Any]]) -> None:
    """Check that a class implements the contract, so that a mistake shows at import and not in the middle of a run.

    Raises:
        SpecError: it is not a frozen dataclass of its own, or lacks a name, a source or a required hook.
    """
    where = f"{cls.__module__}.{cls.__qualname__} is not a codec"
    for attribute in ("name", "source"):
        if not isinstance(getattr(cls, attribute, None), str):
            raise SpecError(f"{where}: it has no {attribute}, expected a class attribute {attribute} = '…'")
    if not is_dataclass(cls) or "__dataclass_fields__" not in vars(cls):
        raise SpecError(
            f"{where}: expected a dataclass, write @dataclass(frozen=True, kw_only=True) above it"
        )
    parameters = cls.__dataclass_params__
    if not (parameters.frozen and parameters.eq):
        raise SpecError(
            f"{where}: its instances can change or differ by identity, write frozen=True and no eq=False"
        )
    if "dim" not in {field.name for field in fields(cls)}:
        raise SpecError(f"{where}: it does not derive from gradwire.common.codecs.Codec")
    if missing := sorted(cls.__abstractmethods__):
        raise SpecError(f"{where}: it does not implement {', '.join(missing)}, see {__name__}")
