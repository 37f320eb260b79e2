from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Spec(_message.Message):
    __slots__ = ("name", "arguments")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    arguments: _containers.RepeatedCompositeFieldContainer[Argument]
    def __init__(self, name: _Optional[str] = ..., arguments: _Optional[_Iterable[_Union[Argument, _Mapping]]] = ...) -> None: ...

class Argument(_message.Message):
    __slots__ = ("name", "integer", "real", "flag", "text", "spec", "none")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    REAL_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    NONE_FIELD_NUMBER: _ClassVar[int]
    name: str
    integer: int
    real: float
    flag: bool
    text: str
    spec: Spec
    none: bool
    def __init__(self, name: _Optional[str] = ..., integer: _Optional[int] = ..., real: _Optional[float] = ..., flag: bool = ..., text: _Optional[str] = ..., spec: _Optional[_Union[Spec, _Mapping]] = ..., none: bool = ...) -> None: ...

class CodecSpec(_message.Message):
    __slots__ = ("spec", "dim", "fingerprint")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    spec: Spec
    dim: int
    fingerprint: bytes
    def __init__(self, spec: _Optional[_Union[Spec, _Mapping]] = ..., dim: _Optional[int] = ..., fingerprint: _Optional[bytes] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("run_id", "task", "codec", "optimizer", "workers", "rounds", "seed", "digest_every", "evaluate_every", "weigh_by_examples", "error_feedback", "downlink", "local", "partition", "weigh_by_size", "cohort")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    DIGEST_EVERY_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_EVERY_FIELD_NUMBER: _ClassVar[int]
    WEIGH_BY_EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    DOWNLINK_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    WEIGH_BY_SIZE_FIELD_NUMBER: _ClassVar[int]
    COHORT_FIELD_NUMBER: _ClassVar[int]
    run_id: bytes
    task: Spec
    codec: Spec
    optimizer: Spec
    workers: int
    rounds: int
    seed: int
    digest_every: int
    evaluate_every: int
    weigh_by_examples: bool
    error_feedback: bool
    downlink: Spec
    local: Spec
    partition: Spec
    weigh_by_size: bool
    cohort: int
    def __init__(self, run_id: _Optional[bytes] = ..., task: _Optional[_Union[Spec, _Mapping]] = ..., codec: _Optional[_Union[Spec, _Mapping]] = ..., optimizer: _Optional[_Union[Spec, _Mapping]] = ..., workers: _Optional[int] = ..., rounds: _Optional[int] = ..., seed: _Optional[int] = ..., digest_every: _Optional[int] = ..., evaluate_every: _Optional[int] = ..., weigh_by_examples: bool = ..., error_feedback: bool = ..., downlink: _Optional[_Union[Spec, _Mapping]] = ..., local: _Optional[_Union[Spec, _Mapping]] = ..., partition: _Optional[_Union[Spec, _Mapping]] = ..., weigh_by_size: bool = ..., cohort: _Optional[int] = ...) -> None: ...

class Layout(_message.Message):
    __slots__ = ("arrays", "schema")
    ARRAYS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    arrays: _containers.RepeatedCompositeFieldContainer[Array]
    schema: str
    def __init__(self, arrays: _Optional[_Iterable[_Union[Array, _Mapping]]] = ..., schema: _Optional[str] = ...) -> None: ...

class Array(_message.Message):
    __slots__ = ("name", "shape", "dtype", "role", "digest", "aliases")
    class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TRAINED: _ClassVar[Array.Role]
        AVERAGED: _ClassVar[Array.Role]
        CONSTANT: _ClassVar[Array.Role]
    TRAINED: Array.Role
    AVERAGED: Array.Role
    CONSTANT: Array.Role
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    name: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    dtype: str
    role: Array.Role
    digest: bytes
    aliases: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., dtype: _Optional[str] = ..., role: _Optional[_Union[Array.Role, str]] = ..., digest: _Optional[bytes] = ..., aliases: _Optional[_Iterable[str]] = ...) -> None: ...

class Piece(_message.Message):
    __slots__ = ("data", "total")
    DATA_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    total: int
    def __init__(self, data: _Optional[bytes] = ..., total: _Optional[int] = ...) -> None: ...

class FromWorker(_message.Message):
    __slots__ = ("join", "ready", "initial", "push", "done", "report", "piece", "leave")
    JOIN_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    INITIAL_FIELD_NUMBER: _ClassVar[int]
    PUSH_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    join: Join
    ready: Ready
    initial: Snapshot
    push: Push
    done: Done
    report: Report
    piece: Piece
    leave: Leave
    def __init__(self, join: _Optional[_Union[Join, _Mapping]] = ..., ready: _Optional[_Union[Ready, _Mapping]] = ..., initial: _Optional[_Union[Snapshot, _Mapping]] = ..., push: _Optional[_Union[Push, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ..., report: _Optional[_Union[Report, _Mapping]] = ..., piece: _Optional[_Union[Piece, _Mapping]] = ..., leave: _Optional[_Union[Leave, _Mapping]] = ...) -> None: ...

class Join(_message.Message):
    __slots__ = ("protocol", "process", "count", "workers", "own_loop", "started")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    OWN_LOOP_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    process: str
    count: int
    workers: _containers.RepeatedScalarFieldContainer[int]
    own_loop: bool
    started: bool
    def __init__(self, protocol: _Optional[int] = ..., process: _Optional[str] = ..., count: _Optional[int] = ..., workers: _Optional[_Iterable[int]] = ..., own_loop: bool = ..., started: bool = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("codec", "run_id", "round", "digest", "earlier", "layout", "averaged", "last", "evaluates")
    CODEC_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    EARLIER_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    AVERAGED_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    EVALUATES_FIELD_NUMBER: _ClassVar[int]
    codec: CodecSpec
    run_id: bytes
    round: int
    digest: int
    earlier: _containers.RepeatedCompositeFieldContainer[StreamCount]
    layout: bytes
    averaged: int
    last: _containers.RepeatedCompositeFieldContainer[LastPush]
    evaluates: bool
    def __init__(self, codec: _Optional[_Union[CodecSpec, _Mapping]] = ..., run_id: _Optional[bytes] = ..., round: _Optional[int] = ..., digest: _Optional[int] = ..., earlier: _Optional[_Iterable[_Union[StreamCount, _Mapping]]] = ..., layout: _Optional[bytes] = ..., averaged: _Optional[int] = ..., last: _Optional[_Iterable[_Union[LastPush, _Mapping]]] = ..., evaluates: bool = ...) -> None: ...

class LastPush(_message.Message):
    __slots__ = ("worker", "round")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    worker: int
    round: int
    def __init__(self, worker: _Optional[int] = ..., round: _Optional[int] = ...) -> None: ...

class StreamCount(_message.Message):
    __slots__ = ("stream", "sent", "received")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    stream: int
    sent: Traffic
    received: Traffic
    def __init__(self, stream: _Optional[int] = ..., sent: _Optional[_Union[Traffic, _Mapping]] = ..., received: _Optional[_Union[Traffic, _Mapping]] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("round", "state", "layout", "constants")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    CONSTANTS_FIELD_NUMBER: _ClassVar[int]
    round: int
    state: bytes
    layout: Layout
    constants: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, round: _Optional[int] = ..., state: _Optional[bytes] = ..., layout: _Optional[_Union[Layout, _Mapping]] = ..., constants: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Push(_message.Message):
    __slots__ = ("round", "payloads", "lengths", "losses", "examples", "digest", "workers")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    LENGTHS_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    round: int
    payloads: bytes
    lengths: _containers.RepeatedScalarFieldContainer[int]
    losses: _containers.RepeatedScalarFieldContainer[float]
    examples: _containers.RepeatedScalarFieldContainer[int]
    digest: int
    workers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, round: _Optional[int] = ..., payloads: _Optional[bytes] = ..., lengths: _Optional[_Iterable[int]] = ..., losses: _Optional[_Iterable[float]] = ..., examples: _Optional[_Iterable[int]] = ..., digest: _Optional[int] = ..., workers: _Optional[_Iterable[int]] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("round", "metrics", "examples")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    round: int
    metrics: _containers.RepeatedCompositeFieldContainer[Metric]
    examples: int
    def __init__(self, round: _Optional[int] = ..., metrics: _Optional[_Iterable[_Union[Metric, _Mapping]]] = ..., examples: _Optional[int] = ...) -> None: ...

class Metric(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("digest", "sent", "received")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    digest: int
    sent: Traffic
    received: Traffic
    def __init__(self, digest: _Optional[int] = ..., sent: _Optional[_Union[Traffic, _Mapping]] = ..., received: _Optional[_Union[Traffic, _Mapping]] = ...) -> None: ...

class Leave(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Traffic(_message.Message):
    __slots__ = ("messages", "payload_bytes", "message_bytes")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    messages: int
    payload_bytes: int
    message_bytes: int
    def __init__(self, messages: _Optional[int] = ..., payload_bytes: _Optional[int] = ..., message_bytes: _Optional[int] = ...) -> None: ...

class FromServer(_message.Message):
    __slots__ = ("welcome", "upload", "snapshot", "entry", "open", "late", "finish", "piece", "layout", "evaluate")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    upload: Upload
    snapshot: Snapshot
    entry: Entry
    open: Open
    late: Late
    finish: Finish
    piece: Piece
    layout: Layout
    evaluate: Evaluate
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., upload: _Optional[_Union[Upload, _Mapping]] = ..., snapshot: _Optional[_Union[Snapshot, _Mapping]] = ..., entry: _Optional[_Union[Entry, _Mapping]] = ..., open: _Optional[_Union[Open, _Mapping]] = ..., late: _Optional[_Union[Late, _Mapping]] = ..., finish: _Optional[_Union[Finish, _Mapping]] = ..., piece: _Optional[_Union[Piece, _Mapping]] = ..., layout: _Optional[_Union[Layout, _Mapping]] = ..., evaluate: _Optional[_Union[Evaluate, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("run", "workers", "stream")
    RUN_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    run: Run
    workers: _containers.RepeatedScalarFieldContainer[int]
    stream: int
    def __init__(self, run: _Optional[_Union[Run, _Mapping]] = ..., workers: _Optional[_Iterable[int]] = ..., stream: _Optional[int] = ...) -> None: ...

class Upload(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Open(_message.Message):
    __slots__ = ("round", "pushed")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PUSHED_FIELD_NUMBER: _ClassVar[int]
    round: int
    pushed: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, round: _Optional[int] = ..., pushed: _Optional[_Iterable[int]] = ...) -> None: ...

class Evaluate(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Entry(_message.Message):
    __slots__ = ("round", "payloads", "sum", "model", "encoded", "cohort")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    SUM_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    COHORT_FIELD_NUMBER: _ClassVar[int]
    round: int
    payloads: Payloads
    sum: Sum
    model: bytes
    encoded: bytes
    cohort: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, round: _Optional[int] = ..., payloads: _Optional[_Union[Payloads, _Mapping]] = ..., sum: _Optional[_Union[Sum, _Mapping]] = ..., model: _Optional[bytes] = ..., encoded: _Optional[bytes] = ..., cohort: _Optional[_Iterable[int]] = ...) -> None: ...

class Payloads(_message.Message):
    __slots__ = ("data", "workers", "lengths", "examples")
    DATA_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    LENGTHS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    workers: _containers.RepeatedScalarFieldContainer[int]
    lengths: _containers.RepeatedScalarFieldContainer[int]
    examples: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, data: _Optional[bytes] = ..., workers: _Optional[_Iterable[int]] = ..., lengths: _Optional[_Iterable[int]] = ..., examples: _Optional[_Iterable[int]] = ...) -> None: ...

class Sum(_message.Message):
    __slots__ = ("values", "indices", "sparse", "workers")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    INDICES_FIELD_NUMBER: _ClassVar[int]
    SPARSE_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    values: bytes
    indices: bytes
    sparse: bool
    workers: int
    def __init__(self, values: _Optional[bytes] = ..., indices: _Optional[bytes] = ..., sparse: bool = ..., workers: _Optional[int] = ...) -> None: ...

class Late(_message.Message):
    __slots__ = ("round", "workers")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    round: int
    workers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, round: _Optional[int] = ..., workers: _Optional[_Iterable[int]] = ...) -> None: ...

class Finish(_message.Message):
    __slots__ = ("rounds",)
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    rounds: int
    def __init__(self, rounds: _Optional[int] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("protocol", "points")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    points: int
    def __init__(self, protocol: _Optional[int] = ..., points: _Optional[int] = ...) -> None: ...

class WatchEvent(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: str
    def __init__(self, json: _Optional[str] = ...) -> None: ...
