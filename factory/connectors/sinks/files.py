"""Decisions as files in a folder that somebody else empties: JSON lines, CSV or Parquet, one file a batch.

A file appears whole and once. Before it is renamed into the folder the outbox knows under which name: after a crash a
draft that still lies there was never seen by anybody and is deleted, and one that does not has been published, whether
or not its reader has taken the file away since.
"""

import io
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl

from factory.connectors.sinks.kinds import Target
from factory.connectors.sinks.message import Message, Result, accepted, busy, unknown
from factory.connectors.sinks.sink import Job
from factory.errors.masking import masked
from factory.line.line import Line
from factory.line.sinks import MESSAGE_KEY
from factory.storage.atomic_files import TEMPORARY, create_file, sync_folder

BATCH_ROWS = 10_000
_PUBLISHING = "publishing "


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """What a folder asks for beside its place."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    format: Literal["jsonl", "csv", "parquet"] = "jsonl"


def files_sink(target: Target) -> "FilesSink":
    """Return the sink of a folder; raises LineError on options that are none."""
    options: FileOptions = target.options(FileOptions)
    folder = target.project / target.address.removeprefix("file:")
    return FilesSink(
        folder=folder,
        name=f"{target.line}-{target.name}",
        key=target.section.key or MESSAGE_KEY,
        written_as=options.format,
    )


def dry_run_sink(line: Line, name: str, folder: Path) -> "FilesSink":
    """Return what writes a line's messages to a sink into a folder, and sends nothing."""
    return FilesSink(folder=folder, name=f"{line.name}-{name}", key=line.sinks[name].key or MESSAGE_KEY)


@dataclass(frozen=True, kw_only=True)
class FilesSink:
    """One folder."""

    folder: Path
    name: str
    """What the files' names begin with."""
    key: str
    """The column that has the message's key."""
    written_as: Literal["jsonl", "csv", "parquet"] = "jsonl"
    batch_size: int = BATCH_ROWS
    repeatable: bool = False

    def check(self) -> list[str]:
        """Return why the folder cannot be written to, if so."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f"{TEMPORARY}{secrets.token_hex(8)}"
            create_file(probe, b"", mode=0o640)
            probe.unlink()
        except OSError as error:
            return [f"the folder {self.folder} cannot be written to: {error.strerror}"]
        return []

    def deliver(self, messages: Sequence[Message], job: Job) -> Iterable[Result]:
        """Write the messages as one file."""
        kind = "" if messages[0].action == "upsert" else "-withdrawn"
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        name = f"{self.name}{kind}-{stamp}.{self.written_as}"
        job.keep(f"writing {name}", messages)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            create_file(self._draft(name), self._content(messages), mode=0o640)
            sync_folder(self.folder)
        except OSError as error:
            return [busy(message, masked(str(error))) for message in messages]
        job.keep(f"{_PUBLISHING}{name}", messages)
        try:
            self._draft(name).rename(self.folder / name)
            sync_folder(self.folder)
        except OSError as error:  # whether it was published the draft says, when it is asked for
            return [unknown(message, masked(str(error))) for message in messages]
        return [accepted(message, reference=name) for message in messages]

    def present(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Return which messages are in a file that was published; a draft that was not is deleted."""
        published = {job: self._was_published(job) for job in {message.job for message in messages}}
        return {message.id: message.job.removeprefix(_PUBLISHING) for message in messages if published[message.job]}

    def close(self) -> None:
        """Nothing is open."""

    def _was_published(self, job: str) -> bool:
        name = job.rpartition(" ")[2]
        try:
            self._draft(name).unlink()
        except FileNotFoundError:
            return job.startswith(_PUBLISHING)
        return False

    def _draft(self, name: str) -> Path:
        return self.folder / f"{TEMPORARY}{name}"

    def _content(self, messages: Sequence[Message]) -> bytes:
        rows = [{self.key: message.key, **message.fields} for message in messages]
        if self.written_as == "jsonl":
            return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        frame, written = pl.DataFrame(list(_flat(rows)), infer_schema_length=None), io.BytesIO()
        if self.written_as == "csv":
            frame.write_csv(written)
        else:
            frame.write_parquet(written)
        return written.getvalue()


def _flat(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield rows whose columns all have the same ones, in the first's order."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for row in rows:
        yield {name: row.get(name) for name in columns}
