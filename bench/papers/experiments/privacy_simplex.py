"""``privacy-simplex``: vqSGD's private simplex up to the dimension of the paper's CIFAR-10 network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np

from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.common.codecs import parse
from gradwire.common.randomness import SystemCoins
from gradwire.deploy.report.document import Chart, Document, Section, Series, Table
from gradwire.deploy.units import short

CIFAR_10 = 12_332_010  # parameters of [V]'s network
DIMS = (1 << 10, 1 << 14, 1 << 18, 1 << 22, CIFAR_10)
BOUND = 1.0
SPECS = {
    "simplex": f"simplex(gain=bound({BOUND}))",
    "private top at the same epsilon": "private_top({epsilon!r})",
}


@register
class PrivacySimplex(Experiment):
    """Epsilon, bits, variance and times of real payloads."""

    name = "privacy-simplex"
    title = f"The private simplex at {CIFAR_10:,} coordinates"
    source = "[V] Proposition 13, Table 1"
    alone = True
    repeatable = False  # it times, and private codecs take coins from the operating system

    def cases(self, *, full: bool) -> Sequence[Params]:
        payloads = 400 if full else 40
        return [
            {"dim": dim, "scheme": scheme, "payloads": payloads if scheme == "simplex" else 3}
            for dim in reversed(DIMS)
            for scheme in SPECS
        ]

    def measure(self, *, dim: int, scheme: str, payloads: int) -> Any:
        return of_payloads(SPECS[scheme].format(epsilon=simplex_epsilon(dim)), dim, payloads)

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        rows = sorted(({**each.params, **each.result} for each in results), key=lambda row: row["dim"])
        largest = [row for row in rows if row["dim"] == rows[-1]["dim"]]
        return Document(
            self.title,
            "Payloads of a random unit vector (float32) under the public bound 1, with the operating system's coins. "
            "Private top, at the same epsilon, is this project's best mechanism.",
            [
                Section("What it says", finding(largest)),
                Section("Time and error by dimension", [_times(rows), _table(rows)]),
            ],
        )


def simplex_epsilon(dim: int) -> float:
    """ln((4 + r) / (4 - r)), r = sqrt(9 - 8 / d): theory 1.1, erratum V5."""
    r = math.sqrt(9 - 8 / dim)
    return math.log((4 + r) / (4 - r))


def of_payloads(spec: str, dim: int, payloads: int) -> dict[str, Any]:
    """Bits, epsilon and variance that are stated, and squared errors and times of that many payloads.

    Args:
        spec: of the codec.
        dim: coordinates.
        payloads: at least 2.
    """
    codec, coins = parse(spec, dim), SystemCoins()
    x = np.random.default_rng(1).standard_normal(dim, np.float32)
    x /= np.linalg.norm(x)
    codec.encode(x, coins, shared=0)
    errors, encoding, decoding = [], [], []
    for shared in range(payloads):
        start = perf_counter()
        payload = codec.encode(x, coins, shared=shared)
        encoded = perf_counter()
        decoded = codec.decode(payload, shared=shared)
        decoding.append(perf_counter() - encoded)
        encoding.append(encoded - start)
        decoded -= x
        errors.append(float(np.dot(decoded, decoded)))
    return {
        "codec": codec.spec,
        "bits": codec.nbits,
        "epsilon": codec.epsilon,
        "closed_form": simplex_epsilon(dim),
        "stated": codec.variance_at(x),
        "measured": float(np.mean(errors)),
        "standard_error": float(np.std(errors, ddof=1)) / math.sqrt(payloads),
        "encode_seconds": float(np.median(encoding)),
        "decode_seconds": float(np.median(decoding)),
    }


def finding(largest: Sequence[dict[str, Any]]) -> list[str]:
    """The numbers at the largest dimension, and where they are not as printed."""
    row = next(each for each in largest if each["scheme"] == "simplex")
    top = next(each for each in largest if each["scheme"] != "simplex")
    dim = row["dim"]
    return [
        f"At {dim:,} coordinates a payload of the private simplex has {row['bits']} bits and the epsilon "
        f"{row['epsilon']:.7f}, below ln 7 = {math.log(7):.7f}; it is encoded in "
        f"{row['encode_seconds'] * 1e3:.0f} ms and decoded in {row['decode_seconds'] * 1e3:.0f} ms. Its "
        f"squared error is {short(row['stated'])} for a vector of length 1 (measured "
        f"{short(row['measured'])} ± {short(row['standard_error'])}): it works, and N workers' mean needs "
        f"N = {short(row['stated'])} of them for an error as large as the vector. Private top at the same "
        f"epsilon has {short(top['stated'])} in {top['bits']} bits, {short(row['stated'] / top['stated'])} "
        "times less.",
        f"Printed: variance R² = 4d² = {short(4.0 * dim * dim)}, true {short(row['stated'])}, 8 d² / 3: a "
        "third of the draws are -4·1, of length 4 sqrt d. Printed bits N log(d + 1), here rounded up.",
        "V5: the epsilon is below ln 7 as printed, though the printed bound (7d - 2) / (d + 2) on the "
        "ratio is too small (at d = 2 it is 3, the true ratio 3.535), because e_1 is not the vector at "
        "which the vertex is likeliest.",
    ]


def _times(rows: Sequence[dict[str, Any]]) -> Chart:
    series = []
    for scheme in SPECS:
        own = [row for row in rows if row["scheme"] == scheme]
        dims = [float(row["dim"]) for row in own]
        series.append(Series(f"{scheme}, encode", dims, [row["encode_seconds"] for row in own]))
        series.append(Series(f"{scheme}, decode", dims, [row["decode_seconds"] for row in own]))
    return Chart(
        "Time per payload",
        "coordinates",
        "seconds",
        series,
        log_x=True,
        log_y=True,
        note="Medians, one thread.",
    )


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    columns = ["coordinates", "scheme", "bits", "epsilon", "below ln 7 by", "stated", "measured", "±"]
    columns += ["printed 4d²", "encode, s", "decode, s"]
    body = [
        [
            row["dim"],
            row["scheme"],
            row["bits"],
            row["epsilon"],
            math.log(7) - row["epsilon"],
            row["stated"],
            row["measured"],
            row["standard_error"],
            4.0 * row["dim"] ** 2 if row["scheme"] == "simplex" else None,
            row["encode_seconds"],
            row["decode_seconds"],
        ]
        for row in rows
    ]
    return Table("Payloads", columns, body, note="Stated: the exact variance at the measured vector.")
