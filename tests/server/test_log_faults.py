"""A log that is held, shared or out of room."""

import resource
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from gradwire.common.errors import LogError
from gradwire.common.training.record import RoundRecord
from gradwire.server.log.run_log import RunLog
from tests.server.log_victim import CONFIG, filled, record

Shortage = Callable[[RunLog], AbstractContextManager[None]]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    filled(tmp_path / "run")
    return tmp_path / "run"


def everything(log: RunLog) -> tuple[object, ...]:
    kept = list(log.read(0, log.next_round))
    return kept, log.initial(), log.latest_snapshot(), log.assignments(), log.bytes_since_snapshot()


# ---- held ------------------------------------------------------------------------------------------------------------


def test_a_run_is_not_begun_twice(directory: Path) -> None:
    with pytest.raises(LogError, match="already holds a run log"):
        RunLog.create(directory, CONFIG, b"other")
    (directory / "run.db").rename(directory / "run.db-wal")
    with pytest.raises(LogError, match=r"already holds a run log \(run.db-wal\)"):
        RunLog.create(directory, CONFIG, b"other")


def test_a_path_that_cannot_be_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match="file"):
        RunLog.create(tmp_path / "file" / "run", CONFIG, b"run")


def test_one_holder_at_a_time(directory: Path) -> None:
    with RunLog.open(directory) as log:
        for take in (RunLog.open, lambda d: RunLog.create(d, CONFIG, b"other")):
            with pytest.raises(LogError, match="in use by another server"):
                take(directory)
        log.append(record(4), 4)
    log.close()
    RunLog.open(directory).close()
    with pytest.raises(LogError, match="closed"):
        log.append(record(5), 5)


# ---- no room ---------------------------------------------------------------------------------------------------------


@contextmanager
def few_pages(log: RunLog) -> Iterator[None]:
    (pages,) = log._file.rows("PRAGMA page_count")[0]
    log._file.rows(f"PRAGMA max_page_count = {pages + 3}")
    yield
    log._file.rows("PRAGMA max_page_count = 1000000")


@contextmanager
def short_files(log: RunLog) -> Iterator[None]:
    """The operating system itself refuses the writes, some pages into a transaction."""
    earlier = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, earlier[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, earlier)


@pytest.mark.parametrize("shortage", [few_pages, short_files])
def test_a_full_disk_leaves_the_log_as_it_was(directory: Path, shortage: Shortage) -> None:
    large = RoundRecord(4, (1,), (b"x" * 300_000,))
    with RunLog.open(directory) as log:
        before = everything(log)
        with shortage(log):
            with pytest.raises(
                LogError, match=r"nothing was changed: (make room|see that the disk has room)"
            ):
                log.append(large, 4)
            with pytest.raises(
                LogError, match=r"nothing was changed: (make room|see that the disk has room)"
            ):
                log.snapshot(4, b"x" * 300_000)
            assert everything(log) == before
        log.append(large, 4)
    with RunLog.open(directory) as log:
        assert list(log.read(3, 5)) == [record(3), large]


def test_threads_share_a_log(directory: Path) -> None:
    with RunLog.open(directory) as log, ThreadPoolExecutor(8) as threads:
        appends = threads.submit(lambda: [log.append(record(i), i) for i in range(4, 24)])
        puts = [threads.submit(log.put, str(i), str(i)) for i in range(40)]
        reads = [threads.submit(lambda: list(log.read(0, 4))) for _ in range(20)]
        assert all(read.result() == [record(i) for i in range(4)] for read in reads)
        for future in (appends, *puts):
            future.result()
        assert (log.next_round, log.get("39")) == (24, "39")
        assert list(log.read(0, 24)) == [record(i) for i in range(24)]


def test_a_copy_of_the_directory_is_the_same_run(directory: Path, tmp_path: Path) -> None:
    with RunLog.open(directory) as log:
        expected = everything(log)
    shutil.copytree(directory, tmp_path / "copy")
    with RunLog.open(tmp_path / "copy") as log:
        assert everything(log) == expected
