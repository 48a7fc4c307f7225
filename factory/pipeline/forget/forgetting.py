"""The plan of forgetting, the order in which it is done, and the receipt.

What is found goes last from the raw tables, by which everything else is found: a call that was killed is made again,
and finds what is left. The receipt is begun first and has no value of a person: who asked, when, digests of the
conditions under the line's key, how many rows of which table, which models had learnt from them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from factory.connectors.outbox.outbox import Outbox
from factory.data.forgotten import FORGOTTEN, remember
from factory.errors import ModelRefused, PersonalDataRefused
from factory.line.line import LEARNT_FROM, Line
from factory.pipeline.forget.condition import Condition, by_table
from factory.pipeline.forget.files import HomeFiles
from factory.pipeline.forget.rows import LakeRows, found_in, scrubber
from factory.release.repository import ModelRepository
from factory.storage.atomic_files import replace_file
from factory.storage.home import Home
from factory.storage.journal import TABLE as JOURNAL
from factory.storage.lake import Lake

RAW = "raw/"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would go."""

    rows: Mapping[str, int]
    """Table of the lake → rows that are the persons', or are made anew of the others by the next run."""
    decisions: int
    models: Mapping[str, Mapping[str, int]]
    """Model → its releases, by the registry's version, that learnt from them, or were chosen by them, and from how
    many."""
    not_in: Sequence[str]
    """Tables without the conditions' columns: nothing of them goes."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found."""
        return not any(self.rows.values())


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """That persons were forgotten; nothing in it says who."""

    line: str
    by: str
    reason: str
    began: str
    ended: str = ""
    """Empty until all was done."""
    columns: Sequence[Sequence[str]]
    conditions: Sequence[str]
    """Digests under the line's key: who has key and condition can tell that this is the receipt."""
    tables: Sequence[str] = ()
    """Tables that were removed whole."""
    rows: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    suppressed: bool = True
    """Whether rows of them that the source still has are left out from now on."""


class Forgetting:
    """One call: who is meant, in which line and home."""

    def __init__(
        self,
        home: Home,
        lake: Lake,
        outboxes: Sequence[Outbox],
        line: Line,
        some: Sequence[Condition],
        *,
        whole_tables: Sequence[str] = (),
    ) -> None:
        """Raises PersonalDataRefused where nobody could be found so, EnvironmentRefused without the line's key."""
        if unknown := [name for name in whole_tables if name not in line.tables]:
            raise PersonalDataRefused(f"line {line.name} has no table {unknown[0]!r}; it has {', '.join(line.tables)}")
        self.home, self.lake, self.outboxes, self.line, self.whole = home, lake, outboxes, line, tuple(whole_tables)
        self.pseudonyms = line.pseudonyms()
        self.conditions = list(some)
        self.persons = by_table(line, some)
        self.found = found_in(lake, line, self.persons, self.whole)
        self._rows = LakeRows(lake, line, self.persons, self.found)

    def plan(self) -> Plan:
        """Return what would go; nothing is changed."""
        rows = {table: len(self._rows.rest_of(table)[1]) for table in self._tables}
        touched = {*self.persons, *self.whole}
        return Plan(
            rows={table: count for table, count in rows.items() if count},
            decisions=len(self.found.decisions),
            models=self._learnt(),
            not_in=[name for name in self.line.tables if name not in touched],
        )

    @property
    def _tables(self) -> list[str]:
        """The lake's tables with rows, those of raw rows last."""
        names = [name for name in self.lake.tables() if name not in (JOURNAL, FORGOTTEN)]
        return sorted(names, key=lambda name: (name.startswith(RAW), name))

    def _learnt(self) -> dict[str, dict[str, int]]:
        """Return which releases learnt from the persons' decisions, or were chosen by them, and from how many."""
        if self.found.features.is_empty() or "label" not in self.found.features.columns:
            return {}
        repository, learnt = ModelRepository.at(self.home), dict[str, dict[str, int]]()
        for model in repository.models():
            if model.partition(".")[0] != self.line.name:
                continue
            for sequence in repository.sequences(model):
                try:
                    manifest = repository.manifest(model, sequence)
                except ModelRefused:
                    continue
                if LEARNT_FROM in manifest.provenance or "as_of" in manifest.provenance:
                    count = int(self.line.learnt_from(self.found.features, manifest.provenance).sum())
                    if count:
                        learnt.setdefault(model, {})[str(manifest.version)] = count
        return learnt

    def forget(self, *, by: str, reason: str, may_return: bool, say: Callable[[str], None]) -> Receipt:
        """Remove everything, and return the receipt; may be called again after a kill, and then ends what was begun."""
        now, plan = datetime.now(UTC), self.plan()
        digests = [self.pseudonyms.digest("condition", json.dumps(sorted(one.items()))) for one in self.conditions]
        digests = digests or [self.pseudonyms.digest("condition", json.dumps(self.whole))]
        place, receipt = self._begun(digests) or self._begin(now, digests, plan, by, reason, may_return=may_return)
        if not may_return and self.persons:
            remember(self.lake, self.line, self.persons, self.pseudonyms, now)
        scrub = scrubber(self.found.words, {} if self.whole and not self.persons else self.persons)
        raw = scrubber((), _as_asked(self.conditions))
        files = HomeFiles(
            self.home,
            self.outboxes,
            self.line,
            self.found.decisions,
            self.found.features,
            lambda text: raw(scrub(text)),
        )
        counts = dict(receipt.files)
        for name, step in self._steps(files):
            say(name)
            counts[name] = counts.get(name, 0) + step()
        for table in self._tables:
            say(f"table {table}")
            self._rows.remove(table)
        for table in self.lake.tables():
            self.lake.purge(table)
        say("the lake's journal")
        self._rows.scrub_journal(files.scrub)
        self.lake.purge(JOURNAL)
        done = Receipt(**{**asdict(receipt), "files": counts, "ended": _second(datetime.now(UTC))})
        _write(place, done)
        return done

    @staticmethod
    def _steps(files: HomeFiles) -> list[tuple[str, Callable[[], int]]]:
        return [
            ("rows in the gateway's records", files.forget_records),
            ("messages in the outbox", files.forget_messages),
            ("online snapshot", files.forget_snapshot),
            ("examples of models", files.forget_examples),
            ("pages and work in progress", files.forget_pages),
            ("texts and databases", files.scrub_texts),
        ]

    @property
    def _folder(self) -> Path:
        return self.home.forgotten / self.line.name

    def _begun(self, digests: Sequence[str]) -> tuple[Path, Receipt] | None:
        """Return the receipt of a call about the same persons that did not come to its end."""
        for place in sorted(self._folder.glob("*.json")):
            receipt = Receipt(**json.loads(place.read_text(encoding="utf-8")))
            if not receipt.ended and list(receipt.conditions) == list(digests):
                return place, receipt
        return None

    def _begin(
        self, now: datetime, digests: Sequence[str], plan: Plan, by: str, reason: str, *, may_return: bool
    ) -> tuple[Path, Receipt]:
        receipt = Receipt(
            line=self.line.name,
            by=by,
            reason=reason,
            began=_second(now),
            columns=[sorted(one) for one in self.conditions],
            conditions=list(digests),
            tables=self.whole,
            rows=plan.rows,
            models=plan.models,
            suppressed=not may_return and bool(self.persons),
        )
        place = self._folder / f"{now:%Y%m%dT%H%M%S}-{digests[0][:12]}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        _write(place, receipt)
        return place, receipt


def _as_asked(some: Sequence[Condition]) -> dict[str, list[Condition]]:
    """Return conditions as they were said: a text somewhere may have the value itself."""
    return {"": [{column.rpartition(".")[2]: value for column, value in one.items()} for one in some]}


def _second(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _write(place: Path, receipt: Receipt) -> None:
    replace_file(place, (json.dumps(asdict(receipt), indent=2) + "\n").encode(), mode=0o644)
