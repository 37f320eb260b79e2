"""Which downlink a run has: the one that its configuration names, or the one that ``auto`` chooses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gradwire.common.codecs import AnyCodec
from gradwire.common.downlinks.base import Downlink
from gradwire.common.downlinks.registry import downlinks, parse
from gradwire.common.errors import SpecError
from gradwire.common.spec import Spec, bind_arguments, did_you_mean, parse_spec
from gradwire.common.training.config import RunConfig
from gradwire.common.training.local import parse_local
from gradwire.common.training.optimizers import parse_optimizer

AUTO = "auto"


def check_downlink(text: str) -> None:
    """Check name and arguments of a configured downlink, before the run's dimension is known.

    Raises:
        SpecError: not a spec, an unknown downlink, or one that takes no such arguments.
    """
    spec, known = parse_spec(text), downlinks()
    if spec == Spec(AUTO):
        return
    if spec.name not in known:
        raise SpecError(f"unknown downlink {text!r}{did_you_mean(spec.name, [AUTO, *known])}")
    bind_arguments(spec, known[spec.name])


def check_replicas(config: RunConfig) -> None:
    """Check that replicas can follow a run with control variates, before its dimension is known.

    Raises:
        SpecError: a downlink or an optimizer with which they cannot.
    """
    if not _needs_update(config):
        return
    name = parse_spec(config.downlink).name
    if name != AUTO and not downlinks()[name].replays_optimizer:
        raise SpecError(
            f"downlink {name} with scaffold: a replica needs the mean update for the control variate, "
            "use log or sum, and an optimizer that replicas can replay"
        )
    if not parse_optimizer(config.optimizer).portable:
        raise SpecError(
            f"{config.optimizer} with scaffold: its bits differ between machines, so replicas cannot replay it: "
            "use sgd or another portable optimizer"
        )


def resolve_downlink(config: RunConfig, codec: AnyCodec) -> Downlink[Any]:
    """The run's downlink.

    ``auto`` takes the smallest lossless downlink that is cheap to replay for this codec, dimension and number of
    workers, and whose replicas step as the server does: where the optimizer is not portable, they must not step at all.

    Raises:
        SpecError: an unknown downlink or argument, or one that does not go with the run.
    """
    check_downlink(config.downlink)
    check_replicas(config)
    if parse_spec(config.downlink) != Spec(AUTO):
        return _parse(config.downlink, config, codec)
    return min(_candidates(config, codec), key=lambda each: (each.bytes_per_round, each.tie_rank))


def _needs_update(config: RunConfig) -> bool:
    """Whether replicas need every round's mean update, and not the parameters alone."""
    return bool(config.local) and parse_local(config.local).scaffold


def _candidates(config: RunConfig, codec: AnyCodec) -> Iterator[Downlink[Any]]:
    portable = parse_optimizer(config.optimizer).portable
    for name, cls in downlinks().items():
        if cls.announced or not cls.lossless or (cls.replays_optimizer and not portable):
            continue
        if _needs_update(config) and not cls.replays_optimizer:
            continue
        downlink = _parse(name, config, codec)
        if downlink.cheap_replay:
            yield downlink


def _parse(text: str, config: RunConfig, codec: AnyCodec) -> Downlink[Any]:
    return parse(text, codec=codec, seed=config.seed, workers=config.workers, cohort=config.cohort)
