"""A folder of images, one subfolder per class, read by Pillow: the extra ``gradwire[images]``."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import DataError
from gradwire.common.system.memory import require_memory
from gradwire.worker.data.own.base import NONE, Format, Gaps, Table, numbers, parsing

MODES = {"L": 1, "RGB": 3}
MAX_PIXELS = 1 << 26  # of a file, before it is resized
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class ImagesFormat(Format):
    """Images of one size: those of another are resized. A sample is [height, width, channels] in C order, 0 … 255.

    Attributes:
        width, height: in pixels.
        mode: L for grey, RGB for colour.
    """

    width: int = 28
    height: int = 28
    mode: str = "L"

    name = "images"
    content = "a folder"
    labelled = False
    standardised = False

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1 or self.mode not in MODES:
            raise DataError(
                f"images are {self.width} by {self.height} {self.mode}, expected at least 1 pixel, and L or RGB"
            )

    @classmethod
    def of(cls, path: Path) -> ImagesFormat:
        """With size and mode of the first image."""
        with _opened(_images(path)[0]) as image:
            return cls(image.width, image.height, "L" if image.mode in ("1", "L", "I", "I;16") else "RGB")

    @property
    def size(self) -> int:
        """Numbers of one image."""
        return self.width * self.height * MODES[self.mode]

    def columns(self, path: Path, label: str) -> tuple[tuple[str, ...], str]:
        if label:
            raise DataError(f"the labels of {path} are the names of its subfolders: leave --label out")
        return numbers(self.size), ""

    def read(self, path: Path, names: tuple[str, ...], label: str, gaps: Gaps = NONE) -> Table:
        images = _images(path)
        require_memory(4 * len(images) * self.size, f"the images of {path}")
        features = np.empty((len(images), self.size), np.float32)
        for row, image in enumerate(images):
            features[row] = self._pixels(image)
        labels = [image.parent.name for image in images]
        values = sorted(set(labels))
        codes = np.array([values.index(value) for value in labels], np.int64)
        return Table(features, codes, values, lambda row: images[row].name)

    def _pixels(self, path: Path) -> NDArray[np.uint8]:
        with _opened(path) as image:
            _require_size(path, image.width, image.height)
            with parsing(path, "an image"):
                fitted = image.convert(self.mode)
            if fitted.size != (self.width, self.height):
                fitted = fitted.resize((self.width, self.height))
            return np.asarray(fitted, np.uint8).reshape(-1)

    def described(self) -> tuple[str, ...]:
        return (f"images {self.width}x{self.height} {self.mode}",)


def _images(path: Path) -> list[Path]:
    """Every image of every subfolder, in order of their names."""
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    found = [
        file for folder in folders for file in sorted(folder.iterdir()) if file.suffix.lower() in ENDINGS
    ]
    if not found:
        raise DataError(f"{path} has no images: expected a subfolder for each class with files such as 1.png")
    return found


def _opened(path: Path) -> Any:
    if find_spec("PIL") is None:
        raise DataError("images need Pillow: install it with pip install 'gradwire[images]'")
    from PIL import Image

    with parsing(path, "an image"), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is lower
        return Image.open(path)


def _require_size(path: Path, width: int, height: int) -> None:
    """Refuse an image whose pixels would fill the memory, before they are unpacked."""
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{path} has {width} by {height} pixels, expected at most {MAX_PIXELS:,}: scale it down"
        )
