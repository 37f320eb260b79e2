"""Link speeds: read as tc writes them, turned into a token bucket that tc takes."""

import pytest

from gradwire.bench.hosts.base import addresses
from gradwire.bench.hosts.rates import FRAME, Rate, parse_rate
from gradwire.common.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("10mbit", 10**7),
        ("1gbit", 10**9),
        ("500kbit", 500_000),
        ("64000bit", 64_000),
        (" 1.5Mbit ", 1_500_000),
    ],
)
def test_rates_are_read_as_tc_reads_them(text: str, bits: int) -> None:
    assert parse_rate(text) == Rate(bits)


@pytest.mark.parametrize(
    "text", ["", "10", "10mbps", "mbit", "-1mbit", "1e6bit", "10 mbit", "9kbit", "11gbit", "infbit"]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write a number and its unit|expected 10kbit to 10gbit"):
        parse_rate(text)


@pytest.mark.parametrize("bits", [10_000, 10**6, 10**9, 10**10])
def test_a_bucket_lets_whole_frames_through_and_no_burst_worth_speaking_of(bits: int) -> None:
    words = Rate(bits).tbf.split()
    burst, limit = int(words[words.index("burst") + 1]), int(words[words.index("limit") + 1])
    assert burst >= FRAME and limit >= burst + 32 * FRAME
    assert 8 * burst / bits <= max(0.001, 8 * FRAME / bits)


def test_addresses_are_of_the_benchmarking_network() -> None:
    server, workers = addresses(1000)
    assert len({server, *workers}) == 1001
    assert all(address.startswith(("198.18.", "198.19.")) for address in (server, *workers))
    assert "198.18.0.0" not in workers
    for count in (0, 1001):
        with pytest.raises(ConfigError, match="expected 1 to 1000"):
            addresses(count)
