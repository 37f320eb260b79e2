"""A PyTorch training loop with AdamW, a scheduler and a DataLoader; three sites of different sizes run it."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import gradwire

GRADWIRE = Path(sys.executable).with_name("gradwire")
ROWS = np.split(np.random.default_rng(0).permutation(1797), [100, 400, 1300])  # of three sites; for testing
SERVER = (
    "server", "--task", "own", "--workers", "3", "--rounds", "30", "--weighting", "size",
    "--codec", "drive", "--listen", "127.0.0.1:0", "--progress", "json", "--state-dir",
)  # fmt: skip


def images(part: int) -> TensorDataset:
    """A site's own images, as far as this program is concerned."""
    pixels, classes = (array[ROWS[part]] for array in load_digits(return_X_y=True))
    return TensorDataset(torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(classes))


def train(address: str, site: int) -> None:
    """The script of one site. What gradwire adds to it: the import above, and the lines with ``run``."""
    torch.set_num_threads(1)  # three sites share this machine
    train_set, (inputs, targets) = images(site), images(3).tensors
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=600)
    loader = DataLoader(train_set, batch_size=32, shuffle=True)
    with gradwire.join(address, model, every=20, size=len(train_set), name=f"site-{site}") as run:
        for pixels, classes in run.batches(loader):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(pixels), classes)
            loss.backward()
            optimizer.step()
            scheduler.step()
            run.step(loss=loss, examples=len(pixels))
    accuracy = (model(inputs).argmax(1) == targets).float().mean().item()
    print(f"site-{site}: {len(train_set)} images, accuracy {accuracy:.3f} on {len(targets)} others")
    assert accuracy > 0.9


if len(sys.argv) == 3:  # one of the sites
    train(sys.argv[1], int(sys.argv[2]))
else:  # the server, and the three sites
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([GRADWIRE, *SERVER, folder], stdout=subprocess.PIPE, text=True)
        address = json.loads(server.stdout.readline())["address"]
        sites = [subprocess.Popen([sys.executable, __file__, address, str(site)]) for site in range(3)]
        *_, finished = map(json.loads, server.stdout)
        assert not any(process.wait() for process in (server, *sites))
    print(f"{finished['summary']['uplink']['message_bytes'] / 90:.0f} bytes per update instead of 19,240")
