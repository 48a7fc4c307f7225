"""The files of recorded predictions: what is in one, and how it is read back.

A segment begins with MAGIC; then each batch is its length and its CRC-32, four bytes each, little-endian, and itself in
MessagePack. A segment that is being written ends in `.open` and is locked; one that is complete ends in `.log`. A
process that was killed leaves at most one batch that is not whole, at the end of its segment: it is not read.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Literal, NamedTuple
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

MAGIC = b"FPL1"
BEGUN, OPEN, COMPLETE = ".new", ".open", ".log"
_FRAME = Struct("<II")

Role = Literal["champion", "canary", "shadow"]
"""Which model was asked: the site's own; one on trial that answers in its place; one on trial that answers nobody."""


class RequestNames(NamedTuple):
    """By what names a client and its tracing know a request; each empty where none was given."""

    id: str = ""
    """In the body, or in the message."""
    x_request_id: str = ""
    trace_parent: str = ""
    """W3C Trace Context, as it came."""
    trace_state: str = ""


class RecordedBatch(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What one model said to the questions of one call; all lists are by question, in order."""

    at: float
    """Unix time of the answer, seconds."""
    line: str
    site: str
    version: int
    digest: str
    ids: Sequence[str]
    """The predictions' names."""
    keys: Sequence[str]
    """The names of the keys that asked; empty where no key is needed."""
    rows: Sequence[int]
    """How many rows each question had."""
    input_shape: tuple[int, ...]
    values: bytes
    """All rows, float32 little-endian, NaN where unknown."""
    answers: bytes
    """What was answered, float32 little-endian, row after row; NaN in a row that was not answered."""
    role: Role = "champion"
    copies: Sequence[str] = ()
    """The champion's predictions that a trial's questions are about: a shadow's always, a canary's where it failed."""
    took_s: float = 0.0
    """Seconds from the batch's first question to its answers; of a shadow, for which nobody waits, `call_s`."""
    error: str = ""
    """Why a trial did not answer; there are no values and no answers then."""
    subjects: Sequence[str] = ()
    """What each row is about: its key and moment of decision, a JSON object; empty for a row that came as features."""
    call_s: float = 0.0
    """Seconds that the call of the model took; 0 in records from before it was told, and where a trial failed."""
    names: Sequence[RequestNames] = ()
    """Empty where no client gave any."""

    @property
    def told(self) -> bool:
        """Whether a caller got these answers: not those of a shadow, nor of a canary that failed."""
        return self.role != "shadow" and not self.error

    def inputs(self) -> NDArray[np.float32]:
        """Return `[all rows, *input_shape]`."""
        return np.frombuffer(self.values, "<f4").reshape(-1, *self.input_shape)

    def outputs(self) -> NDArray[np.float32]:
        """Return `[all rows, answers]`."""
        return np.frombuffer(self.answers, "<f4").reshape(sum(self.rows), -1)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RecordedBatch)


def framed(batch: RecordedBatch) -> bytes:
    """Return the batch as it stands in a segment."""
    content = _encoder.encode(batch)
    return _FRAME.pack(len(content), crc32(content)) + content


def segments(folder: Path) -> list[Path]:
    """Return all segments, oldest first, including those that are being written."""
    return sorted(place for place in folder.glob("*") if place.suffix in (OPEN, COMPLETE))


def recorded(segment: Path, start: int = 0) -> Iterator[tuple[RecordedBatch, int]]:
    """Yield each whole batch from a place in a segment, 0 or one that was yielded, and the place after it.

    A segment that was removed since it was listed has none.
    """
    try:
        opened = _opened(segment)
    except FileNotFoundError:
        return
    with opened as file:
        if file.read(len(MAGIC)) != MAGIC:
            return
        place = max(start, len(MAGIC))
        file.seek(place)
        while len(head := file.read(_FRAME.size)) == _FRAME.size:
            length, checksum = _FRAME.unpack(head)
            content = file.read(length)
            if len(content) < length or crc32(content) != checksum:
                return
            place += _FRAME.size + length
            yield _decoder.decode(content), place


def folder_bytes(folder: Path) -> int:
    """Return how much is in the folder; what is renamed while it is counted may be left out."""
    total = 0
    for place in folder.iterdir():
        with suppress(FileNotFoundError):
            total += place.stat().st_size
    return total


def unreadable_bytes(segment: Path, place: int) -> int:
    """Return how many bytes a complete segment has after the place where reading it ended; more than 0: damage."""
    try:
        return max(0, segment.stat().st_size - max(place, len(MAGIC)))
    except FileNotFoundError:
        return 0  # removed meanwhile


def _opened(segment: Path) -> BinaryIO:
    """Open a segment, which may have become complete since it was listed."""
    try:
        return segment.open("rb")
    except FileNotFoundError:
        return segment.with_suffix(COMPLETE).open("rb")


def complete_leftovers(folder: Path) -> None:
    """Mark the segments of processes that died as complete; several processes may do so at once."""
    for place in folder.glob(f"*{OPEN}"):
        # Not found: its writer or another process has marked it meanwhile. Blocked: it is still being written.
        with suppress(FileNotFoundError, BlockingIOError), place.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            place.rename(place.with_suffix(COMPLETE))
