"""From a factory to a task: the device, the problem, its data dealt to workers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from gradwire.common.errors import TaskError
from gradwire.common.spec import Spec
from gradwire.worker.site import Site
from gradwire.worker.tasks.factories import call_factory, takes
from gradwire.worker.tasks.shards import Shards
from gradwire.worker.tasks.torch.devices import device_named, seeded
from gradwire.worker.tasks.torch.feeds import Feed, Fetch, LoaderFeed, RowFeed, in_parts, loader_of, one_epoch
from gradwire.worker.tasks.torch.problem import TorchProblem
from gradwire.worker.tasks.torch.samples import Samples, samples_of
from gradwire.worker.tasks.torch.task import TorchTask

CHUNK = 256  # samples in one forward pass, where nothing else is said
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How a task's samples are drawn and read.

    Attributes:
        batch: samples per gradient; 0 is the worker's whole shard.
        chunk: most training samples in one forward pass; 0 is the batch, or 256 of a whole shard.
        local: whether running statistics stay with each worker.
    """

    batch: int
    chunk: int
    local: bool


def build(
    factory: Callable[..., Any],
    target: str,
    batching: Batching,
    *,
    site: Site,
    workers: int,
    partition: Spec | None,
) -> TorchTask:
    """Call the factory with all generators seeded, and deal its data.

    Args:
        factory: the user's, which may take any of ``seed``, ``workers`` and ``site``.
        target: names it in errors.
        batching: from the task's spec.
        site: the process, its workers, device and data.
        workers: logical workers in the whole run.
        partition: how the data, the same at every process, are dealt to all workers; None for the site's own data.

    Raises:
        TaskError: no such device, the result is not a TorchProblem that can be trained, or its data cannot be dealt.
    """
    device = device_named(site.device)
    with seeded(device, site.seed, "torch factory"):
        problem = call_factory(factory, target, site=site, workers=workers)
    if not isinstance(problem, TorchProblem):
        raise TaskError(f"{target} returned a {type(problem).__name__}, expected a gradwire.TorchProblem")
    if partition is None and workers > len(site.workers) and not takes(factory, "site"):
        _warn_own_data(target)
    problem.module.to(device)
    train = _train_feed(problem, device, batching, site, workers, partition)
    test = None if problem.test is None else _test_feed(problem, device, batching)
    return TorchTask(problem, train, test, site=site, local=batching.local)


def _train_feed(
    problem: TorchProblem,
    device: torch.device,
    batching: Batching,
    site: Site,
    workers: int,
    partition: Spec | None,
) -> Feed:
    samples = samples_of(problem.train, device, "train", problem.collate_fn)
    if samples is not None:
        chunk = batching.chunk or batching.batch or problem.eval_batch or CHUNK
        shards = _shards(samples, batching.batch, site, workers, partition)
        return RowFeed(samples, shards, chunk)
    if partition is not None:
        raise TaskError(
            f"partition {partition} deals samples by number, and train, a {type(problem.train).__name__}, is read in "
            "order: give its Dataset, and collate_fn"
        )
    if batching.chunk:
        raise TaskError(
            "chunk divides batches that are drawn by number, and a loader's are taken whole: leave it out"
        )
    return LoaderFeed(
        loader_of(problem.train, "train", batching.batch, problem.collate_fn), device, site.seed
    )


def _shards(samples: Samples, batch: int, site: Site, workers: int, partition: Spec | None) -> Shards:
    if partition is None:
        return Shards.own(len(samples), site, batch)
    return Shards.partitioned(samples.labels(), len(samples), workers, site.seed, partition, batch)


def _test_feed(
    problem: TorchProblem, device: torch.device, batching: Batching
) -> Callable[[], Iterable[Fetch]]:
    size = problem.eval_batch or batching.chunk or batching.batch or CHUNK
    samples = samples_of(problem.test, device, "test", problem.collate_fn)
    if samples is not None:
        return partial(in_parts, samples, np.arange(len(samples)), size)
    return partial(one_epoch, loader_of(problem.test, "test", size, problem.collate_fn), device)


def _warn_own_data(target: str) -> None:
    _log.warning(
        "%s takes no site: what it loads counts as this site's own, for its own workers alone; "
        "to deal one data set, the same everywhere, to all workers, run with --partition iid",
        target,
    )
