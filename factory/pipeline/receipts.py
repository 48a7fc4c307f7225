"""The stage `receipts`: new decisions go into the outbox, what is due is sent, and the receipts come into the lake.

A decision is put once, by its key. What a system does not take waits in the outbox, and is a finding of its site; the
stage fails of nothing that a system does.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import msgspec
import polars as pl

from factory.compute.isolation import Isolated, one_by_one, together
from factory.connectors.outbox.outbox import OPEN, Kept, Standing, State
from factory.errors import FactoryError, OutboxError
from factory.line.sinks import SinkSection
from factory.line.split import DECIDED_AT
from factory.monitoring.findings import Finding
from factory.monitoring.messages import ACTS, decided, logged_decisions, messages, with_features, with_keys
from factory.monitoring.outcomes import delivered_decisions
from factory.monitoring.prediction_log.rows import PREDICTION_LOG
from factory.monitoring.predictions import DIGEST, PREDICTIONS, RELEASE, VERSION
from factory.names import model_name
from factory.pipeline.findings import keep_and_tell
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CHANGED, ROW_COUNT, Figures, Work
from factory.release.history import Event
from factory.storage.journal import fingerprint
from factory.storage.lake import SITE

RECEIPTS = "receipts"
WITHIN_S = 60.0
"""How long a run waits for one sink; what is due later goes with a later run."""
RECORDED_AT_ONCE = 10_000
_COLUMNS: Mapping[str, Any] = {
    SITE: pl.String,
    "message": pl.String,
    "action": pl.String,
    "sink": pl.String,
    "state": pl.String,
    "at": pl.Datetime("us", "UTC"),
    "put_at": pl.Datetime("us", "UTC"),
    "attempts": pl.Int64,
    "reference": pl.String,
    "reply": pl.String,
    RELEASE: pl.Int64,
    VERSION: pl.Int64,
    DIGEST: pl.String,
    "about": pl.String,
}


def receipts(run: LineRun) -> Work:
    """Return what delivers the sites' decisions."""
    return Work(do=Deliveries(run).deliver)


class Deliveries:
    """The deliveries of one run."""

    def __init__(self, run: LineRun, within_s: float = WITHIN_S) -> None:
        self.run, self.line, self.lake, self.within_s = run, run.line, run.lake, within_s
        self.outbox = run.outbox.of(run.line.name)

    def deliver(self, sites: Sequence[str]) -> Isolated[Figures]:
        """Put the sites' new decisions, send what is due, and record what came to an end."""
        put = one_by_one(sites, self.put)
        failing = {name: self._send(name, list(put.done)) for name in self.line.sinks}
        recorded = together(list(put.done), self.record)
        keep_and_tell(self.run, RECEIPTS, self._findings(list(recorded.done), failing))
        done = {site: self._figures(site, put.done[site], rows) for site, rows in recorded.done.items()}
        return Isolated(done=done, failed={**put.failed, **recorded.failed})

    def put(self, site: str) -> int:
        """Put a site's decisions that are not in the outbox yet into it, for each of its sinks; return how many."""
        return sum(self._put(name, section, site) for name, section in self.line.sinks.items() if section.takes(site))

    def _put(self, name: str, section: SinkSection, site: str) -> int:
        sink, state = self.run.outbox.name_of(self.line, name), self._state(section, site)
        place = f"put {sink} {site}"
        noted = msgspec.json.decode(self.outbox.noted(place) or "{}")
        if noted.get("state") == state:
            return 0
        due = self._due(section, site)
        if due.is_empty():
            self.outbox.note(place, msgspec.json.encode({**noted, "state": state}).decode())
            return 0
        known = self.outbox.keys(sink, site)
        new = with_keys(self.line, sink, due).filter(~pl.col("message_key").is_in(list(known)))
        acted_on = new.filter(ACTS)
        wanted = new if section.deliver == "all" else acted_on
        since = noted.get("newest")
        later = due if since is None else due.filter(pl.col(DECIDED_AT) > datetime.fromisoformat(since))
        held = section.guard.why_held(len(wanted), len(later), int(later[ACTS].sum()), self._held.get((sink, site), 0))
        rows = self.run.served.rows.filter(pl.col(SITE) == site)
        put = self.outbox.put(
            messages(self.line, sink, with_features(self.line, section, wanted, rows)), held=held if len(wanted) else ""
        )
        self.outbox.note(place, msgspec.json.encode({"state": state, "newest": due[DECIDED_AT].max()}).decode())
        return put

    def _state(self, section: SinkSection, site: str) -> str:
        """Return a word that changes when there may be something to put."""
        versions = [self.lake.site_versions(table, [site])[site] for table in (PREDICTIONS, PREDICTION_LOG)]
        return fingerprint(versions, section.deliver, section.of, section.expires_after_days, self.run.as_of)

    def _due(self, section: SinkSection, site: str) -> pl.DataFrame:
        """Return the site's decisions that the sink may get, with what the line does."""
        parts = []
        if "predictions" in section.of:
            parts.append(self.run.served.table(PREDICTIONS, site))
        if "prediction_log" in section.of:
            parts.append(self._logged(site))
        some = [decided(self.line, part) for part in parts if part is not None and len(part)]
        if not some:
            return pl.DataFrame()
        every = pl.concat(some, how="diagonal_relaxed")
        oldest = self.run.until - timedelta(days=section.expires_after_days)
        moment = pl.col(DECIDED_AT)
        if isinstance(every.schema[DECIDED_AT], pl.Datetime):
            moment = moment.dt.replace_time_zone(None)
        return every.filter(moment >= oldest).sort(DECIDED_AT)

    def _logged(self, site: str) -> pl.DataFrame | None:
        """Return what the gateway told somebody about a known subject; None where that is nothing."""
        if not self.lake.has(PREDICTION_LOG) or not self.run.served.tells_time:
            return None
        served = self.lake.scan(PREDICTION_LOG, [site])
        released = self.run.served.asked(site, served)
        rows = delivered_decisions(
            self.line,
            served,
            self.run.served.rows.schema,
            {digest: manifest.threshold for digest, manifest in released.items()},
        )
        return logged_decisions(rows, {digest: manifest.sequence for digest, manifest in released.items()})

    @cached_property
    def _held(self) -> Mapping[tuple[str, str], int]:
        """How many messages a person was waited for when the run began, by sink and site."""
        return {(one.sink, one.site): one.count for one in self.outbox.standing() if one.state == "held"}

    def _send(self, name: str, sites: Sequence[str]) -> str:
        """Send what is due of a sink; return why nothing could be sent, empty where it could."""
        section, sink = self.line.sinks[name], self.run.outbox.name_of(self.line, name)
        mine = [site for site in sites if section.takes(site)]
        due = self.outbox.next_due(sink, mine)
        if due is None or due > self._now() + self.within_s:
            return ""
        try:
            with closing(self.run.outbox.sink(self.line, name, self.run.project)) as system:
                if misfits := system.check():
                    return f"its mapping does not fit: {'; '.join(misfits)}"
                self.run.outbox.delivery(self.outbox, system, self.line, name).run(mine, self.within_s)
        except OutboxError:
            raise
        except FactoryError as error:
            return str(error)
        return ""

    def record(self, sites: Sequence[str]) -> dict[str, int]:
        """Bring receipts and refusals into the lake and the sites' histories; return how many are new by site.

        The outbox is told last: a run that dies before that does it again, and finds them there.
        """
        counts = dict.fromkeys(sites, 0)
        while some := self.outbox.receipts(sites, RECORDED_AT_ONCE):
            rows = self._not_in_lake(_rows(some))
            of_site = dict(rows.group_by(SITE).len().iter_rows())
            if of_site:
                self.lake.append(RECEIPTS, rows, self.lake.site_versions(RECEIPTS, of_site))
            self._put_on_record(some)
            self.outbox.mark_recorded(some)
            counts = {site: count + of_site.get(site, 0) for site, count in counts.items()}
        return counts

    def _not_in_lake(self, rows: pl.DataFrame) -> pl.DataFrame:
        if not self.lake.has(RECEIPTS):
            return rows
        key = [SITE, "message", "state", "at"]
        known = (
            self.lake.scan(RECEIPTS, rows[SITE].unique().to_list()).select(key).filter(pl.col("at") >= rows["at"].min())
        )
        return rows.join(known.collect(), on=key, how="anti", maintain_order="left")

    def _put_on_record(self, some: Sequence[Kept]) -> None:
        """Put on each site's record which sink got how many decisions of which release."""
        groups: dict[tuple[Any, ...], dict[str, int]] = {}
        for kept in some:
            about = kept.message.identity
            group = (kept.message.site, kept.message.sink, about.get(RELEASE), about.get(VERSION), about.get(DIGEST))
            what = kept.state if kept.message.action == "upsert" else f"withdrawal {kept.state}"
            groups.setdefault(group, {}).setdefault(what, 0)
            groups[group][what] += 1
        repository, key = self.run.store.repository(), self.run.store.key()
        for (site, sink, release, version, digest), counts in groups.items():
            counted = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
            newest = max(kept.changed_at for kept in some if (kept.message.site, kept.message.sink) == (site, sink))
            event = Event(
                kind="delivery",
                actor="factory",
                reason=f"{sink}: {counted}, by {datetime.fromtimestamp(newest, UTC):%Y-%m-%d %H:%M:%S} UTC",
                version=version,
                release=release,
                digest=digest,
            )
            repository.site_history.append(model_name(self.line.name, site), event, key, once=True)

    def _findings(self, sites: Sequence[str], failing: Mapping[str, str]) -> dict[str, list[Finding]]:
        found: dict[str, list[Finding]] = {site: [] for site in sites}
        for site in sites:
            for name, section in self.line.sinks.items():
                if section.takes(site):
                    sink = self.run.outbox.name_of(self.line, name)
                    mine = {one.state: one for one in self._standing if (one.sink, one.site) == (sink, site)}
                    found[site] += self._findings_of(name, section, site, mine, failing[name])
        return found

    def _findings_of(
        self, name: str, section: SinkSection, site: str, standing: Mapping[State, Standing], failing: str
    ) -> list[Finding]:
        """Return what people should know of a site's messages to a sink, by the states in which some are."""
        found, see = [], f"factory deliveries status {self.line.name} {site} --sink {name}"
        if held := standing.get("held"):
            text = f"{name}: {held.count} messages wait for a person: {self._last(name, site, 'held')}. Look: {see}"
            found.append(Finding(kind="deliveries held", key=f"{name} held", text=text))
        if refused := standing.get("refused"):
            text = f"{name} refused {refused.count} messages: {self._last(name, site, 'refused')}. Look: {see}"
            found.append(Finding(kind="deliveries refused", key=f"{name} refused", text=text))
        late = [standing[state] for state in _LATE if state in standing]
        if failing and late:
            text = f"{name}: {sum(one.count for one in late)} messages wait: {failing}"
            found.append(Finding(kind="sink fails", key=f"{name} fails", text=text))
        overdue = [one for one in late if self._now() - one.oldest > section.overdue_after_minutes * 60]
        if overdue and not failing:
            hours = max(self._now() - one.oldest for one in overdue) / 3600
            why = self._last(name, site, overdue[0].state) or "they were not tried"
            text = (
                f"{name}: {sum(one.count for one in overdue)} messages are not there yet, the oldest after "
                f"{hours:.1f} hours: {why}. Look: {see}"
            )
            found.append(Finding(kind="deliveries late", key=f"{name} late", text=text))
        return found

    def _last(self, name: str, site: str, state: State) -> str:
        kept = self.outbox.find(sink=self.run.outbox.name_of(self.line, name), site=site, states=[state], limit=1)
        return kept[0].reply[:300] if kept else ""

    def _figures(self, site: str, put: int, recorded: int) -> Figures:
        """Return the counts of a site's messages over all its sinks, and how long the oldest waits."""
        mine = [one for one in self._standing if one.site == site]
        counts = {str(state): sum(one.count for one in mine if one.state == state) for state in _COUNTED}
        waiting = [one.oldest for one in mine if one.state in OPEN]
        oldest = round(max(0.0, self._now() - min(waiting)), 1) if waiting else 0.0
        changed = bool(put or recorded)
        return {ROW_COUNT: recorded, "put": put, **counts, "oldest_waiting_s": oldest, CHANGED: changed}

    @cached_property
    def _standing(self) -> list[Standing]:
        """How the messages stand once all is sent and recorded."""
        return self.outbox.standing()

    @staticmethod
    def _now() -> float:
        return datetime.now(UTC).timestamp()


_COUNTED: tuple[State, ...] = ("waiting", "unknown", "held", "refused", "accepted")
_LATE: tuple[State, ...] = tuple(state for state in OPEN if state != "held")


def _rows(some: Sequence[Kept]) -> pl.DataFrame:
    """Return messages that came to an end as rows of the lake."""
    rows = [
        {
            **{name: value for name, value in kept.row.items() if name in _COLUMNS},
            "message": kept.message.id,
            "at": datetime.fromtimestamp(kept.changed_at, UTC),
            "put_at": datetime.fromtimestamp(kept.put_at, UTC),
            "about": msgspec.json.encode(dict(kept.message.identity)).decode(),
            **{name: kept.message.identity.get(name) for name in (RELEASE, VERSION, DIGEST)},
        }
        for kept in some
    ]
    return pl.DataFrame(rows, schema=dict(_COLUMNS))
