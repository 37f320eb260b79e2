"""Train a `torch.nn.Module`: a small convolutional network on 8x8 digits, in quantized rounds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits

from gradwire import TorchProblem

HERE = Path(__file__).parent


def problem(seed: int) -> TorchProblem:
    """Module, loss and data: what the workers build when the run begins."""
    pixels, classes = load_digits(return_X_y=True)
    x = torch.tensor(pixels / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    y = torch.tensor(classes)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 6 * 6, 10)
    )
    return TorchProblem(module, torch.nn.functional.cross_entropy, (x[:1500], y[:1500]), (x[1500:], y[1500:]))


if __name__ == "__main__":
    command = [
        Path(sys.executable).with_name("gradwire"), "run", "--json", "-",
        "--task", "torch(torch_module:problem, batch=64)", "--allow-task", "torch_module:problem",
        "--codec", "top_signs(count=300)", "--lr", "0.5",
        "--partition", "iid", "--workers", "4", "--processes", "1", "--rounds", "60",
    ]  # fmt: skip
    found = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(HERE)}, stdout=subprocess.PIPE, check=True
    )
    summary = json.loads(found.stdout)
    accuracy, bits = summary["metrics"]["accuracy"], summary["payload_bits_per_push"]
    print(f"{summary['dim']} parameters, {bits / summary['dim']:.2f} bits per coordinate")
    print(f"accuracy {accuracy:.3f} after {summary['rounds']} rounds")
    assert accuracy > 0.75
