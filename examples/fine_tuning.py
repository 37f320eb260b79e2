"""Fine-tuning: a backbone from a .safetensors file stays frozen, and three sites train a new last layer."""

import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Subset, TensorDataset

import gradwire
from gradwire.common.weights.forms import weight_file

GRADWIRE = Path(sys.executable).with_name("gradwire")
BACKBONE = Path("backbone.safetensors")
PRETRAIN = (GRADWIRE, "run", "--task", "mlp(digits, hidden=64)", "--rounds", "60", "--save", BACKBONE)
SERVER = "server --task own --workers 3 --rounds 15 --codec float32 --listen 127.0.0.1:0 --progress json"


def train(address: str, site: int) -> None:
    """The script of one site: is a digit odd? The backbone was trained to name digits."""
    torch.set_num_threads(1)  # three sites share this machine
    pixels, digits = map(torch.tensor, load_digits(return_X_y=True))
    images = TensorDataset(pixels.float() / 16, digits % 2)
    loader = DataLoader(Subset(images, range(site, 1200, 3)), batch_size=32, shuffle=True)
    test_inputs, test_targets = images[1200:]
    arrays = weight_file(BACKBONE).read()
    backbone, head = torch.nn.Linear(64, 64).requires_grad_(False), torch.nn.Linear(64, 2)
    backbone.load_state_dict({name: torch.tensor(arrays[f"0.{name}"].values) for name in ("weight", "bias")})
    model = torch.nn.Sequential(backbone, torch.nn.ReLU(), head)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.01)

    def evaluate() -> dict[str, float]:
        return {"accuracy": (model(test_inputs).argmax(1) == test_targets).float().mean().item()}

    with gradwire.join(address, model, every=10, evaluate=evaluate, name=f"site-{site}") as run:
        for inputs, targets in run.batches(loader):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
            run.step(loss=loss)


if len(sys.argv) == 3:  # one of the sites
    train(sys.argv[1], int(sys.argv[2]))
else:  # the server, and the three sites
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        subprocess.run(PRETRAIN, stdout=subprocess.DEVNULL, check=True)
        server = subprocess.Popen([GRADWIRE, *SERVER.split()], stdout=subprocess.PIPE, text=True)
        address = json.loads(server.stdout.readline())["address"]
        sites = [subprocess.Popen([sys.executable, __file__, address, str(site)]) for site in range(3)]
        *_, summary = map(json.loads, server.stdout)
        assert not any(process.wait() for process in (server, *sites))
    accuracy = summary["summary"]["metrics"]["accuracy"]
    print(f"130 of 4,290 parameters are exchanged, accuracy {accuracy:.3f}")
    assert accuracy > 0.85
