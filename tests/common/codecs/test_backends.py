"""NumPy and torch, on the CPU and on CUDA, give the same bytes for the same coins; a gradient stays on its device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import AnyCodec, parse
from tests.common.codecs import checks, refusal_checks
from tests.common.codecs.examples import (
    LARGE,
    LARGE_DIM,
    every_codec,
    every_codec_and_large,
    is_buildable,
    parameters,
)
from tests.common.codecs.vectors import flat, heavy, ramp

torch = pytest.importorskip("torch")

MANY = 1 << 22  # coordinates: so many that what a codec may fetch is small beside them
CUDA = pytest.param("cuda", marks=pytest.mark.cuda)
# Without a device its tests are not even collected: they would be as many as there are codecs.
HAS_CUDA = torch.cuda.is_available()
every_device = pytest.mark.parametrize("device", ["cpu", CUDA] if HAS_CUDA else ["cpu"])
MANY_COORDINATES = [e for e in (e._replace(dim=MANY) for e in LARGE) if HAS_CUDA and is_buildable(e)]


def on(device: str, x: np.ndarray) -> Any:
    return torch.from_numpy(np.ascontiguousarray(x)).to(device)


@every_device
@every_codec_and_large
def test_same_bytes(codec: AnyCodec, device: str) -> None:
    vectors = (ramp, flat, heavy, np.zeros) if codec.dim < LARGE_DIM else (flat, heavy)
    for dtype in (np.float32, np.float64):
        for k, f in enumerate(vectors):
            x = checks.into_domain(codec, f(codec.dim)).astype(dtype)
            same = checks.encode(codec, on(device, x), 5 * k) == checks.encode(codec, x, 5 * k)
            assert same, f"{codec}: {f.__name__} in {dtype.__name__}"


@every_device
@every_codec
def test_layouts(codec: AnyCodec, device: str) -> None:
    """Strided, requiring a gradient, and half precision, which is encoded as the float32 it equals."""
    x = checks.typical(codec).astype(np.float32)
    expected = checks.encode(codec, x)
    strided = on(device, np.repeat(x, 2))[::2]
    assert not strided.is_contiguous() or codec.dim == 1
    assert checks.encode(codec, strided) == expected
    assert checks.encode(codec, on(device, x).requires_grad_()) == expected
    for half in (torch.float16, torch.bfloat16):
        narrow = on(device, x).to(half)
        assert checks.encode(codec, narrow) == checks.encode(codec, narrow.float().cpu().numpy())


@every_device
@every_codec
def test_refusals(codec: AnyCodec, device: str) -> None:
    x = on(device, checks.typical(codec))
    for wrong in (x.int(), x.bool(), x.to(torch.complex64), x[None], x[:-1], x.sum()):
        refusal_checks.check_refuses_gradient(codec, wrong)
    for value in (float("nan"), float("inf"), -float("inf")):
        bad = x.clone()
        bad[-1] = value
        refusal_checks.check_refuses_gradient(codec, bad)
        refusal_checks.check_refuses_gradient(codec, bad.float())


class Meter:
    """Bytes of tensors that were taken to the host, by any way there is."""

    def __init__(self) -> None:
        self.fetched = 0

    def wrap(self, method: Any) -> Any:
        def metered(tensor: Any, *args: Any, **kwargs: Any) -> Any:
            self.fetched += tensor.numel() * tensor.element_size()
            return method(tensor, *args, **kwargs)

        return metered


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Meter]:
    meter = Meter()
    for name in ("cpu", "tolist", "__array__", "item", "__float__"):
        monkeypatch.setattr(torch.Tensor, name, meter.wrap(getattr(torch.Tensor, name)))
    return meter


@pytest.mark.cuda
@pytest.mark.parametrize("codec", parameters(MANY_COORDINATES))  # skipped as an empty set without a device
def test_gradient_stays_on_its_device(codec: AnyCodec, meter: Meter) -> None:
    """Beside the payload at most an eighth of the gradient crosses; ``test_devices`` tests it without a device."""
    for dtype in (np.float32, np.float64):
        x = on("cuda", checks.typical(codec).astype(dtype))
        meter.fetched = 0
        checks.encode(codec, x)
        allowed = codec.nbytes + x.numel() * x.element_size() // 8
        assert 0 < meter.fetched <= allowed, (
            f"{meter.fetched} bytes came to the host, expected at most {allowed}"
        )


def test_meter_counts_bytes(meter: Meter) -> None:
    torch.zeros(10, dtype=torch.float64).cpu().numpy()
    assert meter.fetched == 80


def test_codecs_do_not_import_torch() -> None:
    """torch is optional: importing every codec does not import it."""
    import subprocess
    import sys

    code = "import sys, gradwire.common.codecs as c; c.parse('simq', 3); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert parse("simq", 3)
