"""What a home keeps of persons beside the lake: records of the gateway, the outbox, examples of models, pages, logs."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from factory.connectors.outbox.outbox import Outbox
from factory.errors import ModelRefused, PersonalDataRefused
from factory.line.line import Line
from factory.model.candidate import REFERENCE_FILE
from factory.model.reference_answers import ReferenceAnswers
from factory.monitoring.prediction_log.files import MAGIC, OPEN, RecordedBatch, complete_leftovers, framed, recorded
from factory.monitoring.prediction_log.files import segments as segments_in
from factory.pipeline.forget.rows import is_example_of, key_of, subjects_of
from factory.release.draft import MANIFEST_FILE
from factory.release.layout import SNAPSHOTS, snapshot_file
from factory.release.repository import ModelRepository
from factory.release.store import ModelStore
from factory.storage.atomic_files import replace_file, temporary_name
from factory.storage.home import Home

Scrub = Callable[[str], str]
_TEXTS = (".json", ".jsonl", ".html", ".log", ".txt", ".out", ".err", ".csv", ".md", ".yaml", ".svg")
_DATABASES = (".db", ".sqlite")
_LARGEST_TEXT = 256 << 20
_WAIT_S = 30.0


class HomeFiles:
    """Removes from a home's files what was found of persons; each step may be done again."""

    def __init__(
        self,
        home: Home,
        outboxes: Sequence[Outbox],
        line: Line,
        decisions: pl.DataFrame,
        features: pl.DataFrame,
        scrub: Scrub,
    ) -> None:
        self.home, self.outboxes, self.line, self.scrub = home, outboxes, line, scrub
        self._keys = list(line.features.key)
        self._about = subjects_of(decisions)
        self._is_example = is_example_of(features, line)

    def _is_about(self, site: str, subject: str) -> bool:
        return bool(subject) and (site, *key_of(subject, self._keys)) in self._about

    def forget_records(self) -> int:
        """Blank the rows of the decisions in the gateway's segments, each at its place; return how many.

        Raises PersonalDataRefused where a gateway is writing such a segment now.
        """
        folder = self.home.prediction_log
        if not folder.is_dir():
            return 0
        complete_leftovers(folder)
        blanked = 0
        for segment in segments_in(folder):
            batches = [batch for batch, _ in recorded(segment)]
            others = [self._without(batch) for batch in batches]
            count = sum(rows for _, rows in others)
            if count and segment.suffix == OPEN:
                raise PersonalDataRefused(
                    f"{segment} has {count} rows of who is to be forgotten, and a gateway is writing it: stop the "
                    "gateway, or restart it, and run the same command again; what was done stays done"
                )
            if count:
                replace_file(segment, MAGIC + b"".join(framed(batch) for batch, _ in others), mode=0o644)
            blanked += count
        return blanked

    def _without(self, batch: RecordedBatch) -> tuple[RecordedBatch, int]:
        """Return a batch of as many bytes, without numbers and subjects of those rows; and how many there are."""
        if batch.line != self.line.name or not batch.subjects:
            return batch, 0
        mine = [place for place, subject in enumerate(batch.subjects) if self._is_about(batch.site, subject)]
        if not mine:
            return batch, 0
        values, answers = batch.inputs().copy(), batch.outputs().copy()
        if len(values):
            values[mine], answers[mine] = np.nan, np.nan
        subjects = list(batch.subjects)
        for place in mine:  # a cursor says how far a segment was read in bytes
            subjects[place] = "{}".ljust(len(subjects[place].encode()))
        changed = msgspec.structs.replace(batch, subjects=subjects, values=values.tobytes(), answers=answers.tobytes())
        return changed, len(mine)

    def forget_messages(self) -> int:
        """Remove the decisions' messages from the line's outboxes, waiting ones too; return how many."""
        return sum(outbox.forget(self._is_about, self.scrub) for outbox in self.outboxes)

    def forget_snapshot(self) -> int:
        """Remove the rows that the gateway builds features on; the next run of operations makes them anew."""
        place, folder = self.home.models / snapshot_file(self.line.name), self.home.models / SNAPSHOTS / self.line.name
        there = place.exists() or folder.exists()
        place.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        return int(there)

    def forget_pages(self) -> int:
        """Remove pages, work in progress and the backtest of the line, which runs make anew; return how many files."""
        docs = [place for place in self.home.data_docs.rglob(f"{self.line.name}.*") if self.home.data_docs.is_dir()]
        folders = [
            self.home.reports / self.line.name,
            self.home.scratch / self.line.name,
            self.home.backtest(self.line.name),
        ]
        files = 0
        for place in [*folders, *docs, self.home.example]:
            if place.is_dir():
                files += sum(1 for _ in place.rglob("*"))
                shutil.rmtree(place, ignore_errors=True)
            elif place.exists():
                files += 1
                place.unlink()
        return files

    def forget_examples(self) -> int:
        """Blank feature rows that are examples of models, and take them out of reference answers; return how many."""
        return sum(self._manifests()) + sum(self._artifacts())

    def _manifests(self) -> Iterator[int]:
        """Sign each release of which the example is such a row anew, with an example that says nothing."""
        repository = ModelRepository.at(self.home)
        store = ModelStore(root=self.home.models, key_folder=self.home.keys)
        for model in repository.models():
            if model.partition(".")[0] != self.line.name:
                continue
            with repository.only_writer(model):
                for sequence in repository.sequences(model):
                    with suppress(ModelRefused):
                        manifest = repository.manifest(model, sequence)
                        if self._is_example(manifest.example):
                            blank = replace(manifest, example=(None,) * len(manifest.example)).signed(store.key())
                            replace_file(
                                repository.folder(model, sequence) / MANIFEST_FILE, blank.to_json(), mode=0o444
                            )
                            yield 1

    def _artifacts(self) -> Iterator[int]:
        for place in self.home.artifacts.rglob("*") if self.home.artifacts.is_dir() else ():
            if place.name == REFERENCE_FILE:
                yield self._reference(place)
            elif place.name.endswith("input_example.json"):
                yield self._input_example(place)

    def _reference(self, place: Path) -> int:
        answers = ReferenceAnswers.from_bytes(place.read_bytes())
        mine = np.array([self._is_example(row.ravel().tolist()) for row in answers.rows], bool)
        if mine.all():
            place.unlink()
        elif mine.any():
            rest = ReferenceAnswers(rows=answers.rows[~mine], answers=answers.answers[~mine])
            replace_file(place, rest.to_bytes(), mode=0o644)
        return int(mine.sum())

    def _input_example(self, place: Path) -> int:
        count = 0

        def blanked(said: Any) -> Any:
            nonlocal count
            if isinstance(said, dict):
                return {key: blanked(value) for key, value in said.items()}
            if not isinstance(said, list):
                return said
            numbers = said and all(value is None or isinstance(value, int | float) for value in said)
            if numbers and self._is_example(said):
                count += 1
                return [None] * len(said)
            return [blanked(value) for value in said]

        other = blanked(json.loads(place.read_text(encoding="utf-8")))
        if count:
            replace_file(place, json.dumps(other).encode(), mode=0o644)
        return count

    def scrub_texts(self) -> int:
        """Write each page, log and database of the home without words of persons; return how many files changed."""
        changed = 0
        kept = [self.home.models, self.home.keys, self.home.history, self.home.artifacts, Path(self.home.lake)]
        for place in sorted(self.home.root.rglob("*")):
            if place.is_symlink() or not place.is_file() or any(place.is_relative_to(folder) for folder in kept):
                continue
            if place.suffix in _DATABASES:
                changed += _scrub_database(place, self.scrub)
            elif place.suffix in _TEXTS and place.stat().st_size <= _LARGEST_TEXT:
                changed += _scrub_text(place, self.scrub)
        return changed


def _scrub_text(place: Path, scrub: Scrub) -> bool:
    text = place.read_bytes().decode("utf-8", "surrogateescape")
    other = scrub(text)
    if other != text:
        draft = place.with_name(temporary_name(place.name))
        draft.write_bytes(other.encode("utf-8", "surrogateescape"))
        shutil.copymode(place, draft)
        draft.replace(place)
    return other != text


def _connected(place: Path) -> sqlite3.Connection:
    database = sqlite3.connect(place, timeout=_WAIT_S)
    database.execute("PRAGMA secure_delete = ON")
    return database


def _compacted(database: sqlite3.Connection) -> None:
    """Leave no page and no log of what was there."""
    database.execute("VACUUM")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _scrub_database(place: Path, scrub: Scrub) -> bool:
    with place.open("rb") as file:
        if not file.read(16).startswith(b"SQLite format 3"):
            return False
    with closing(_connected(place)) as database:
        database.create_function("scrubbed", 1, lambda text: scrub(text) if isinstance(text, str) else text)
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        changed = sum(_scrub_table(database, name) for name in names if not name.startswith("sqlite_"))
        if changed:
            _compacted(database)
    return changed > 0


def _scrub_table(database: sqlite3.Connection, table: str) -> int:
    quoted = _quoted(table)
    columns = [_quoted(name) for _, name, *_ in database.execute(f"PRAGMA table_info({quoted})")]
    changed = 0
    with database:
        for column in columns:
            changed += database.execute(
                f"UPDATE {quoted} SET {column} = scrubbed({column}) "  # noqa: S608  names of the database itself, quoted
                f"WHERE typeof({column}) = 'text' AND scrubbed({column}) <> {column}"
            ).rowcount
    return changed


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
