"""Encode, decode and average gradients with one codec; compare its bits and its variance with what it states."""

import numpy as np

import gradwire

DIM, WORKERS, SAMPLES = 10_000, 20, 200

codec = gradwire.parse("cross_polytope(repeats=100)", dim=DIM)
rng = np.random.default_rng(0)
gradient = rng.normal(size=DIM)
gradient /= np.linalg.norm(gradient)

payload = codec.encode(gradient, rng)
print(
    f"{codec}: {codec.nbits} bits for {DIM:,} coordinates, {32 * DIM / codec.nbits:.0f} times fewer than float32"
)
assert len(payload) == codec.nbytes

estimate = codec.decode(payload)  # float64 [dim], zero outside the 100 drawn coordinates
print(f"one payload names {np.count_nonzero(estimate)} coordinates")

# The estimate is unbiased, and its expected squared error is known exactly.
errors = [np.sum((codec.decode(codec.encode(gradient, rng)) - gradient) ** 2) for _ in range(SAMPLES)]
stated = codec.variance(norm=1.0)
print(f"squared error of one payload: {np.mean(errors):.2f} on average, stated {stated:.2f}")
assert abs(np.mean(errors) / stated - 1) < 0.1

# A server averages the payloads of many workers without decoding each of them.
total = codec.accumulator()
for _ in range(WORKERS):
    total.add(codec.encode(gradient, rng))
update = total.mean()
error = np.sum((update.dense() - gradient) ** 2)
print(f"squared error of the mean of {WORKERS}: {error:.2f}, stated {stated / WORKERS:.2f}")
assert abs(error * WORKERS / stated - 1) < 0.2
