"""``.pt``: a state dict as ``torch.save`` writes it, for ``load_state_dict``. Needs torch."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from gradwire.common.errors import ConfigError
from gradwire.common.training.layout import DTYPES
from gradwire.common.weights.arrays import Array, Weights
from gradwire.common.weights.files import WeightFile

if TYPE_CHECKING:
    import torch

INNER = ("state_dict", "model_state_dict", "model")  # where checkpoints of training loops keep the state dict


class TorchFile(WeightFile):
    """A ``.pt`` file; tied names share their storage in it, as in the module's own state dict."""

    ending = ".pt"

    def require(self) -> None:
        if find_spec("torch") is None:
            raise ConfigError(f"{self.path} needs torch: install it, or name a .safetensors or .npz file")

    def parts(self, weights: Weights, about: Mapping[str, str]) -> Sequence[bytes]:
        import torch

        made: dict[int, torch.Tensor] = {}
        state = {name: made.setdefault(id(array), _tensor(array)) for name, array in weights.items()}
        target = io.BytesIO()
        torch.save(state, target)
        return [target.getvalue()]

    def read(self) -> Weights:
        self.require()
        import torch

        data = self.read_bytes()
        try:
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:  # of many kinds: what it reads is a program of pickle's, restricted
            raise self.malformed("torch cannot load it as weights alone") from error
        for key in INNER:
            if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
                loaded = loaded[key]
        if not isinstance(loaded, Mapping) or not loaded:
            raise self.malformed("expected a state dict")
        return {str(name): self._array(str(name), value) for name, value in loaded.items()}

    def _array(self, name: str, value: Any) -> Array:
        import torch

        if not isinstance(value, torch.Tensor):
            raise self.malformed(f"{name} is a {type(value).__name__}, expected tensors only")
        if value.layout is not torch.strided or value.is_meta or value.is_quantized:
            raise self.malformed(f"{name} is sparse, quantized or without values")
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype not in DTYPES:
            raise self.malformed(f"{name} is {dtype}")
        tensor = value.detach().cpu().contiguous()
        if dtype == "bfloat16":
            return Array(dtype, tensor.view(torch.int16).numpy().view(np.uint16))
        return Array(dtype, tensor.numpy())


def _tensor(array: Array) -> torch.Tensor:
    import torch

    values = np.array(array.values)  # writable, and the tensor's own
    if array.dtype == "bfloat16":
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)
