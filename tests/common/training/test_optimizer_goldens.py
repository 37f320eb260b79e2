"""Bits after some steps, pinned: logs are replayed by later releases, which must make the same steps."""

import hashlib

import numpy as np
import pytest

from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import optimizers, parse_optimizer

DIM, STEPS = 3, 20
# By whole numbers, so that no random generator takes part.
UPDATES = (
    np.array([[(37 * i + 101 * t + 11 * i * t) % 97 - 48 for i in range(DIM)] for t in range(STEPS)]) / 32
)
# Not those of projected_sgd and mirror_descent, which use powers: they are not portable.
GOLDENS: dict[str, tuple[str, str]] = {
    "sgd(lr=0.1)": ("0000903f 38337bbf 3533b3bd", "e4a6a0577479b2b4"),
    "sgd(lr=0.1, momentum=0.9, weight_decay=0.1)": ("b9777b40 f802153f 4c3572be", "010ca4c4c2468685"),
    "sgd(schedule=step, every=3, factor=0.7)": ("00e8973f 9d3495bf 5aa9443d", "e4a6a0577479b2b4"),
    "sgd(schedule=inverse_sqrt)": ("aaa1763f f37095bf 65324fbc", "e4a6a0577479b2b4"),
    "sgd(schedule=warmup(5, cosine(13, final=0.1)))": ("cad4873f 6b3e90bf 038313bd", "e4a6a0577479b2b4"),
    "sgd(schedule=linear(17))": ("ffff9f3f c7c698bf 3839b93c", "e4a6a0577479b2b4"),
    "nesterov(lr=0.7, momentum=0.9)": ("9b204442 cbc7d440 6c4e4fbf", "353d3de008183bbf"),
    "nesterov(lr=0.1, weight_decay=0.1)": ("1cc15440 5dab343f 50e1a4be", "4288f99bfa55f530"),
    "adam": ("c663033f 19b59fbf 51bbdeb8", "9b627bc64655f92f"),
    "adam(lr=0.01, beta1=0.8, beta2=0.99, weight_decay=0.1)": (
        "7c5d183f e45e99bf 3efd9abb",
        "378dca0cdce18b26",
    ),
    "adam(bias_correction=false, initial=0.01, eps=0.1)": ("ef94073f 357e9fbf 1726a338", "10041915e94c1c8d"),
    "adamw(lr=0.01, weight_decay=0.1)": ("f3f11e3f dfef99bf 0cfd8dba", "9b627bc64655f92f"),
    "yogi": ("84b0a03f 9eb391bf 1e060f3c", "84887e10a6f4e6c3"),
    "adagrad": ("3add073f d85d9fbf e425bdbb", "d522110a490c2969"),
    "adagrad(beta1=0.9, initial=0.1, weight_decay=0.1)": ("f3e2053f 32dc9ebf db769f39", "7dfeda30387754fd"),
    "clipped(1.0, sgd(lr=0.1))": ("172a623f 7ae68cbf 850a9ebd", "e4a6a0577479b2b4"),
    "averaged(adam(schedule=warmup(7)))": ("9981023f 9dcc9fbf b8286638", "f597d7895299a5ac"),
}


def bits(spec: str) -> tuple[str, str]:
    """The parameters in hexadecimal, little-endian, and a hash of the state."""
    model = Model(np.array([0.5, -1.25, 0], np.float32), parse_optimizer(spec))
    for update in UPDATES.astype(np.float32):
        model.apply(update)
    state = model.snapshot()[4 * DIM :]
    return model.params.astype("<f4").tobytes().hex(" ", 4), hashlib.blake2b(state, digest_size=8).hexdigest()


@pytest.mark.parametrize("spec", GOLDENS)
def test_bits_are_those_of_earlier_releases(spec: str) -> None:
    assert bits(spec) == GOLDENS[spec], spec


def test_every_portable_optimizer_is_pinned() -> None:
    portable = {name for name, cls in optimizers().items() if cls.portable}
    assert portable == {spec.partition("(")[0] for spec in GOLDENS}
