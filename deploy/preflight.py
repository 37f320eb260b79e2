"""Checks before any process is started: settings, names, memory, data sets."""

from __future__ import annotations

from collections.abc import Collection

from gradwire.common.codecs import AnyCodec, find_codec, parse
from gradwire.common.downlinks import check_downlink, check_replicas, resolve_downlink
from gradwire.common.errors import BudgetError, ConfigError, PrivacyError, TaskError
from gradwire.common.privacy.accounting import affordable, require_accountant
from gradwire.common.spec import bind_arguments, parse_spec
from gradwire.common.system.memory import require_fits
from gradwire.common.training.config import OWN, RunConfig


def check(config: RunConfig, allow_task: Collection[str]) -> None:
    """Check names as ``check_names`` does, and that the task is allowed here and fits into memory; fetch its data.

    Raises:
        SpecError: no such codec, task or optimizer, or one that takes no such arguments.
        TaskError: the task runs code that was not allowed, needs more memory than there is, or is not for workers here.
        DataError: the data set is unknown, or cannot be fetched.
    """
    if parse_spec(config.task).name == OWN:
        raise TaskError(
            f"the sites of the task {OWN} train in loops of their own, which no worker process here has: start "
            f"gradwire server --task {OWN} and join it from your programs with gradwire.join"
        )
    dim = check_names(config)
    if dim is not None:
        require_fits(dim, config.task)
    check_task(config.task, allow_task)


def check_task(task: str, allow_task: Collection[str]) -> None:
    """Check that a task is known and allowed here, and fetch its data.

    Raises:
        SpecError: no such task, or one that takes no such arguments.
        TaskError: the task runs code that was not allowed.
        DataError: the data set is unknown, or cannot be fetched.
    """
    from gradwire.worker.data import fetch
    from gradwire.worker.tasks import parse_task
    from gradwire.worker.tasks.own_data import FILE

    kind = parse_task(task)
    target = getattr(kind, "target", None)
    if target is not None and target not in allow_task:
        raise TaskError(f"the task runs code from {target}: if you trust it, pass --allow-task {target}")
    dataset = getattr(kind, "dataset", None)
    if dataset not in (None, FILE):
        fetch(dataset)  # once, not in every worker at the same time


def check_names(config: RunConfig) -> int | None:
    """Check the names and arguments in a configuration; returns the coordinates, if the task determines them.

    Imports no user code and needs no data. Where the coordinates are not known before the task is built, what depends
    on them is not checked.

    Raises:
        SpecError: no such codec, task, optimizer, downlink or partition, or one that takes no such arguments.
        DataError: the task's data set is unknown.
        ConfigError: a delta, but dp-accounting is not installed.
        PrivacyError: workers would refuse the run under its own budget.
    """
    from gradwire.common.training.optimizers import parse_optimizer
    from gradwire.worker.tasks import parse_task
    from gradwire.worker.tasks.partitions import parse_partition

    parse_optimizer(config.optimizer)
    if config.partition:
        parse_partition(config.partition)
    if config.delta:
        require_accountant()
    check_downlink(config.downlink)
    check_replicas(config)
    dim = parse_task(config.task).known_dim
    _check_codec(config, dim)
    if dim is not None:
        resolve_downlink(config, parse(config.codec, dim))
    return dim


def _check_codec(config: RunConfig, dim: int | None) -> None:
    spec = parse_spec(config.codec)
    bind_arguments(spec, find_codec(spec.name))
    if dim is not None:
        _check_privacy(parse(spec, dim), config)


def _check_privacy(codec: AnyCodec, config: RunConfig) -> None:
    """Refuse what every worker would refuse.

    Raises:
        PrivacyError: a codec that is not private under a budget, or example counts beside private payloads.
        BudgetError: the budget does not pay for the first push.
    """
    if codec.private and config.weighted:
        raise PrivacyError(
            f"weighting by {config.weighting} sends each worker's example count beside private payloads: use equal"
        )
    if codec.private and config.keep_best and not config.report_metrics:
        raise PrivacyError(
            "a private run sends no metrics by which a best model could be kept: allow them with --report-metrics, or "
            "leave --keep-best out"
        )
    if not config.max_epsilon:
        return
    if not codec.private:
        raise PrivacyError(
            f"{codec} is not private: `gradwire plan --dim {codec.dim} --epsilon …` lists codecs that are"
        )
    if affordable(config.max_epsilon, codec.epsilon, config.delta) == 0:
        raise BudgetError(
            f"one push of {codec} costs epsilon {codec.epsilon:.4g}, more than max_epsilon {config.max_epsilon:g}: "
            "use a codec with less, or a larger budget"
        )


def sites_hold_data(config: RunConfig) -> bool:
    """Whether each process trains on data of its own, so that worker ids stay with it; after ``check_names``."""
    from gradwire.worker.tasks import parse_task

    return parse_task(config.task).own_data and not config.partition


def known_dim(config: RunConfig, asked: int | None) -> int | None:
    """The coordinates that the model must have, after ``check_names``; None where they are not known yet.

    Raises:
        ConfigError: the task has another number of them than was asked for.
    """
    dim = check_names(config)
    if dim is not None and asked not in (None, dim):
        raise ConfigError(f"dim is {asked}, {config.task} has {dim} coordinates: leave it out")
    return asked if dim is None else dim
