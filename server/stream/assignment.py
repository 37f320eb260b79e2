"""Which process hosts which logical workers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gradwire.common.errors import FailedPrecondition, InvalidArgument, PermissionDenied


def assign(
    process: str,
    count: int,
    wanted: tuple[int, ...],
    *,
    workers: int,
    known: Mapping[str, tuple[int, ...]],
    connected: Collection[str],
    certified: bool = False,
) -> tuple[int, ...]:
    """The ids that a joining process gets, increasing.

    A process that joined before gets its old ids back, so that data shards and payloads stay where they were. A new one
    gets the ids it wants, or the lowest free ones. The ids of processes that are not connected are given away only when
    no others are left, and never where names are certified: there a process keeps its ids for the whole run.

    Args:
        process: the name that the process joins under.
        count: how many workers it hosts.
        wanted: ids it insists on; empty for any.
        workers: logical workers of the run.
        known: ids of every process that ever joined.
        connected: the other processes that are connected.
        certified: names are those in certificates.

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
    present = known if certified else connected
    busy = {w for name in present if name != process for w in known.get(name, ())}
    if wanted:
        return _wanted(wanted, busy, certified)
    old = known.get(process, ())
    if len(old) == count and not busy & set(old):
        return old
    taken = busy | {w for name, ids in known.items() if name != process for w in ids}
    free = [w for w in range(workers) if w not in taken]
    left_behind = [w for w in range(workers) if w in taken and w not in busy]
    if len(free) + len(left_behind) < count:
        raise FailedPrecondition(
            f"{count} workers asked for, {len(free) + len(left_behind)} of the run's {workers} are free: start fewer"
        )
    return tuple(sorted((free + left_behind)[:count]))


def _wanted(wanted: tuple[int, ...], busy: Collection[int], certified: bool) -> tuple[int, ...]:
    clash = sorted(set(wanted) & set(busy))
    if clash and certified:
        raise PermissionDenied(
            f"worker {clash[0]} belongs to a process with another certificate: ask for others, or use that certificate"
        )
    if clash:
        raise FailedPrecondition(
            f"worker {clash[0]} is hosted by a process that is connected: ask for others"
        )
    return tuple(sorted(wanted))
