"""A torch module on data dealt to workers, as a task.

The gradient stays on the module's device; the codecs take it there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from gradwire.common.errors import NotFiniteError, TaskError
from gradwire.common.training.layout import Layout
from gradwire.worker.site import Site
from gradwire.worker.tasks.base import Gradient, checked_loss, checked_params
from gradwire.worker.tasks.torch.arrays import ModuleArrays, flat
from gradwire.worker.tasks.torch.batches import is_finite
from gradwire.worker.tasks.torch.devices import has_float64, seeded
from gradwire.worker.tasks.torch.feeds import Feed, Fetch
from gradwire.worker.tasks.torch.onnx_export import to_onnx
from gradwire.worker.tasks.torch.problem import TorchProblem
from gradwire.worker.tasks.torch.scores import Scores

POSITION = "position of train"  # of a loader, in a worker's state


class TorchTask:
    """Gradients of a module by automatic differentiation.

    What Datasets and random layers draw is seeded by the run's seed, round, worker and part of the batch.

    Attributes:
        takes_tensors: parameters may be a tensor on the device, so that local steps do not pass through the host.
    """

    takes_tensors = True

    def __init__(
        self,
        problem: TorchProblem,
        train: Feed,
        test: Callable[[], Iterable[Fetch]] | None,
        *,
        site: Site,
        local: bool,
    ) -> None:
        """Read the module's arrays.

        Args:
            problem: its module is on the device.
            train: batches of the workers.
            test: batches of the test samples, anew for each evaluation; None where there are none.
            site: the process; its seed is the run's.
            local: whether running statistics stay with each worker.

        Raises:
            TaskError: the module cannot be trained.
            LayoutError: it has arrays that cannot be laid out.
        """
        self._problem, self._train, self._test = problem, train, test
        self._seed, self._evaluated_as = site.seed, site.workers[0]
        self._held_out = None if test is not None else 0
        self._arrays = ModuleArrays(problem.module, local=local)
        self._device = self._arrays.trained[0].device
        self._initial: NDArray[np.float32] = self._arrays.vector().cpu().numpy()

    @property
    def dim(self) -> int:
        """Length of the parameter vector."""
        return self.layout.dim

    @property
    def layout(self) -> Layout:
        """Names, shapes, dtypes and roles of the module's arrays."""
        return self._arrays.layout

    def initial(self) -> NDArray[np.float32]:
        """Parameters and running statistics as the factory gave them [dim]; half precision exactly."""
        return self._initial.copy()

    def constants(self) -> list[bytes]:
        """Values of the layout's constant arrays, little-endian bytes in layout order."""
        return self._arrays.constants()

    @property
    def shares_samples(self) -> bool:
        """Whether a sample may be in the gradients of several workers of this process: a loader's are not dealt."""
        return self._train.position is not None

    def size(self, worker: int) -> int:
        """Samples that a worker trains on.

        Raises:
            TaskError: no such worker, or its data do not say.
        """
        return self._train.size(worker)

    # ---- computing -------------------------------------------------------------------------------------------

    def gradient(self, params: Any, *, round: int, worker: int) -> Gradient:
        """Gradient of the mean loss over this worker's samples of the round, as a torch tensor [dim].

        It is on the module's device, or on the CPU where the device has no float64, which codecs need. Running
        statistics follow the gradient in it, as old minus new.

        Args:
            params: float32 [dim], NumPy or torch; only read.
            round: selects the samples; for local steps, the number of the step in the run.
            worker: of this process.

        Raises:
            TaskError: no such worker, parameters of another shape, or a batch or loss that cannot be used.
            NotFiniteError: the loss is not finite.
        """
        vector = self._vector(params)
        self._arrays.load(vector)
        self._arrays.states.enter(worker)
        self._problem.module.train()
        mean = self._mean_gradient(round, worker)
        self._arrays.states.leave(worker)
        value = self._arrays.update(vector, mean.gradient)
        return Gradient(value if has_float64(self._device) else value.cpu(), mean.loss, mean.samples)

    def _mean_gradient(self, round: int, worker: int) -> Part:
        """Over the parts of a batch, which weigh by their samples."""
        fetches = self._train.fetches(worker, round)
        if len(fetches) == 1:
            return self._part(fetches[0], round, worker, 0)
        total = torch.zeros(self.layout.trained, device=self._device)
        losses, samples = 0.0, 0
        for number, fetch in enumerate(fetches):
            part = self._part(fetch, round, worker, number)
            total.add_(part.gradient, alpha=part.samples)
            losses, samples = losses + part.loss * part.samples, samples + part.samples
        return Part(total.div_(samples), losses / samples, samples)

    def _part(self, fetch: Fetch, round: int, worker: int, number: int) -> Part:
        with seeded(self._device, self._seed, "torch round", round, worker, number):
            fetched = fetch()
            assert fetched is not None  # training sets do not end
            batch, samples = fetched
            loss = self._problem.step(batch).loss
            if not loss.requires_grad:
                raise TaskError(
                    "the loss does not depend on the trained parameters: compute it without detach() or no_grad()"
                )
            parts = torch.autograd.grad(loss, self._arrays.trained, materialize_grads=True)
        mean = loss.item()
        if not math.isfinite(mean) and not is_finite(batch):
            raise NotFiniteError(
                f"worker {worker}, round {round}: the batch holds numbers that are not finite: remove those samples"
            )
        return Part(flat(parts), checked_loss(mean, round=round, worker=worker), samples)

    def evaluate(self, params: Any) -> dict[str, float]:
        """On the test samples, if there are any: ``test_loss`` and the problem's metrics, or ``accuracy``.

        Running statistics are those of ``params``; where they are local, those of the first worker of this process.

        Raises:
            TaskError: parameters of another shape, or a batch, loss or metric that cannot be used.
        """
        if self._test is None:
            return {}
        self._arrays.load(self._vector(params))
        self._arrays.states.enter(self._evaluated_as)
        self._problem.module.eval()
        scores = Scores(self._problem.metrics)
        with torch.no_grad():
            for number, fetch in enumerate(self._test()):
                with seeded(self._device, self._seed, "torch evaluation", number):
                    if (fetched := fetch()) is None:
                        break
                    batch, samples = fetched
                    scores.add(self._problem.step(batch), samples)
        self._held_out = scores.samples
        return scores.means()

    def evaluation_size(self) -> int | None:
        """Test samples as the last evaluation counted them; None before it."""
        return self._held_out

    def to_onnx(self, params: Any) -> bytes:
        """The module with these parameters [dim], in evaluation mode, as an ONNX model.

        Raises:
            ConfigError: a package is missing.
            TaskError: there is no batch to trace it with, or it cannot be exported.
        """
        self._arrays.load(self._vector(params))
        self._arrays.states.enter(self._evaluated_as)
        self._problem.module.eval()
        fetches = iter(self._test() if self._test is not None else self._train.fetches(self._evaluated_as, 0))
        fetched = next(fetches)()
        if fetched is None:
            raise TaskError("there are no samples to trace the module with")
        return to_onnx(self._problem, fetched[0])

    def _vector(self, params: Any) -> torch.Tensor:
        """The parameters as a tensor [dim] on the device: a copy of an array, a tensor itself."""
        if not isinstance(params, torch.Tensor):
            return torch.tensor(checked_params(params, self.dim), device=self._device)
        if tuple(params.shape) != (self.dim,) or params.dtype != torch.float32:
            raise TaskError(
                f"the parameters are {params.dtype} {list(params.shape)}, expected torch.float32 [{self.dim}]"
            )
        return params.detach().to(self._device)

    # ---- what workers keep -----------------------------------------------------------------------------------

    def worker_state(self, worker: int) -> dict[str, NDArray[Any]]:
        """What a worker would need after a restart, by name: buffers that are local, and how far a loader was read."""
        position = self._train.position
        read = {} if position is None else {POSITION: np.array(position, np.int64)}
        return {**self._arrays.states.arrays(worker), **read}

    def restore_worker_state(self, worker: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what ``worker_state`` returned; reads a loader again up to where it was.

        Raises:
            TaskError: the state is another model's.
        """
        buffers = dict(arrays)
        if (position := buffers.pop(POSITION, None)) is not None:
            self._train.skip_to(int(position))
        self._arrays.states.restore(worker, buffers)


class Part(NamedTuple):
    """Gradient float32 [trained] and loss, the means over so many samples."""

    gradient: torch.Tensor
    loss: float
    samples: int
