"""A gradient on a device of its own stays there, and is encoded to the same bytes: tested without such a device."""

from __future__ import annotations

import numpy as np
import pytest

from gradwire.common.codecs import AnyCodec, Example
from gradwire.common.codecs.rotations.private_top import PrivateTop
from tests.common.codecs import checks
from tests.common.codecs.examples import LARGE, every_codec, is_buildable, parameters

torch = pytest.importorskip("torch")

from tests.common.codecs.fake_device import DEVICE, FakeDevice  # noqa: E402

MANY = 1 << 18  # coordinates: so many that what a codec may fetch is small beside them
SHARE = 1 / 8  # of the gradient's bytes: block sums, and the blocks that are drawn from
# As many draws as coordinates: every block is looked into, and every draw comes to the host.
EVERYWHERE = [
    Example("simq_plus", 3 << 16),
    Example("simq_plus(coding=type_signs)", 3 << 16),
    Example("l1_systematic(196608)", 3 << 16),
]
for_many_coordinates = pytest.mark.parametrize(
    "codec", parameters([e for e in (e._replace(dim=MANY) for e in LARGE) if is_buildable(e)])
)


def favoured_bytes(codec: AnyCodec) -> int:
    """The numbers and signs of the axes among which private_top's secret coins choose, on the host."""
    return 9 * codec._favoured if isinstance(codec, PrivateTop) else 0


@every_codec
def test_same_bytes(codec: AnyCodec) -> None:
    x = checks.typical(codec).astype(np.float64)
    with FakeDevice() as device:
        assert checks.encode(codec, device.put(x)) == checks.encode(codec, x)


@for_many_coordinates
def test_same_bytes_and_little_fetched(codec: AnyCodec) -> None:
    x = checks.typical(codec).astype(np.float32)
    with FakeDevice() as device:
        payload = checks.encode(codec, device.put(x))
        fetched = device.fetched
    assert payload == checks.encode(codec, x)
    allowed = codec.nbytes + SHARE * x.nbytes + favoured_bytes(codec)
    assert 0 < fetched <= allowed, f"{fetched} bytes of {x.nbytes} came to the host"


@pytest.mark.parametrize("codec", parameters(EVERYWHERE))
def test_only_draws_are_fetched(codec: AnyCodec) -> None:
    """Two bytes a draw, and block sums."""
    x = checks.typical(codec).astype(np.float32)
    with FakeDevice() as device:
        payload = checks.encode(codec, device.put(x))
        fetched = device.fetched
    assert payload == checks.encode(codec, x)
    assert 0 < fetched <= 2 * codec.dim + x.nbytes / 16, f"{fetched} bytes of {x.nbytes} came to the host"


# ---- the device is one -------------------------------------------------------------------------------------


def test_copies_and_scalars_are_counted() -> None:
    with FakeDevice() as device:
        x = device.put(np.arange(10.0))
        assert x.device == DEVICE and device.fetched == 0
        y = (2 * x + torch.ones(10, dtype=torch.float64, device=DEVICE))[3:5]
        assert device.fetched == 0
        assert y.cpu().numpy().tolist() == [7.0, 9.0] and device.fetched == 16
        assert float(y.sum()) == 16 and device.fetched == 24
        y += 1
        assert y.to("cpu").tolist() == [8.0, 10.0] and device.fetched == 40


def test_host_cannot_read_device_tensors() -> None:
    with FakeDevice() as device:
        x = device.put(np.ones(3))
        for look in (x.numpy, lambda: np.asarray(x), lambda: x + torch.ones(3)):
            with pytest.raises((RuntimeError, TypeError)):
                look()
    assert device.fetched == 0


def test_fetching_the_gradient_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above fails for what it is there to find: all blocks fetched, however many."""
    from gradwire.common.codecs import parse

    monkeypatch.setattr("gradwire.common.arrays.sampling.FEW", 1 << 40)
    monkeypatch.setattr("gradwire.common.arrays.sampling.FEW_SHARE", 1)
    codec = parse("simq_plus", 3 << 16)
    with pytest.raises(AssertionError, match="came to the host"):
        test_only_draws_are_fetched(codec)
