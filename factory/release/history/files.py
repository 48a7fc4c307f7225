"""The files of the history: append-only lines, and beside them a signed head that says how many there are.

    <root>/<model>.jsonl   one record a line, each quoting the hash of the one before
    <root>/<model>.head    how many lines there are and the last one's hash, signed; replaced after every append
    <root>/<model>.version the greatest number that the registry ever gave a version of it
    <root>/.locks/         one lock a model: writers of all processes on one machine take turns

A crash leaves whole lines and at most one torn one at the end, which does not count and is cut off by the next append.
The head is at most one line behind. An append never waits for a person: where lines are missing, it says so in a
record of its own kind, `gap`, and goes on.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from factory.errors import HistoryError, ModelRefused, NameRefused
from factory.names import LINE_SITE, checked_name, line_and_site, model_name
from factory.release.history.head import Head
from factory.release.history.record import Event, Kind, Record, hash_of
from factory.storage.atomic_files import replace_file, sync_folder
from factory.storage.locks import FileLocks, Locks

MAX_ATTEMPTS = 100


@dataclass(frozen=True, kw_only=True)
class Written:
    """A model's history as it lies on the disk: whole lines, and the head's content; a torn last line is left out."""

    model: str
    lines: tuple[bytes, ...]
    head: bytes | None

    def records(self) -> list[Record]:
        """Return the readable records, oldest first; whether they are genuine is for `findings` to say."""
        return [record for line in self.lines if (record := _readable(line))]


class History:
    """The histories of all sites under one folder, which must be on a local disk."""

    def __init__(self, root: Path, locks: Locks | None = None) -> None:
        """Take the folder, and the locks by which writers exclude one another; by default files in the folder."""
        self.root = root
        self.locks = locks or FileLocks(root / ".locks")

    def append(
        self, model: str, event: Event, key: Ed25519PrivateKey, *, once: bool = False, among: Collection[Kind] = ()
    ) -> Record | None:
        """Put the event on record and return once it is on the disk.

        With `once`, an event equal to the model's newest of its kind (or of the kinds in `among`) is not recorded
        again, and None is returned: so a run that is repeated after a crash records nothing twice. Raises HistoryError
        if the history cannot be written.
        """
        place = self._place(model, ".jsonl")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with self.locks.hold(f"history.{model}"):
                lines = self._whole_lines(place)
                if once and _newest(lines, among or (event.kind,)) == event:
                    return None
                return self._append_to(model, lines, event, key)
        except OSError as error:
            raise HistoryError(f"{model}: its history {place} cannot be written ({error}); nothing was done") from error

    def read(self, model: str) -> "Written":
        """Return what is written, unchecked: the lines and the head as they were together, whoever writes meanwhile."""
        place = self._place(model, ".jsonl")
        try:
            for _ in range(MAX_ATTEMPTS):
                head, content = self._head(model), _content(place)
                if head == self._head(model):  # no line but the next can have come between
                    return Written(model=model, lines=tuple(content.split(b"\n")[:-1]), head=head)
        except OSError as error:
            raise HistoryError(f"{model}: its history {place} cannot be read: {error}") from error
        raise HistoryError(f"{model}: its history {place} is written to without pause; read it again")

    def models(self) -> list[str]:
        """Return the models that have a history, sorted."""
        names = {place.stem for ending in ("jsonl", "head") for place in self.root.glob(f"*.{ending}")}
        return sorted(name for name in names if _is_model(name))

    def highest_version(self, model: str) -> int:
        """Return the greatest number that a version of the model ever had, 0 for none; a line's base model has one too.

        A number that stands in the records counts: the file is younger than they are. Raises HistoryError.
        """
        place = self._version_place(model)
        try:
            noted = _content(place).strip()
        except OSError as error:
            raise HistoryError(f"{model}: {place} cannot be read: {error}") from error
        records = self.read(model).records() if _is_model(model) else []
        return max([int(noted) if noted.isdigit() else 0, *(record.version or 0 for record in records)])

    def note_version(self, model: str, version: int) -> None:
        """Remember that a version of the model has this number; return once it is on the disk. Raises HistoryError."""
        place = self._version_place(model)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with self.locks.hold(f"history.{model}"):
                if version > self.highest_version(model):
                    replace_file(place, f"{version}\n".encode("ascii"), mode=0o644)
        except OSError as error:
            raise HistoryError(f"{model}: {place} cannot be written ({error}); nothing was done") from error

    def _version_place(self, model: str) -> Path:
        name = model_name(checked_name(model.partition(".")[0], "line"), LINE_SITE)
        return self.root / f"{model if model == name else '.'.join(line_and_site(model))}.version"

    def _place(self, model: str, ending: str) -> Path:
        return self.root / f"{'.'.join(line_and_site(model))}{ending}"

    def _head(self, model: str) -> bytes | None:
        try:
            return self._place(model, ".head").read_bytes()
        except FileNotFoundError:
            return None

    def _whole_lines(self, place: Path) -> list[bytes]:
        """Return the whole lines, after cutting off the torn one that a crashed writer may have left."""
        content = _content(place)
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with place.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
        return content[:whole].split(b"\n")[:-1]

    def _append_to(self, model: str, lines: list[bytes], event: Event, key: Ed25519PrivateKey) -> Record:
        head = self._trusted_head(model, key)
        if missing := _missing(lines, head):
            self._write(model, lines, Event(kind="gap", actor="factory", reason=missing), key)
        elif lines and (head is None or head.count < len(lines)):
            self._put_head(Head.of(model, lines), key)  # the last writer died between its line and its head
        return self._write(model, lines, event, key)

    def _trusted_head(self, model: str, key: Ed25519PrivateKey) -> Head | None:
        """Return the head if this key signed it; any other is ignored here, and `findings` reports it."""
        written = self._head(model)
        try:
            head = Head.from_json(written or b"")
            head.require_signature(key.public_key())
        except (HistoryError, ModelRefused):
            return None
        return head

    def _write(self, model: str, lines: list[bytes], event: Event, key: Ed25519PrivateKey) -> Record:
        record = Record(
            **asdict(event),
            model=model,
            sequence=len(lines) + 1,
            at=datetime.now(UTC).isoformat(timespec="microseconds"),
            previous=hash_of(lines[-1]) if lines else "",
        ).signed(key)
        lines.append(record.to_line())
        with self._opened(model) as handle:
            _write_all(handle, lines[-1] + b"\n")
            os.fsync(handle)
        sync_folder(self.root)
        self._put_head(Head.of(model, lines), key)
        return record

    @contextmanager
    def _opened(self, model: str) -> Iterator[int]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(self._place(model, ".jsonl"), flags, 0o644)
        try:
            yield handle
        finally:
            os.close(handle)

    def _put_head(self, head: Head, key: Ed25519PrivateKey) -> None:
        replace_file(self._place(head.model, ".head"), head.signed(key).to_json(), mode=0o644)


def _content(place: Path) -> bytes:
    return place.read_bytes() if place.exists() else b""


def _write_all(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content) :]


def _newest(lines: list[bytes], kinds: Collection[Kind]) -> Event | None:
    """Return the newest event of these kinds."""
    same = (record.event for line in reversed(lines) if (record := _readable(line)) and record.kind in kinds)
    return next(same, None)


def _missing(lines: list[bytes], head: Head | None) -> str:
    """Return which of the head's records the lines no longer hold, in words; empty where they hold all."""
    if head is None or (head.count <= len(lines) and hash_of(lines[head.count - 1]) == head.hash):
        return ""
    return f"the head knew {head.count} records ending in {head.hash[:12]}; found were {len(lines)}, or others"


def _readable(line: bytes) -> Record | None:
    try:
        return Record.from_line(line)
    except HistoryError:
        return None


def _is_model(name: str) -> bool:
    try:
        return bool(line_and_site(name))
    except NameRefused:
        return False
