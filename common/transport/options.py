"""gRPC channel and server options: one place, for both sides, with the measurement behind each choice.

Measured with grpcio 1.85 between two processes, as TCP stream bytes per message beyond the message itself, on a
warm bidirectional stream:

| options | ping-pong, up and down | one way | 27 kB ping-pong | behind 50 ms of round trip |
|---|---|---|---|---|
| gRPC's defaults | 40 to 41 B | 14.1 B | 40 B | 40 to 58 B, 1.4 to 2.3 packets a message |
| bdp_probe off | 40.0 B | 14.1 B | 49 B (two frames) | 19 MB/s at most: the window stays 64 KiB |
| these | 40.0 B | 14.1 B | 40.0 B | 40.0 B, 1.1 packets; 80 MB/s |

The 40 bytes are one DATA header (9), gRPC's length prefix (5) and two WINDOW_UPDATE frames (13 each) which the C core
adds to the next write after a read; no option removes those two. Bandwidth probes (PING frames of 17 bytes, each in a
packet of its own) make byte counts depend on timing, hence they are off and the window has a fixed size.
"""

from __future__ import annotations

from gradwire.common.transport.limits import FRAME_BYTES

Options = list[tuple[str, int | str]]

# Of a stream: 80 MB/s at 50 ms, and WINDOW_UPDATE frames are rare in bursts of small payloads.
WINDOW_BYTES = 4 << 20
HTTP2_FRAME_BYTES = (1 << 24) - 1  # the most HTTP/2 allows: a message of 27 kB is one frame, not two

KEEPALIVE_MS = 30_000  # a ping after this long without a byte received
# The connection is closed when the answer takes longer. Not less: on a slow uplink the ping waits behind what the
# kernel has already queued, and gRPC hands the same number to TCP_USER_TIMEOUT.
KEEPALIVE_TIMEOUT_MS = 30_000
SERVER_KEEPALIVE_MS = (
    60_000  # later than the worker's, whose pings the server receives: one side pings, not both
)
RECONNECT_FIRST_MS = 200
RECONNECT_MAX_MS = 5_000


def channel_options(*, keepalive_ms: int = KEEPALIVE_MS) -> Options:
    """Options of a worker's channel.

    Args:
        keepalive_ms: milliseconds without a received byte before a ping; the server's options must be built with the
            same value, or it answers ``too_many_pings``.
    """
    return [
        *_COMMON,
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_FIRST_MS),
        # Despite its name: how long one attempt may take before it is given up.
        ("grpc.min_reconnect_backoff_ms", RECONNECT_MAX_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_MS),
        # A restarted container has a new address; the default would ask the name server again after 30 s.
        ("grpc.dns_min_time_between_resolutions_ms", RECONNECT_MAX_MS),
        ("grpc.enable_http_proxy", 0),
        # The worker itself decides what to retry: it knows which payloads are idempotent, and counts their bytes.
        ("grpc.enable_retries", 0),
    ]


def server_options(*, keepalive_ms: int = KEEPALIVE_MS) -> Options:
    """Options of the server; arguments as in :func:`channel_options`."""
    return [
        *_COMMON,
        ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
        ("grpc.keepalive_time_ms", SERVER_KEEPALIVE_MS),
        # Half the workers' interval: a ping that the network delayed and the next one may arrive close together.
        ("grpc.http2.min_ping_interval_without_data_ms", keepalive_ms // 2),
    ]


_COMMON: Options = [
    ("grpc.max_send_message_length", FRAME_BYTES),
    ("grpc.max_receive_message_length", FRAME_BYTES),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
    ("grpc.http2.max_frame_size", HTTP2_FRAME_BYTES),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    # Unlimited: by default the third ping without a message between waits, and a dead peer is noticed late.
    ("grpc.http2.max_pings_without_data", 0),
    # Identity alone: payloads do not compress, predicted bytes stay exact, and no peer can send a compression bomb.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.default_compression_algorithm", 0),
]
