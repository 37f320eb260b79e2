"""`gradwire watch`: by address and by folder, while a server runs and while none does."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.errors import LogError
from gradwire.common.training.config import RunConfig
from gradwire.deploy.cli import call
from gradwire.deploy.watching.address_file import NAME, AddressFile, address_in
from gradwire.server.counters import Counters
from gradwire.server.log.run_log import RunLog
from gradwire.server.watching.describe import POINTS, history, thinned
from tests.system.harness import TIMEOUT, Run, cancel, run_hosts

CONFIG = RunConfig(task="least_squares(samples=64, dim=24)", workers=4, rounds=30)
HOSTS = [(0, 1), (2, 3)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("finished")
    return folder, run_hosts(CONFIG, folder, HOSTS)[0]


def tree(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


# ---- folders -------------------------------------------------------------------------------------------------


def test_a_folder_that_no_server_uses_says_where_its_run_stands(
    finished: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, summary = finished
    before = tree(folder)
    assert call(["watch", str(folder)]) == 0
    shown = capsys.readouterr().out
    for part in (CONFIG.task, "4 workers, 30 rounds", "round 30/30", f"{summary['loss']:.4g}", "finished"):
        assert part in shown
    assert tree(folder) == before


def test_the_same_as_json(finished: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    folder, summary = finished
    assert call(["watch", str(folder), "--json"]) == 0
    state = json.loads(capsys.readouterr().out)
    assert (state["event"], state["round"], state["finished"]) == ("state", 30, True)
    assert state["loss"] == summary["loss"] and state["metrics"] == summary["metrics"]
    assert state["history"] == summary["history"]
    assert state["uplink_bytes"] == summary["uplink"]["message_bytes"]


def test_an_address_where_nobody_answers_is_that_of_a_killed_server(
    finished: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = finished
    (folder / NAME).write_text('{"address": "127.0.0.1:1"}')
    assert call(["watch", str(folder)]) == 0
    assert "round 30/30" in capsys.readouterr().out
    (folder / NAME).unlink()


def test_a_run_that_was_killed_is_read_without_its_lock(tmp_path: Path) -> None:
    async def main() -> None:
        run = Run(CONFIG, tmp_path)
        async with asyncio.timeout(TIMEOUT):
            tasks = [asyncio.create_task(run.serve())]
            tasks += [asyncio.create_task(run.work(f"p{i}", ids)) for i, ids in enumerate(HOSTS)]
            await run.committed(5)
            for task in tasks:
                await cancel(task)

    asyncio.run(main())
    with RunLog.peek(tmp_path) as seen, RunLog.open(tmp_path) as log:  # as a server that starts meanwhile
        assert seen.next_round == log.next_round >= 6


def test_a_log_that_is_being_written_is_not_read(
    finished: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = iter(range(100))
    monkeypatch.setattr("gradwire.common.system.sqlite._stamps", lambda path: [(next(stamps), 0)])
    with pytest.raises(LogError, match="is being written by a server: try again"):
        RunLog.peek(finished[0])


# ---- servers -------------------------------------------------------------------------------------------------


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A run in another thread that goes on while the context lasts; its address. Workers join at the end."""
    there, go = threading.Event(), threading.Event()
    address: list[str] = []

    async def main() -> None:
        file = AddressFile(folder)
        run = Run(CONFIG, folder, file.note)
        async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as group:
            group.create_task(run.serve())
            address.append(await run.address)
            there.set()
            await asyncio.to_thread(go.wait)
            for i, ids in enumerate(HOSTS):
                group.create_task(run.work(f"process-{i}", ids))
        file.remove()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    there.wait()
    try:
        yield address[0]
    finally:
        go.set()
        thread.join()


@pytest.mark.parametrize("by", ["address", "folder"])
def test_a_run_is_watched_to_its_end(by: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path) as address:
        watching: list[int] = []
        target = address if by == "address" else str(tmp_path)
        watcher = threading.Thread(target=lambda: watching.append(call(["watch", target])))
        watcher.start()
    watcher.join()
    shown = capsys.readouterr().out
    assert watching == [0]
    assert shown.startswith(f"{CONFIG.task}, {CONFIG.codec}: 4 workers, 30 rounds, after round ")
    assert "predicted bytes were measured: yes" in shown and "replicas agree: yes" in shown
    assert address_in(tmp_path) is None


def test_no_server_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["watch", "127.0.0.1:1", "--retry-for", "0"]) == 1
    assert capsys.readouterr().err == "gradwire: no server at 127.0.0.1:1 for 0 s: is it running?\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere"], "there is no folder nowhere, and it is no address"),
        (["nowhere:port"], "port 'port' in address"),
        (["server.example:1"], "is not loopback and TLS is off"),
        (["127.0.0.1:1", "--key", "k.pem"], "--key goes with --cert"),
        (["127.0.0.1:1", "--cert", "none.pem"], "none.pem"),
        (["127.0.0.1:1", "--retry-for", "-1"], "retry-for"),
    ],
)
def test_bad_input_is_one_line(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["watch", *words]) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1


def test_a_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["watch", str(tmp_path)]) == 2
    assert "there is no run in" in capsys.readouterr().err


# ---- the address file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ('{"address": "0.0.0.0:7"}', "127.0.0.1:7"), ('{"address": "[::]:7"}', "[::1]:7"),
        ('{"address": "server.example:7"}', "server.example:7"), ('{"address": 7}', None), ("{", None), ("[]", None),
        ('{"address": "x"}', None),
    ],
)  # fmt: skip
def test_where_a_server_listens(text: str, address: str | None, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(text)
    found = address_in(tmp_path)
    assert (None if found is None else str(found)) == address


def test_a_folder_that_cannot_be_written_has_no_address(tmp_path: Path) -> None:
    file = AddressFile(tmp_path / "none")
    file.note({"event": "listening", "address": "127.0.0.1:7"})
    file.remove()
    assert address_in(tmp_path / "none") is None


# ---- the history ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [0, 1, 7, 199, 200, 201, 5000])
@pytest.mark.parametrize("every", [0, 1, 10, 700])
def test_a_history_is_thinned_to_so_many_points(rounds: int, every: int) -> None:
    config = RunConfig(task="synthetic(4)", rounds=max(1, rounds), evaluate_every=every)
    counters = Counters()
    for round_ in range(rounds):
        counters.point(round_).loss = 1.0
    for round_ in range(0, rounds + 1, every or rounds + 1):
        counters.point(round_).metrics["accuracy"] = 0.5
    for points in (POINTS, 10, 1):
        rows = history(counters, config, rounds, points)
        assert len(rows) <= points and rows == sorted(rows, key=lambda row: row["round"])
        if rounds and points == POINTS:
            assert len(rows) >= min(rounds, points // 4) and rows[-1]["round"] >= rounds - 1 - rounds // 100
            assert not every or any("accuracy" in row for row in rows)
    whole = counters.rows()
    assert len(thinned(whole)) <= POINTS and thinned(whole)[-1:] == whole[-1:]
