"""Downlinks by name. A module in this folder registers its downlink when it is imported, and all of them are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gradwire.common.codecs import AnyCodec
from gradwire.common.downlinks.base import Downlink
from gradwire.common.registry import Registry
from gradwire.common.spec import Spec, parse_spec

_REGISTRY: Registry[Downlink[Any]] = Registry("downlink")
register = _REGISTRY.register


def downlinks() -> Mapping[str, type[Downlink[Any]]]:
    """Every registered downlink class by name."""
    return MappingProxyType(_REGISTRY)


def parse(text: str | Spec, *, codec: AnyCodec, seed: int, workers: int, cohort: int = 0) -> Downlink[Any]:
    """A downlink from its spec.

    Args:
        text: the spec, e.g. ``log``; ``auto`` is not one, see ``resolve_downlink``.
        codec: the run's codec.
        seed: the run's seed.
        workers: logical workers in the run.
        cohort: workers that are drawn for a round; 0: all that are connected.

    Raises:
        SpecError: not a spec, an unknown downlink or argument, or a value outside its range.
    """
    spec = parse_spec(text) if isinstance(text, str) else text
    return _REGISTRY.build(spec, codec=codec, seed=seed, workers=workers, cohort=cohort)


def announced(text: str) -> Spec | None:
    """The spec that Welcome must name, so that workers can read the entries of this downlink; None where it need not.

    ``auto`` is not: it chooses among downlinks that need not be.
    """
    spec = parse_spec(text)
    found = _REGISTRY.get(spec.name)
    return spec if found is not None and found.announced else None


def entry_readers(
    spec: Spec | None, *, codec: AnyCodec, seed: int, workers: int, cohort: int = 0
) -> Mapping[str, Downlink[Any]]:
    """The downlinks that may send entries to a replica, by the ``body`` that they fill.

    Args:
        spec: the downlink that Welcome names; None where it names none, and the body of each entry says which it is.
        codec: the run's codec.
        seed: the run's seed.
        workers: logical workers in the run.
        cohort: workers that are drawn for a round; 0: all that are connected.

    Raises:
        SpecError: Welcome names a downlink that is not known here, or with arguments that it does not take.
    """
    specs = [Spec(name) for name, cls in _REGISTRY.items() if not cls.announced] if spec is None else [spec]
    found = [parse(each, codec=codec, seed=seed, workers=workers, cohort=cohort) for each in specs]
    return MappingProxyType({downlink.body: downlink for downlink in found})
