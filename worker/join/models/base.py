"""The contract of a model that takes part in a run, and the choice of its form."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import ConfigError, NotFiniteError
from gradwire.common.training.layout import Layout, Role


def exchanges(*, gradients: bool) -> str:
    """The schema of a model's layout: what its site exchanges, which has to be the same at all of them."""
    return f"exchanges = {'gradients' if gradients else 'updates'}"


class JoinedModel(ABC):
    """Reads and sets a model of the user's. Vectors are float32 [dim], in the order of the layout.

    Attributes:
        layout: fixed when the model joins; an array that changes its shape later is refused.
    """

    layout: Layout

    @property
    def exact(self) -> bool:
        """Whether the model holds every float32 number as it is; others round what they are set to."""
        moving = (array for array in self.layout.arrays if array.role is not Role.CONSTANT)
        return all(array.dtype in ("float32", "float64") for array in moving)

    @abstractmethod
    def constants(self) -> list[bytes]:
        """Values of the layout's constant arrays, little-endian."""

    @abstractmethod
    def read(self, given: Any, out: NDArray[np.float32]) -> None:
        """What the model holds now.

        Args:
            given: what ``step`` was called with in place of the model; None for the model that joined.
            out: float32 [dim], written to.

        Raises:
            TaskError: an array is missing, has another shape, or cannot be read.
        """

    @abstractmethod
    def read_gradients(self, out: NDArray[np.float32]) -> None:
        """The gradients of the trained arrays, zero where there is none; the rest of ``out`` is what ``read`` gives.

        Raises:
            TaskError: as ``read``.
        """

    @abstractmethod
    def load(self, vector: NDArray[np.float32], given: Any) -> Any:
        """Set the model in place, where its arrays can be; what ``step`` returns.

        Args:
            vector: float32 [dim].
            given: as in ``read``; what cannot be set in place is replaced in it.
        """

    @abstractmethod
    def exported(self, vector: NDArray[np.float32]) -> dict[str, Any]:
        """A model as new arrays or tensors by name, constants included."""

    def require_finite(
        self, vector: NDArray[np.float32], what: str, advice: str = "lower the learning rate"
    ) -> None:
        """Refuse numbers that no codec takes.

        Args:
            vector: float32 [dim].
            what: it holds, before the name of an array.
            advice: to the user.

        Raises:
            NotFiniteError: it holds some; the first such array is named.
        """
        if np.isfinite(vector).all():
            return
        for array, values in self.layout.views(vector):
            if not np.isfinite(values).all():
                raise NotFiniteError(f"{what} {array.name} holds numbers that are not finite: {advice}")


def joined_model(model: Any, *, gradients: bool, local_buffers: bool) -> JoinedModel:
    """The adapter of a torch module or a mapping of arrays.

    Args:
        model: the user's.
        gradients: whether gradients are exchanged, instead of the change of the model.
        local_buffers: whether running statistics of a module stay with the site.

    Raises:
        ConfigError: neither of the two, or gradients of something that has none.
        TaskError, LayoutError: its arrays cannot take part.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from gradwire.worker.join.models.module import TorchModel

        return TorchModel(model, gradients=gradients, local_buffers=local_buffers)
    if isinstance(model, MutableMapping):
        from gradwire.worker.join.models.mapping import ArraysModel

        if gradients:
            raise ConfigError(
                "gradients=True exchanges the .grad of a torch module: for arrays, start the server's optimizer with "
                "your learning rate and step the arrays by minus the gradient"
            )
        return ArraysModel(model)
    raise ConfigError(
        f"the model is a {type(model).__name__}, expected a torch.nn.Module or a dict of arrays by name"
    )
