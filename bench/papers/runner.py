"""Measures the cases of an experiment that are not there yet, several at a time."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from gradwire.bench.papers.experiment import Experiment, Measured, Params
from gradwire.bench.papers.partial import PartialResults, key_of
from gradwire.common.errors import ConfigError, TaskError
from gradwire.deploy.processes.cores import THREADS, cores

Step = Callable[[int, int, Params], None]  # done, of, the case that was measured last


def measure_all(
    experiment: Experiment, stored: PartialResults, *, full: bool, jobs: int | None, step: Step
) -> list[Measured]:
    """All results, in the order of the cases.

    Args:
        experiment: whose cases.
        stored: results that are there already; new ones are added.
        full: the scale.
        jobs: processes; None for one per core. An experiment that times something has one.
        step: is called after each case.

    Raises:
        ConfigError: two cases are the same.
        GradwireError: a case cannot be measured; those that were are stored.
    """
    cases = {key_of(params): params for params in experiment.cases(full=full)}
    if len(cases) < len(experiment.cases(full=full)):
        raise ConfigError(f"{experiment.name} has two cases with the same parameters")
    missing = {key: params for key, params in cases.items() if key not in stored.results}
    count = 1 if experiment.alone else min(jobs or cores(), max(1, len(missing)))
    done = len(cases) - len(missing)
    for key, result in _measured(experiment, missing, count):
        stored.add(key, result)
        done += 1
        step(done, len(cases), cases[key])
    return [Measured(params, stored.results[key]) for key, params in cases.items()]


def _measured(experiment: Experiment, missing: Mapping[str, Params], jobs: int) -> Iterator[tuple[str, Any]]:
    """Keys and results in the order in which they come."""
    if not missing:
        return
    context = multiprocessing.get_context("spawn")
    with _one_thread_each(), ProcessPoolExecutor(jobs, context, _end_with_parent) as pool:
        waiting = {pool.submit(_measure, experiment, params): key for key, params in missing.items()}
        try:
            while waiting:
                finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield waiting.pop(future), _result(future, experiment.name)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _result(future: Future[Any], name: str) -> Any:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise TaskError(
            f"a process that measured {name} was killed, maybe for lack of memory: pass a smaller --jobs"
        ) from error


def _end_with_parent() -> None:
    """Let this process end when the command does, also if it was killed: a case may take long."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _measure(experiment: Experiment, params: Params) -> Any:
    return experiment.measure(**params)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that are started now have one thread each: with more, BLAS adds up in another order."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
