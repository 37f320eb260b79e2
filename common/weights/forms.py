"""The forms of files by the ending of the name."""

from __future__ import annotations

from pathlib import Path

from gradwire.common.errors import ConfigError
from gradwire.common.weights.files import WeightFile
from gradwire.common.weights.npz_form import NpzFile
from gradwire.common.weights.safetensors_form import SafetensorsFile
from gradwire.common.weights.torch_form import TorchFile

FORMS = {form.ending: form for form in (SafetensorsFile, NpzFile, TorchFile)}


def weight_file(path: Path) -> WeightFile:
    """A file of arrays, in the form that its name's ending says; it need not exist.

    Raises:
        ConfigError: no such form.
    """
    form = FORMS.get(path.suffix)
    if form is None:
        onnx = "; .onnx is written by `gradwire model save` alone" if path.suffix == ".onnx" else ""
        raise ConfigError(f"{path} ends in {path.suffix or 'nothing'}, expected {', '.join(FORMS)}{onnx}")
    return form(path)
