"""What ``register`` refuses, and what the default hooks answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import Codec, codecs, register
from gradwire.common.codecs.hooks import CodecHooks, check_family
from gradwire.common.errors import SpecError
from tests.common.codecs.toys import BiasedToy, VariableToy

REQUIRED = ["_pack", "_quantize", "_reconstruct", "_unpack", "examples", "nbits", "variance"]


@dataclass(frozen=True, kw_only=True)
class Empty(Codec[Any]):
    name = "empty"
    source = "tests"


def without(attribute: str) -> type[Any]:
    """A complete family that lacks one attribute."""
    namespace = {
        "__annotations__": {},
        attribute: getattr(CodecHooks, attribute, None) or getattr(Codec, attribute),
    }
    return dataclass(frozen=True, kw_only=True)(type("Incomplete", (VariableToy,), namespace))


def test_a_complete_family_passes() -> None:
    check_family(VariableToy)
    check_family(BiasedToy)


@pytest.mark.parametrize("cls", codecs().values(), ids=codecs())
def test_every_registered_family_passes(cls: type[Any]) -> None:
    check_family(cls)


def test_all_missing_hooks_are_named_at_once() -> None:
    with pytest.raises(SpecError) as refusal:
        register(Empty)
    assert f"Empty is not a codec: it does not implement {', '.join(REQUIRED)}," in str(refusal.value)
    assert "hooks" in str(refusal.value) and "empty" not in codecs()


@pytest.mark.parametrize("hook", REQUIRED)
def test_each_missing_hook_is_named(hook: str) -> None:
    with pytest.raises(SpecError, match=rf"Incomplete is not a codec: it does not implement {hook}, see"):
        check_family(without(hook))


@pytest.mark.parametrize("attribute", ["name", "source"])
def test_name_and_source_are_required(attribute: str) -> None:
    class Nameless(Codec[Any]):
        if attribute == "source":
            name = "nameless"

    with pytest.raises(SpecError, match=f"it has no {attribute}, expected a class attribute {attribute} = "):
        check_family(Nameless)


class Undecorated(VariableToy):
    parameter: int = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class ByIdentity(VariableToy):
    pass


@dataclass(frozen=True)
class NoCodec:
    name = "no_codec"
    source = "tests"


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (Undecorated, r"write @dataclass\(frozen=True, kw_only=True\)"),
        (ByIdentity, "write frozen=True and no eq=False"),
        (NoCodec, "does not derive from gradwire.common.codecs.Codec"),
    ],
)
def test_other_mistakes_are_named(cls: type[Any], expected: str) -> None:
    with pytest.raises(SpecError, match=expected):
        check_family(cls)


def test_optional_hooks_say_what_is_missing() -> None:
    class NoLaw(BiasedToy):
        def _law(self, vector: Any, shared: int) -> Iterator[Any]:
            return CodecHooks._law(self, vector, shared)

    toy = NoLaw(dim=2)
    with pytest.raises(NotImplementedError, match="does not enumerate its payloads: it implements no _law"):
        toy.law(np.zeros(2), shared=0)
    with pytest.raises(NotImplementedError, match="it implements no _apply_weights"):
        toy._apply_weights(np.zeros(2), np.ones(1))
    with pytest.raises(NotImplementedError, match="states no exact variance of a single vector"):
        toy.variance_at(np.zeros(2))
