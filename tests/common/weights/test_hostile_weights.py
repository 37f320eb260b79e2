"""Weight files that are damaged or made to harm: each is refused by one line, and nothing in them is run."""

import io
import json
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gradwire.common.errors import GradwireError
from gradwire.common.weights.forms import weight_file


def refused(path: Path) -> str:
    with pytest.raises(GradwireError) as caught:
        weight_file(path).read()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    return str(caught.value)


def npz(folder: Path, member: bytes) -> Path:
    with zipfile.ZipFile(folder / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", member)
    return folder / "w.npz"


def header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def saved() -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(24, dtype=np.float32))
    return file.getvalue()


@pytest.mark.parametrize(
    "member",
    [
        header(f"({1 << 40}, {1 << 20})"),
        header(f"({1 << 70},)"),
        header("(True, 2)") + bytes(8),
        b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16,
        b"hello",
        saved()[:-3],
    ],
)
def test_npz(tmp_path: Path, member: bytes) -> None:
    assert "is not a .npz file of arrays" in refused(npz(tmp_path, member))


def test_npz_with_any_three_bytes_changed(tmp_path: Path) -> None:
    whole, refusals = npz(tmp_path, saved()).read_bytes(), 0
    for seed in range(150):
        draw, damaged = random.Random(seed), bytearray(whole)
        for _ in range(3):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        (tmp_path / "w.npz").write_bytes(damaged)
        try:
            weight_file(tmp_path / "w.npz").read()
        except GradwireError as error:
            refusals += "\n" not in str(error)
    assert refusals > 100


def test_npz_that_unpacks_to_more_than_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = npz(tmp_path, header("(5000000,)") + bytes(20_000_000))
    assert path.stat().st_size < 100_000
    monkeypatch.setattr("gradwire.common.system.memory.memory_bytes", lambda: 10_000_000)
    assert "what" in refused(path) and "unpacks to takes" in refused(path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        json.dumps({"w": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 8]}}),
        json.dumps({"w": {"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]}}),
        '{"w": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 8]}}',
        '{"w": {"dtype": "F32", "shape": [[2]], "data_offsets": [8, 0]}}',
    ],
)
def test_safetensors(tmp_path: Path, text: str) -> None:
    data = text.encode()
    (tmp_path / "w.safetensors").write_bytes(len(data).to_bytes(8, "little") + data + bytes(8))
    assert "is not a .safetensors file of arrays" in refused(tmp_path / "w.safetensors")


def test_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path, mark = tmp_path / "w.pt", tmp_path / "run"
    path.write_bytes(f"cos\nsystem\n(S'touch {mark}'\ntR.".encode())
    assert "torch cannot load it" in refused(path) and not mark.exists()
    torch.save({"w": torch.eye(3).to_sparse()}, path)
    assert "w is sparse, quantized or without values" in refused(path)
    torch.save({"w": torch.empty(3, device="meta")}, path)
    assert "w is sparse, quantized or without values" in refused(path)
