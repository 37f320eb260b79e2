"""Which process hosts which logical workers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum

from gradwire.common.errors import FailedPrecondition, InvalidArgument, PermissionDenied, WireError

SHOWN = 8  # names in a refusal


class Bound(Enum):
    """Whether the ids of a process stay its own while it is away.

    NOT: they may be given to another, whose data are dealt by the ids alone. DATA: they stay, because its data do.
    CERTIFICATE: they stay, because names are certified.
    """

    NOT = "not"
    DATA = "data"
    CERTIFICATE = "certificate"


def assign(
    process: str,
    count: int,
    wanted: tuple[int, ...],
    *,
    workers: int,
    known: Mapping[str, tuple[int, ...]],
    connected: Collection[str],
    bound: Bound = Bound.NOT,
    senders: Mapping[int, str] | None = None,
) -> tuple[int, ...]:
    """The ids that a joining process gets, increasing.

    A process that joined before gets its old ids back, so that data shards and payloads stay where they were. A new one
    gets the ids it wants, or the lowest free ones. The ids of processes that are not connected are given away only when
    no others are left, and never where they are bound to names: there a process keeps its ids for the whole run.

    Args:
        process: the name that the process joins under.
        count: how many workers it hosts.
        wanted: ids it insists on; empty for any.
        workers: logical workers of the run.
        known: ids of every process that ever joined.
        connected: the other processes that are connected.
        bound: whether ids stay with a name.
        senders: by worker, the process whose payloads were counted last: where ids are bound, they are its own also
            after it joined with fewer.

    Raises:
        InvalidArgument: a count or ids that no run could give.
        PermissionDenied: ids of a process with another certificate.
        FailedPrecondition: not enough ids are free.
    """
    if wanted and (len(set(wanted)) != len(wanted) or not all(0 <= w < workers for w in wanted)):
        raise InvalidArgument(f"worker ids must be distinct and below {workers}, the run's number of workers")
    count = len(wanted) or count
    if not 1 <= count <= workers:
        raise InvalidArgument(
            f"{count} workers asked for, expected 1 to {workers}, the run's number of workers"
        )
    owners = {w: name for name, ids in known.items() for w in ids}
    if bound is not Bound.NOT:
        owners = {**(senders or {}), **owners}
    others = {w: name for w, name in owners.items() if name != process}
    busy = others if bound is not Bound.NOT else {w: n for w, n in others.items() if n in connected}
    if wanted:
        return _wanted(wanted, busy, bound, connected)
    old = known.get(process, ())
    if len(old) == count and not busy.keys() & set(old):
        return old
    free = [w for w in range(workers) if w not in others]
    if bound is not Bound.NOT:  # its own first
        free.sort(key=lambda w: w not in owners)
    left_behind = [w for w in range(workers) if w in others and w not in busy]
    if len(free) + len(left_behind) < count:
        raise FailedPrecondition(
            f"{count} workers asked for, {len(free) + len(left_behind)} of the run's {workers} are free"
            f"{_advice(busy, bound, connected)}"
        )
    return tuple(sorted((free + left_behind)[:count]))


def _wanted(
    wanted: tuple[int, ...], busy: Mapping[int, str], bound: Bound, connected: Collection[str]
) -> tuple[int, ...]:
    clash = min(set(wanted) & busy.keys(), default=None)
    if clash is not None:
        raise _taken(clash, busy[clash], bound, connected)
    return tuple(sorted(wanted))


def _taken(worker: int, owner: str, bound: Bound, connected: Collection[str]) -> WireError:
    if bound is Bound.CERTIFICATE:
        return PermissionDenied(
            f"worker {worker} belongs to a process with another certificate: ask for others, or use that certificate"
        )
    if owner in connected:
        return FailedPrecondition(f"worker {worker} is hosted by a process that is connected: ask for others")
    return FailedPrecondition(
        f"worker {worker} stays with {owner}, which holds its data and is away: "
        f"start that site again with --name {owner}, or ask for other ids"
    )


def _advice(busy: Mapping[int, str], bound: Bound, connected: Collection[str]) -> str:
    """What to do when ids are too few: where they stay with names, those that are away are named."""
    away = sorted(set(busy.values()).difference(connected))
    if bound is not Bound.DATA or not away:
        return ": start fewer"
    names = ", ".join(away[:SHOWN]) + (", …" if len(away) > SHOWN else "")
    return (
        f"; others stay with sites that are away and hold their data ({names}): start those again under their names, "
        "or begin a run with more --workers"
    )
