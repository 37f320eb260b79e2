"""A user's own torch module, loss and data as a task. Imported only when such a task is built: it needs torch.

The gradient stays on the module's device; the codecs take it there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from gradwire.common.errors import TaskError
from gradwire.worker.tasks.base import Gradient, checked_loss, checked_params
from gradwire.worker.tasks.random_streams import random_stream
from gradwire.worker.tasks.shards import Shards
from gradwire.worker.tasks.torch_data import Samples, Source, samples_of

CHUNK = 1_000  # test samples scored at once
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TorchProblem:
    """What the factory of a torch task returns, from ``factory(seed: int) -> TorchProblem``.

    Attributes:
        module: its trainable parameters, float32, in the order of ``module.parameters()``, are the model. Buffers are
            not: running statistics of BatchNorm stay on each worker, so prefer a norm without them.
        loss: ``loss(module(inputs), targets)`` → scalar tensor, the mean over the batch.
        train, test: a pair of tensors (inputs, targets) of equal length, moved to the device once, or a
            ``torch.utils.data.Dataset`` with a length, whose items are read as they are drawn.
    """

    module: torch.nn.Module
    loss: Callable[[Any, Any], torch.Tensor]
    train: Source
    test: Source | None = None


class TorchTask:
    """A module on data dealt to workers; random layers such as dropout are seeded by round and worker."""

    def __init__(
        self, problem: TorchProblem, *, shards: Shards, train: Samples, test: Samples | None
    ) -> None:
        """Move the module to the device of its data.

        Args:
            problem: module and loss.
            shards: how the training samples are dealt.
            train: the training samples.
            test: the test samples, if there are any.
        """
        self._module, self._loss = problem.module.to(train.device), problem.loss
        self._shards, self._train, self._test = shards, train, test
        self._parameters = _trainable(self._module)
        # The module's parameters are now views of one flat tensor: setting them is one copy.
        self._flat = parameters_to_vector(self._parameters).detach().clone()
        vector_to_parameters(self._flat, self._parameters)
        self._initial: NDArray[np.float32] = self._flat.cpu().numpy().copy()

    @property
    def dim(self) -> int:
        """Length of the parameter vector."""
        return len(self._initial)

    def initial(self) -> NDArray[np.float32]:
        """The parameters that the factory gave the module [dim]."""
        return self._initial.copy()

    def gradient(self, params: NDArray[np.float32], *, round: int, worker: int) -> Gradient:
        """Gradient of the loss over this worker's batch or shard: a torch tensor [dim] on the module's device.

        Raises:
            TaskError: no such worker, parameters of another shape, or a loss that is no scalar.
            NotFiniteError: the loss is not finite.
        """
        self._set(params)
        rows = self._shards.draw(worker, round)
        inputs, targets = self._train.rows(rows)
        self._module.train()
        with seeded(
            self._flat.device, random_stream(self._shards.seed, "torch round", round, worker).randint(2**31)
        ):
            loss = self._loss(self._module(inputs), targets)
            if loss.ndim:
                raise TaskError(
                    f"the loss has shape {list(loss.shape)}, expected a scalar: the mean over the batch"
                )
            parts = torch.autograd.grad(loss, self._parameters, materialize_grads=True)
        value = torch.cat([part.reshape(-1) for part in parts])
        return Gradient(value, checked_loss(loss.item(), round=round, worker=worker), len(rows))

    def evaluate(self, params: NDArray[np.float32]) -> dict[str, float]:
        """On the test samples, if there are any: ``test_loss``, and ``accuracy`` of a classifier.

        A classifier's outputs are [n, classes] and its targets whole numbers [n].

        Raises:
            TaskError: parameters of another shape.
        """
        if self._test is None:
            return {}
        self._set(params)
        self._module.eval()
        total, correct, classified = 0.0, 0, 0
        with torch.no_grad():
            for start in range(0, len(self._test), CHUNK):
                rows = np.arange(start, min(start + CHUNK, len(self._test)))
                inputs, targets = self._test.rows(rows)
                outputs = self._module(inputs)
                total += self._loss(outputs, targets).item() * len(rows)
                if _are_classes(outputs, targets):
                    correct += int((outputs.argmax(dim=1) == targets).sum())
                    classified += len(rows)
        measures = {"test_loss": total / len(self._test)}
        return measures | {"accuracy": correct / classified} if classified else measures

    def _set(self, params: NDArray[np.float32]) -> None:
        with torch.no_grad():
            self._flat.copy_(torch.tensor(checked_params(params, self.dim)))


def _are_classes(outputs: Any, targets: Any) -> bool:
    both = isinstance(outputs, torch.Tensor) and isinstance(targets, torch.Tensor)
    return both and outputs.ndim == 2 and targets.ndim == 1 and not targets.is_floating_point()


def _trainable(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise TaskError("the module has no trainable parameters, expected at least one")
    for parameter in parameters:
        if parameter.dtype != torch.float32:
            raise TaskError(
                f"the module has {parameter.dtype} parameters, expected float32: call module.float()"
            )
    if any(name.endswith("running_mean") for name, _ in module.named_buffers()):
        _log.warning("the module keeps running statistics, which workers do not exchange: they stay local")
    return parameters


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch's generators inside the block, and restore them after it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def device_named(name: str) -> torch.device:
    """The device for cpu, cuda, cuda:1 or auto.

    Raises:
        TaskError: no such GPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    device = torch.device("cuda", torch.device(name).index or 0)
    if device.index >= (count := torch.cuda.device_count()):
        raise TaskError(f"device={name} and torch sees {count} GPUs here: write device=auto")
    torch.backends.cudnn.deterministic = True  # a restarted worker must repeat its gradient
    return device


def build(factory: Callable[..., Any], *, device: str, batch: int, workers: int, seed: int) -> TorchTask:
    """Call the factory with torch seeded, and deal its data.

    Args:
        factory: the user's, ``factory(seed) -> TorchProblem``.
        device: cpu, cuda, cuda:1 or auto.
        batch: samples per round; 0 is the worker's whole shard.
        workers: logical workers of the run.
        seed: of the run.

    Raises:
        TaskError: no such device, the result is not a TorchProblem that can be trained, or too many workers, or too
            large a batch, for its samples.
    """
    place = device_named(device)
    with seeded(place, random_stream(seed, "torch factory").randint(2**31)):
        problem = factory(seed=seed)
    if not isinstance(problem, TorchProblem):
        raise TaskError(f"the factory returned a {type(problem).__name__}, expected a TorchProblem")
    train = samples_of(problem.train, place, "train")
    test = None if problem.test is None else samples_of(problem.test, place, "test")
    return TorchTask(problem, shards=Shards.even(len(train), workers, seed, batch), train=train, test=test)
