"""Every prediction, kept on the disk without an answer ever waiting for it.

The event loop appends to a bounded queue; a thread writes what is in it every few milliseconds. Killed, the process
loses no more than that. A disk that is full or gone loses predictions only when the queue is full too, and what is lost
is counted.
"""

import fcntl
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import msgspec

from factory.gateway.http.trace import NO_TRACE
from factory.gateway.limits import DEFAULT_RECORD_LIMITS, RecordLimits
from factory.gateway.models.question import Call, Question
from factory.monitoring.prediction_log.files import (
    BEGUN,
    COMPLETE,
    MAGIC,
    OPEN,
    RecordedBatch,
    RequestNames,
    complete_leftovers,
    folder_bytes,
    framed,
)

log = logging.getLogger(__name__)

_LONGEST_ID = 256
"""Of what a client calls its request, so much is recorded."""
_QUESTION_BYTES = 100
"""About what a question's name and counts take in the queue."""


class RecordWriter:
    """The queue and the thread that empties it."""

    def __init__(self, folder: Path, limits: RecordLimits = DEFAULT_RECORD_LIMITS) -> None:
        self._folder = folder
        self._limits = limits
        self._queue: deque[tuple[RecordedBatch, int]] = deque()
        self._queued_bytes = 0
        self._segment: _Segment | None = None
        self._taken = 0
        self._stop = threading.Event()
        self.written = 0
        """Predictions on the disk."""
        self.dropped = 0
        """Predictions that are in no record."""
        self.failing = False
        self._thread = threading.Thread(target=self._live, name="records", daemon=True)
        self._thread.start()

    def add(self, call: Call) -> None:
        """Queue one batch, or count it as dropped; never raises, never waits."""
        batch, rows, numbers = call.questions, call.rows, call.numbers
        size = rows.nbytes + numbers.nbytes + _QUESTION_BYTES * len(batch)
        if self._queued_bytes + size > self._limits.queue_bytes:
            self.dropped += len(batch)
            return
        manifest = call.model.manifest
        recorded = RecordedBatch(
            at=time.time(),
            line=manifest.line,
            site=manifest.site,
            version=manifest.version,
            digest=manifest.digest,
            ids=call.ids,
            keys=[question.by for question in batch],
            rows=[question.rows for question in batch],
            input_shape=call.model.signature.input_shape,
            values=rows.tobytes(),
            answers=numbers.tobytes(),
            role=call.role,
            copies=[question.copy_of for question in batch] if batch[0].copy_of else (),
            took_s=perf_counter() - batch[0].asked,
            error=call.error,
            subjects=_subjects(batch),
            call_s=call.took_s,
            names=_names(batch),
        )
        self._queued_bytes += size
        self._queue.append((recorded, size))

    def close(self) -> None:
        """Write what is queued, and end."""
        self._stop.set()
        self._thread.join()

    def _live(self) -> None:
        wait_s = self._limits.write_every_s
        while not self._stop.wait(wait_s):
            wait_s = self._limits.write_every_s if self._wrote() else self._limits.retry_after_s
        if not self._wrote():
            self.dropped += sum(len(batch.ids) for batch, _ in self._queue)
        if self._segment:
            self._segment.complete()

    def _wrote(self) -> bool:
        """Write what is queued now; return whether the disk took it. What it did not take stays queued."""
        batches = [self._queue[place] for place in range(len(self._queue))]
        try:
            if batches:
                self._write(b"".join(framed(batch) for batch, _ in batches))
            elif self._segment:
                self._segment.sync_if_due(self._limits.sync_every_s)
        except Exception as error:  # noqa: BLE001  the thread must outlive a full disk and whatever else there is
            self._fail(error)
            return False
        for batch, size in batches:
            self._queue.popleft()
            self._queued_bytes -= size
            self.written += len(batch.ids)
        if batches and self.failing:
            self.failing = False
            log.warning("predictions are recorded again; %d were not", self.dropped)
        return True

    def _write(self, content: bytes) -> None:
        if self._segment is None or self._segment.size > self._limits.segment_bytes:
            self._begin()
        assert self._segment is not None  # noqa: S101  for the type checker: _begin made one or raised
        self._segment.append(content)
        self._segment.sync_if_due(self._limits.sync_every_s)

    def _begin(self) -> None:
        """Begin a new segment; raises OSError where the disk or the folder takes no more."""
        if self._segment:
            self._segment.complete()
            self._segment = None
        self._folder.mkdir(parents=True, exist_ok=True)
        complete_leftovers(self._folder)
        if folder_bytes(self._folder) > self._limits.folder_bytes:
            raise OSError(f"{self._folder} holds over {self._limits.folder_bytes} bytes; run `factory records prune`")
        self._taken += 1
        self._segment = _Segment(self._folder / f"{time.time_ns()}-{os.getpid()}-{self._taken}{OPEN}")

    def _fail(self, error: Exception) -> None:
        if self._segment:
            self._segment.abandon()
            self._segment = None
        if not self.failing:
            self.failing = True
            log.error("predictions cannot be recorded, %d bytes wait: %s", self._queued_bytes, error)


def _subjects(batch: Sequence[Question]) -> list[str]:
    """Return what each row of the batch is about; nothing where no question says it."""
    if not any(question.subjects for question in batch):
        return []
    return [subject for question in batch for subject in question.subjects or [""] * question.rows]


def _names(batch: Sequence[Question]) -> list[RequestNames]:
    """Return by what names clients know the questions of the batch; nothing where none of them says any."""
    if not any(question.id or question.trace is not NO_TRACE for question in batch):
        return []
    return [RequestNames(one.id[:_LONGEST_ID], *msgspec.structs.astuple(one.trace)) for one in batch]


class _Segment:
    """One file that is being written."""

    def __init__(self, place: Path) -> None:
        self._place = place
        draft = place.with_suffix(BEGUN)  # it gets its name once it is locked, or others would take it for a leftover
        self._file = draft.open("xb", buffering=0)
        self.size = 0
        self._synced_at, self._synced_size = time.monotonic(), 0
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(place)
            self.append(MAGIC)
        except OSError:  # a disk without room: an empty file for each try would not make more
            self._file.close()
            draft.unlink(missing_ok=True)
            place.unlink(missing_ok=True)
            raise

    def append(self, content: bytes) -> None:
        """Write it whole; raises OSError, and then the segment must be abandoned."""
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.size += len(content)
        if not self._place.exists():
            raise OSError(f"{self._place} was taken away while it was written")

    def sync_if_due(self, every_s: float) -> None:
        """Have the disk keep what was written, if that was not done for a while."""
        if self._synced_size < self.size and time.monotonic() - self._synced_at >= every_s:
            os.fsync(self._file.fileno())
            self._synced_at, self._synced_size = time.monotonic(), self.size

    def complete(self) -> None:
        """Mark the segment as one that nobody writes any more."""
        try:
            os.fsync(self._file.fileno())
            self._place.rename(self._place.with_suffix(COMPLETE))
        except OSError as error:
            log.error("a segment of predictions stays unmarked until the next start: %s", error)
        self._file.close()

    def abandon(self) -> None:
        """Cut off what was written half, as far as the disk lets us, and leave the segment."""
        try:
            os.ftruncate(self._file.fileno(), self.size)
        except OSError:
            log.warning("%s ends in a batch that is not whole; readers pass over it", self._place)
        if self.size > len(MAGIC):
            self.complete()
        else:  # nothing is in it, and a try each second would leave many of these
            self._file.close()
            with suppress(OSError):
                self._place.unlink()
