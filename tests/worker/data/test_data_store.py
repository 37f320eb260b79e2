"""Where data sets are found, that damaged files are refused, and that a failed download leaves nothing behind."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gradwire.common.errors import DataError
from gradwire.worker.data import available, fetch, load
from gradwire.worker.data.catalog import CATALOG
from gradwire.worker.data.cifar import TEST, TRAIN
from gradwire.worker.data.download import download
from gradwire.worker.data.files import PublicFile
from gradwire.worker.data.gisette import STAND_IN
from gradwire.worker.data.store import cache_folder

CONTENT = {"a5a": b"1 1:1\n-1 2:1\n", "a5a.t": b"1 3:1\n"}


class Publisher(ThreadingHTTPServer):
    """Serves CONTENT under /good/, other bytes under /bad/, half of them under /cut/, and 404 elsewhere."""

    requests: list[str]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        _, mood, name = self.path.split("/")
        content = CONTENT[name]
        self.send_response(404 if mood == "gone" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write({"good": content, "bad": content[::-1], "cut": content[:3]}.get(mood, b""))
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Quiet: the test's own failure says more."""


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher(("127.0.0.1", 0), Handler) as server:
        server.requests = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no GRADWIRE_DATA, and no proxy between a test and its own publisher."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("GRADWIRE_DATA", raising=False)
    return cache_folder()


def served(publisher: Publisher, name: str, *moods: str) -> PublicFile:
    base = f"http://127.0.0.1:{publisher.server_port}"
    urls = tuple(f"{base}/{mood}/{name}" for mood in moods)
    return PublicFile(name, urls, hashlib.sha256(CONTENT[name]).hexdigest(), len(CONTENT[name]))


def publish(monkeypatch: pytest.MonkeyPatch, publisher: Publisher, *moods: str) -> None:
    """Let the catalogue's a5a be what the publisher serves."""
    files = tuple(served(publisher, name, *moods) for name in CONTENT)
    monkeypatch.setitem(CATALOG, "a5a", replace(CATALOG["a5a"], files=files))


def test_download_is_verified_and_cached(
    cache: Path, monkeypatch: pytest.MonkeyPatch, publisher: Publisher
) -> None:
    publish(monkeypatch, publisher, "good")
    data = load("a5a")
    assert data.x_train.tolist() == [[1, 0], [0, 1]] and data.x_test.tolist() == [[0, 0]]
    assert fetch("a5a") == cache / "a5a"
    assert load("a5a") is data and len(publisher.requests) == 2
    assert {path.name for path in (cache / "a5a").iterdir()} == set(CONTENT)


@pytest.mark.parametrize(
    ("mood", "says"), [("bad", "sha256 differs"), ("gone", "HTTP status 404"), ("cut", "")]
)
def test_failed_download_leaves_nothing(tmp_path: Path, publisher: Publisher, mood: str, says: str) -> None:
    with pytest.raises(DataError, match=rf"cannot download a5a: http://.*/{mood}/a5a: .*{says}"):
        download(served(publisher, "a5a", mood), tmp_path / "new" / "a5a", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_failed_download_keeps_existing_folders(tmp_path: Path, publisher: Publisher) -> None:
    (tmp_path / "old").mkdir()
    with pytest.raises(DataError):
        download(served(publisher, "a5a", "gone"), tmp_path / "old" / "a5a", progress=False)
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


def test_second_address_is_tried(tmp_path: Path, publisher: Publisher) -> None:
    download(served(publisher, "a5a", "gone", "bad", "good"), tmp_path, progress=True)
    assert (tmp_path / "a5a").read_bytes() == CONTENT["a5a"]
    assert [path.split("/")[1] for path in publisher.requests] == ["gone", "bad", "good"]


def test_damaged_cached_file_is_replaced(
    cache: Path, monkeypatch: pytest.MonkeyPatch, publisher: Publisher
) -> None:
    publish(monkeypatch, publisher, "good")
    (cache / "a5a").mkdir(parents=True)
    for name in CONTENT:
        (cache / "a5a" / name).write_bytes(b"half")
    fetch("a5a", progress=False)
    assert (cache / "a5a" / "a5a").read_bytes() == CONTENT["a5a"]


def test_error_without_a_network(monkeypatch: pytest.MonkeyPatch, publisher: Publisher) -> None:
    publish(monkeypatch, publisher, "gone")
    with pytest.raises(DataError) as caught:
        load("a5a")
    message = str(caught.value)
    assert message.startswith(
        "a5a is not available: set GRADWIRE_DATA to a folder that has it, or run `gradwire data"
    )
    assert "\n" not in message


def test_users_file_with_another_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a9a"
    folder.mkdir()
    for name in ("a9a", "a9a.t"):
        (folder / name).write_bytes(b"1 1:1\n")
    monkeypatch.setenv("GRADWIRE_DATA", str(tmp_path))
    with pytest.raises(
        DataError, match=r"a9a is not the published file: its sha256 is [0-9a-f]{16}…, expected f5d5"
    ):
        load("a9a")


def test_variable_must_be_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADWIRE_DATA", str(tmp_path / "absent"))
    with pytest.raises(DataError, match="which is not a folder"):
        load("mnist")


def test_data_set_without_a_public_source() -> None:
    with pytest.raises(
        DataError, match="mnist49 is not available and has no public source: set GRADWIRE_DATA"
    ):
        fetch("mnist49")


def test_list_of_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    mine = tmp_path / "mine"
    for name, files in {
        "cifar10": (TRAIN[0], TRAIN[1], TEST),
        "mnist49": (STAND_IN,),
        "a9a": ("a9a",),
    }.items():
        (mine / name).mkdir(parents=True)
        for file in files:
            (mine / name / file).write_bytes(b"12345")
    (cache / "splice").mkdir(parents=True)
    for file in ("splice", "splice.t"):
        (cache / "splice" / file).write_bytes(b"123")
    monkeypatch.setenv("GRADWIRE_DATA", str(mine))
    rows = {info.name: info for info in available()}
    where = {name: info.where for name, info in rows.items()}
    assert where["digits"] == "embedded" and where["splice"] == "cached" and where["mnist"] == "to download"
    assert where["mnist49"] == str(mine / "mnist49")
    assert where["a9a"] == "to download"  # its test file is missing
    assert rows["cifar10"].samples == 20_000 and "2 of 5 training batches" in rows["cifar10"].note
    assert (rows["cifar10"].nbytes, rows["splice"].nbytes, rows["mnist"].nbytes) == (15, 6, 11_594_722)
    monkeypatch.delenv("GRADWIRE_DATA")
    assert {info.name: info.where for info in available()}["mnist49"] == "not available"
