"""Every error that gradwire raises on purpose.

    GradwireError
    ├── SpecError            a codec, task or optimizer description that cannot be built
    ├── ConfigError          a run configuration, flag or file that cannot be used
    ├── DomainError          a gradient that the codec cannot encode (NaN, wrong shape, outside the ball)
    ├── PayloadError         bytes that no encoder of this codec could have made
    ├── DataError            a data set that is missing, damaged or unknown
    ├── TaskError            a task that cannot produce gradients here
    ├── LayoutError          a model whose arrays cannot be laid out, or differ from the run's
    ├── PrivacyError         a run that asks for more than the worker's own limits allow
    │   └── BudgetError      a privacy budget that does not pay for the next payload
    ├── NotFiniteError       losses or parameters that grew beyond float32, or are not numbers
    ├── LogError             a run's durable log that is damaged or belongs to another run
    ├── ByteMismatchError    predicted and measured bytes differ: compression silently did not happen
    ├── DivergenceError      a replica's parameters differ from the server's
    └── WireError            a refusal that crosses the wire as a gRPC status
        ├── InvalidArgument, FailedPrecondition, AlreadyExists, OutOfRange,
        └── PermissionDenied, Unauthenticated, Unavailable

Each message is one line: what was wrong, what was expected, and how to fix it.
"""

from __future__ import annotations


class GradwireError(Exception):
    """Base of every error raised on purpose; commands catch it, print one line and exit."""


class SpecError(GradwireError, ValueError):
    """A codec, task or optimizer description that cannot be built."""


class ConfigError(GradwireError, ValueError):
    """A run configuration, flag or file that cannot be used."""


class DomainError(GradwireError, ValueError):
    """A gradient that the codec cannot encode: wrong shape or dtype, not finite, outside its domain."""


class PayloadError(GradwireError, ValueError):
    """Bytes that no encoder of this codec could have made; nothing of them was used."""


class DataError(GradwireError):
    """A data set that is missing, damaged or unknown."""


class TaskError(GradwireError):
    """A task that cannot produce gradients here."""


class LayoutError(GradwireError, ValueError):
    """A model whose arrays cannot be laid out, or whose layout is not the run's."""


class PrivacyError(GradwireError):
    """A run that asks for more than the worker's own limits allow; nothing was sent."""


class BudgetError(PrivacyError):
    """A privacy budget that does not pay for the next payload, which was not made; commands exit with 3."""


class NotFiniteError(GradwireError):
    """Losses, updates or parameters that grew beyond float32, or are not numbers: the run cannot go on from here."""


class LogError(GradwireError):
    """A durable log that is damaged, or that belongs to another run."""


class ByteMismatchError(GradwireError):
    """Predicted and measured bytes differ: the run's promise about its traffic is broken."""


class DivergenceError(GradwireError):
    """A replica's parameters differ from the server's."""


class WireError(GradwireError):
    """A refusal that crosses the wire; the subclass names the gRPC status."""


class InvalidArgument(WireError):
    """The message itself is malformed, whatever the state of the run (wrong length, index out of range)."""


class FailedPrecondition(WireError):
    """The run is not in a state for this (another spec, another fingerprint, a finished run)."""


class AlreadyExists(WireError):
    """A second payload for the same worker and round that differs from the first."""


class OutOfRange(WireError):
    """A round that is not open."""


class PermissionDenied(WireError):
    """The authenticated identity may not do this (another process's worker id)."""


class Unauthenticated(WireError):
    """No valid certificate."""


class Unavailable(WireError):
    """The server cannot be reached or is stopping; the caller may try again."""
