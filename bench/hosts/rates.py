"""Link rates as ``tc`` writes them, and the token bucket that limits a link."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gradwire.common.errors import ConfigError
from gradwire.deploy.units import human

_UNITS = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
FRAME = 1514  # bytes of a full Ethernet frame as the kernel counts it
LOWEST, HIGHEST = 10_000, 10**10


@dataclass(frozen=True, order=True)
class Rate:
    """Bits per second, Ethernet headers included."""

    bits: int

    def __post_init__(self) -> None:
        if not LOWEST <= self.bits <= HIGHEST:
            raise ConfigError(f"a link of {self.bits} bit/s, expected 10kbit to 10gbit")

    def __str__(self) -> str:
        return human(self.bits, "bit/s")

    @property
    def tbf(self) -> str:
        """The queueing discipline, tc-tbf(8).

        The bucket holds 1 ms of the rate but at least a frame: so much of a message that follows a silence is not
        slowed down, the least that timers allow. The queue holds 250 ms but at least 32 frames: about what cheap
        routers hold, so that TCP's start is not a series of losses.
        """
        burst = max(FRAME, self.bits // 8000)
        limit = burst + max(32 * FRAME, self.bits // 32)
        return f"tbf rate {self.bits}bit burst {burst} limit {limit}"


def parse_rate(text: str) -> Rate:
    """Read a rate as tc does: a number and bit, kbit, mbit or gbit.

    >>> parse_rate("10mbit").bits, str(parse_rate("1.5Mbit"))
    (10000000, '1.50 Mbit/s')

    Raises:
        ConfigError: not a rate.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg]?bit)", text.strip().lower())
    if match is None:
        raise ConfigError(f"rate {text!r} cannot be read: write a number and its unit, such as 10mbit")
    return Rate(round(float(match[1]) * _UNITS[match[2]]))
