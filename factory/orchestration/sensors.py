"""What starts a line by itself: new rows at its source, drift or poor earnings, the calendar.

All are off until somebody turns them on in the UI. New rows bring a site's data, predictions and outcomes up to date;
drift, the calendar or a person makes new models. A site that is new at the source gets its first model without a
deploy.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import dagster as dg

from factory.connectors.source import Counted, Source, Versioned
from factory.errors import NameRefused
from factory.line.line import Line, Table
from factory.line.site_names import UNKNOWN
from factory.names import checked_name
from factory.orchestration.attempts import Attempts
from factory.orchestration.line_job import CAUSE, job_name, line_request
from factory.orchestration.line_source import SUFFIX, LineSource
from factory.orchestration.resources import Calendar
from factory.pipeline.drift import DRIFT
from factory.pipeline.events import LineRequest
from factory.pipeline.release import RELEASE
from factory.pipeline.stages import OPERATING
from factory.release.store import ModelStore
from factory.storage.journal import Entry, fingerprint
from factory.storage.lake_store import LakeStore

NEW_ROWS_S, DRIFT_S = 300, 300
RETRIES = 2


def new_rows_sensor(line: Line, sites: dg.DynamicPartitionsDefinition) -> dg.SensorDefinition:
    """Return the sensor `<line>_new_rows`; it needs a source that keeps factory.connectors.source.Dated."""
    source_name = f"{line.name}{SUFFIX}"

    @dg.sensor(
        name=f"{line.name}_new_rows",
        job_name=job_name(line.name),
        minimum_interval_seconds=NEW_ROWS_S,
        required_resource_keys={source_name, "calendar", "store"},  # the source's name is known only here
        description="Sites with other rows at the source: a later cursor, another number, another file; new sites.",
    )
    def new_rows(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        source: LineSource = getattr(context.resources, source_name)
        until = context.resources.calendar.until(line)
        newest = source.newest(line.decisions, until)
        if newest is None:
            return dg.SkipReason(f"the source of {line.name} cannot tell what is new; run the line by its calendar")
        removed = context.resources.store.removed_sites(line.name)
        valid = [site for site in _valid_names(context, newest) if site not in removed]
        known = set(context.instance.get_dynamic_partitions(str(sites.name)))
        attempts = Attempts(f"{line.name}-rows", context)
        requests = []
        state = _state(source, line.decisions, until)
        for key, some in attempts.due({site: f"{newest[site]}{state(site)}" for site in valid}).items():
            for new_sites, group in ((True, set(some) - known), (False, set(some) & known)):
                if group:
                    kind = "new-site" if new_sites else "rows"
                    stages = () if new_sites else OPERATING
                    request = _request(line, sorted(group), until, stages)
                    requests.append(line_request(request, f"{key}-{kind}", kind))
        added = [sites.build_add_request(sorted(set(valid) - known))] if set(valid) - known else []
        return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=added, cursor=attempts.cursor)

    return new_rows


def drift_sensor(line: Line) -> dg.SensorDefinition:
    """Return the sensor `<line>_drifted`: sites with an alert that acts are trained, judged and released anew."""

    @dg.sensor(
        name=f"{line.name}_drifted",
        job_name=job_name(line.name),
        minimum_interval_seconds=DRIFT_S,
        description="Sites that drifted, or whose decisions earn less than their verdict promised.",
    )
    def drifted(
        context: dg.SensorEvaluationContext, lake: dg.ResourceParam[LakeStore], store: dg.ResourceParam[ModelStore]
    ) -> dg.SensorResult:
        journal, removed = lake.journal(line.name), store.removed_sites(line.name)
        judged, released = journal.latest(DRIFT), journal.latest(RELEASE)
        waiting = {
            site: entry.figures
            for site, entry in judged.items()
            if site not in removed
            and (entry.figures["alert"] or {}).get("acts")
            and not _answered(entry, released.get(site))
        }
        attempts = Attempts(f"{line.name}-drift", context)
        due = attempts.due(
            {site: f"{figures['digest'][:12]} {figures['alert']['at']}" for site, figures in waiting.items()}
        )
        requests = []
        for key, some in due.items():
            causes = "+".join(sorted({waiting[site]["alert"]["cause"] for site in some}))
            until = max(waiting[site]["as_of"] for site in some)
            request = LineRequest(line=line.name, sites=tuple(some), until=until)
            requests.append(line_request(request, key, causes))
        return dg.SensorResult(run_requests=requests, cursor=attempts.cursor)

    return drifted


def line_schedule(line: Line, cron: str) -> dg.ScheduleDefinition:
    """Return the schedule `<line>_calendar`: the whole line, whether or not anything drifted."""

    @dg.schedule(
        name=f"{line.name}_calendar",
        job_name=job_name(line.name),
        cron_schedule=cron,
        description="The whole line by the calendar, in UTC; a run that fails is tried again twice.",
    )
    def by_calendar(context: dg.ScheduleEvaluationContext, calendar: Calendar) -> dg.RunRequest:
        due = f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}"
        request = _request(line, [], calendar.until(line), ())
        run = line_request(request, f"{line.name}-calendar-{due}", "calendar")
        return run.with_replaced_attrs(tags={CAUSE: "calendar", "dagster/max_retries": str(RETRIES)})

    return by_calendar


def _request(line: Line, sites: Sequence[str], until: datetime, stages: Sequence[str]) -> LineRequest:
    return LineRequest(line=line.name, sites=tuple(sites), until=f"{until:%Y-%m-%d}", stages=tuple(stages))


def _state(source: Source, table: Table, until: datetime) -> Callable[[str], str]:
    """Return what tells, by site and beside its newest row, of corrections and deletions; empty where nothing does.

    Of a file its state does, of a database how many rows a site has.
    """
    version = source.version(table) if isinstance(source, Versioned) else None
    counts = source.counts(table, until) if isinstance(source, Counted) else None
    of_file = f" {fingerprint(version)}" if version else ""
    return lambda site: f" {counts[site]} rows" if counts and site in counts else of_file


def _answered(judged: Entry, released: Entry | None) -> bool:
    """Whether the site serves another model by now than the one that the alert is about."""
    return released is not None and released.figures["serving_digest"] != judged.figures["digest"]


def _valid_names(context: dg.SensorEvaluationContext, names: Iterable[str]) -> Iterable[str]:
    """Yield the valid names of sites; warn of the others, which stop nobody else. Rows that name none start nothing."""
    for name in names:
        if name == UNKNOWN:
            continue
        try:
            yield checked_name(name)
        except NameRefused as error:
            context.log.warning(str(error))
