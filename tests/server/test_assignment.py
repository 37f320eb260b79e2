"""Which worker ids a joining process gets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwire.common.errors import FailedPrecondition, InvalidArgument, PermissionDenied, WireError
from gradwire.server.stream.assignment import Bound, assign

KNOWN = {"a": (0, 1), "b": (2,), "gone": (3, 4)}


@pytest.mark.parametrize(
    ("process", "count", "wanted", "connected", "expected"),
    [
        ("new", 2, (), ["a", "b"], (5, 6)),  # the lowest free ids
        ("new", 0, (6, 5), ["a"], (5, 6)),  # wanted ids, sorted; the count is theirs
        ("new", 9, (6,), [], (6,)),
        ("new", 4, (), ["a", "b"], (3, 4, 5, 6)),  # free ones first, then those of a process that is gone
        ("new", 7, (), [], tuple(range(7))),
        ("new", 0, (0, 2), [], (0, 2)),  # wanted ids of processes that are gone
        ("a", 2, (), ["b"], (0, 1)),  # its old ids
        ("a", 2, (), ["a", "b"], (0, 1)),  # its earlier stream does not count
        ("a", 1, (), ["b"], (0,)),  # another count: the lowest free ids, its own among them
        ("a", 3, (), ["b"], (0, 1, 5)),
        ("gone", 2, (), ["a", "b"], (3, 4)),
        ("a", 0, (3,), ["b"], (3,)),
    ],
)
def test_ids(
    process: str, count: int, wanted: tuple[int, ...], connected: list[str], expected: tuple[int, ...]
) -> None:
    assert assign(process, count, wanted, workers=7, known=KNOWN, connected=connected) == expected


def test_old_ids_that_another_process_hosts_now_are_not_given_back() -> None:
    known = {"a": (0, 1), "b": (1, 2)}
    assert assign("a", 2, (), workers=5, known=known, connected=["b"]) == (0, 3)


@pytest.mark.parametrize(
    ("count", "wanted", "connected", "error", "words"),
    [
        (1, (7,), [], InvalidArgument, "distinct and below 7"),
        (1, (-1,), [], InvalidArgument, "distinct and below 7"),
        (1, (5, 5), [], InvalidArgument, "distinct and below 7"),
        (0, (), [], InvalidArgument, "0 workers asked for, expected 1 to 7"),
        (8, (), [], InvalidArgument, "8 workers asked for, expected 1 to 7"),
        (1, (2,), ["b"], FailedPrecondition, "worker 2 is hosted by a process that is connected"),
        (5, (), ["a", "b"], FailedPrecondition, "5 workers asked for, 4 of the run's 7 are free"),
    ],
)
def test_refusals(
    count: int, wanted: tuple[int, ...], connected: list[str], error: type[WireError], words: str
) -> None:
    with pytest.raises(error, match=words):
        assign("new", count, wanted, workers=7, known=KNOWN, connected=connected)


def test_certified_processes_keep_their_ids_for_the_whole_run() -> None:
    def certified(process: str, count: int, wanted: tuple[int, ...]) -> tuple[int, ...]:
        return assign(process, count, wanted, workers=7, known=KNOWN, connected=[], bound=Bound.CERTIFICATE)

    assert certified("new", 2, ()) == (5, 6)
    assert certified("gone", 2, ()) == (3, 4)
    with pytest.raises(PermissionDenied, match="worker 3 belongs to a process with another certificate"):
        certified("new", 0, (3, 5))
    with pytest.raises(FailedPrecondition, match="2 of the run's 7 are free"):
        certified("new", 3, ())


def of_sites(
    process: str, count: int, wanted: tuple[int, ...], connected: list[str], workers: int = 7
) -> tuple[int, ...]:
    """Ids where each site holds data of its own; worker 6 was alice's, who joined with fewer since."""
    known = {**KNOWN, "alice": (5,)}
    senders = {0: "a", 3: "gone", 5: "alice", 6: "alice"}
    return assign(
        process,
        count,
        wanted,
        workers=workers,
        known=known,
        connected=connected,
        bound=Bound.DATA,
        senders=senders,
    )


def test_where_sites_hold_data_ids_stay_with_names() -> None:
    assert of_sites("gone", 2, (), []) == (3, 4)
    assert of_sites("alice", 2, (), []) == (5, 6), "its own come first"
    assert of_sites("alice", 1, (6,), []) == (6,)
    assert of_sites("new", 1, (), [], workers=8) == (7,)
    one = {"b": (4,)}
    assert assign("b", 2, (), workers=7, known=one, connected=[], bound=Bound.DATA) == (0, 4)
    assert assign("b", 2, (), workers=7, known=one, connected=[]) == (0, 1)
    with pytest.raises(
        FailedPrecondition,
        match=r"^worker 3 stays with gone, which holds its data and is away: .*--name gone",
    ):
        of_sites("new", 1, (3,), [])
    with pytest.raises(FailedPrecondition, match="worker 6 stays with alice"):
        of_sites("new", 1, (6,), [])
    with pytest.raises(FailedPrecondition, match="worker 0 is hosted by a process that is connected"):
        of_sites("new", 1, (0,), ["a"])
    with pytest.raises(
        FailedPrecondition,
        match=r"1 workers asked for, 0 of the run's 7 are free; .* \(alice, b, gone\): start those again",
    ):
        of_sites("new", 1, (), ["a"])
    with pytest.raises(FailedPrecondition, match=r"are free: start fewer$"):
        of_sites("new", 1, (), ["a", "b", "gone", "alice"])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_joins_gets_as_many_free_ids_as_it_asked_for_or_is_refused(data: st.DataObject) -> None:
    workers = data.draw(st.integers(1, 6))
    known: dict[str, tuple[int, ...]] = {}
    connected: set[str] = set()
    for _ in range(data.draw(st.integers(1, 8))):
        process = data.draw(st.sampled_from("abcd"))
        count = data.draw(st.integers(0, workers + 1))
        wanted = tuple(data.draw(st.lists(st.integers(0, workers), max_size=2)))
        here = connected - {process}
        busy = {w for name in here for w in known[name]}
        try:
            ids = assign(process, count, wanted, workers=workers, known=known, connected=here)
        except WireError:
            possible = len(set(wanted)) == len(wanted) and max(wanted, default=0) < workers
            needed = len(wanted) or count
            free = not busy & set(wanted) if wanted else needed <= workers - len(busy)
            assert not (possible and 1 <= needed <= workers and free)
            continue
        assert list(ids) == sorted(set(ids)) and set(ids) <= set(range(workers)) - busy
        assert ids == tuple(sorted(wanted)) if wanted else len(ids) == count
        known = {name: tuple(w for w in had if w not in ids) for name, had in known.items()} | {process: ids}
        connected.add(process)
        connected -= set(data.draw(st.lists(st.sampled_from(sorted(connected)), max_size=2)))
