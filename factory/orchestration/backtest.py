"""Steps through a line's past with its real sensors and gates, and reports what the factory would have earned.

At each step time stops: new rows arrive (the sensor says for which sites), what serves decides about them, late
outcomes come in, drift is judged, and the sensor requests retrainings. Beside it every site is trained at every
step and put into service without a gate: that is what blind retraining would serve. Both share one home, since a model
made of the same rows is the same model; what the factory serves never depends on a model it did not request.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any

import dagster as dg
import polars as pl
from dagster._utils.schedules import schedule_execution_time_iterator  # the daemon's own reading of a cron line

from factory.economics.backtest.moments import moments
from factory.economics.backtest.tally import Period, Retraining, Step, report
from factory.economics.backtest.worth import Model, Worth
from factory.errors import LineError, ModelRefused
from factory.features.samples import in_order
from factory.line.split import PLACE
from factory.names import LINE_SITE, model_name
from factory.orchestration.launch import LineLauncher
from factory.orchestration.line_job import request_of
from factory.orchestration.line_source import SUFFIX
from factory.orchestration.resources import Calendar, opened
from factory.orchestration.sites import known_sites
from factory.pipeline.events import Event, LineRequest, Show, SiteFailed
from factory.pipeline.line_run import registered_version
from factory.pipeline.stages import TRAINING
from factory.storage.journal import Entry

JUDGED = ("site_model", "verdict", "release")
"""The stages after the base model that a retraining of the factory's is paid for."""


def _nothing(*_: object) -> None:
    """Show nothing."""


@dataclass(kw_only=True)
class Course:
    """What serves in one period, and what was done and paid for it at its beginning."""

    begin: datetime
    end: datetime
    blind: Mapping[str, Model]
    paid: dict[str, tuple[Retraining, ...]] = field(default_factory=dict)
    events: dict[str, list[str]] = field(default_factory=dict)


class Backtest:
    """One line's backtest in a home of its own; `say` tells people what came of each period.

    `show` hears of every event of its runs, and `moved` how many of its steps are over and how many there are: the
    first models are one, and each period is one.
    """

    def __init__(
        self,
        line: str,
        launcher: LineLauncher,
        say: Callable[[str], None],
        *,
        show: Show = _nothing,
        moved: Callable[[int, int], None] = _nothing,
    ) -> None:
        self.name = line
        self.launcher = launcher
        self.say = say
        self.show = show
        self.moved = moved
        self.definitions, self.instance = launcher.definitions, launcher.instance
        self.line = launcher.parts(line).line
        self.bound: dict[str, Any] = {
            name: opened(resource) for name, resource in (self.definitions.resources or {}).items()
        }
        self.lake, self.journal = self.bound["lake"].of(line), self.bound["lake"].journal(line)
        self.cursors: dict[str, str | None] = {}

    def run(self, first: str, last: str, every: str) -> dict[str, Any]:
        """Replay from the first day to the last and return the report (factory.economics.backtest.tally.report)."""
        days = moments(first, last, every)
        if self.bound[f"{self.name}{SUFFIX}"].newest(self.line.decisions, days[0]) is None:
            raise LineError(f"line {self.name}: its source cannot tell when rows arrived, so nothing can be replayed")
        self.say(f"{first}: the first models, the same for all")
        self.moved(0, len(days))
        self._run_line(until=_date(days[0]))
        self.moved(1, len(days))
        never = self._released()
        if not never:
            raise LineError(f"line {self.name}: no site serves a model on {first}; begin later, or see its verdicts")
        courses = list(self._courses(days, never))
        return report(self.name, list(self._steps(courses, never)))

    def _courses(self, days: Sequence[datetime], never: Mapping[str, Model]) -> Iterator[Course]:
        course = Course(begin=days[0], end=days[1], blind=never)
        for number, (begin, end) in enumerate(pairwise(days), start=2):
            arrived = self._arrive(end)
            yield course
            if end == days[-1]:
                self.moved(number, len(days))
                return
            course = Course(begin=end, end=days[days.index(end) + 1], blind={})
            self._factory(course, begin, arrived)
            self._blindly(course)
            happened = {name: ", ".join(sites) for name, sites in course.events.items() if sites}
            self.say(f"{begin:%Y-%m-%d} to {end:%Y-%m-%d} is over; {happened or 'nothing drifted'}")
            self.moved(number, len(days))

    def _arrive(self, day: datetime) -> list[str]:
        """Let the rows before a day arrive at the sites the sensor names; return those that got their first model."""
        new: list[str] = []
        for request in self._tick("new_rows", day):
            self._do(request)
            new += () if request.stages else request.sites
        return new

    def _factory(self, course: Course, before_that: datetime, arrived: Sequence[str]) -> None:
        """Do what the calendar and the drift sensor request, and record its cost and its outcome."""
        drifted: list[str] = []
        before = self._serving()
        planned = self._planned(before_that, course.begin)
        for request in planned:
            self._do(request)
        for request in self._tick("drifted", course.begin):
            drifted += request.sites
            self._do(request)
        known = known_sites(self.instance, self.name)
        retrained = sorted({*drifted, *arrived, *(known if planned else ())})
        after = self._serving()
        released = [
            site for site in retrained if after.get(site) != before.get(site) or (site in arrived and site in after)
        ]
        refused = [site for site in retrained if site not in released]
        course.events = {"drifted": drifted, "released": released, "refused": refused}
        course.paid["factory"] = self._paid(course.begin, retrained, JUDGED)

    def _blindly(self, course: Course) -> None:
        """Train every site, and serve each model without a gate."""
        sites = known_sites(self.instance, self.name)
        self._run_line(sites=tuple(sites), until=_date(course.begin), stages=TRAINING)
        candidates = self.journal.latest("site_model", sites)
        course.blind = {site: self._candidate(entry) for site, entry in candidates.items()}
        course.paid["blind"] = self._paid(course.begin, sites, JUDGED[:1])

    def _candidate(self, entry: Entry) -> Model:
        """Return a site's candidate, with the threshold that was chosen when it was trained."""
        content = self.bound["registry"].onnx(*registered_version(self.name, entry))
        return Model(content=content, threshold=entry.figures["threshold"])

    def _paid(self, day: datetime, sites: Sequence[str], stages: Sequence[str]) -> tuple[Retraining, ...]:
        """Return what the models of some sites cost that were made as of a day, their base model with them."""
        if not sites:
            return ()
        entries = list(self.journal.latest("base_model", [LINE_SITE]).values())
        for stage in stages:
            entries += self.journal.latest(stage, sites).values()
        seconds = sum(entry.seconds for entry in entries if entry.figures.get("as_of") == _date(day))
        cost = self.line.costs.retraining_eur(seconds, len(sites))
        return (Retraining(site_models=len(sites), seconds=seconds, cost_eur=cost),)

    def _steps(self, courses: Sequence[Course], never: Mapping[str, Model]) -> Iterator[Step]:
        """Yield what each period was worth under each policy, by the outcomes known at the end."""
        worth = Worth(self.line, self._rows(), courses[0].begin)
        predictions = self.lake.scan("predictions").collect() if self.lake.has("predictions") else pl.DataFrame()
        for course in courses:
            known = worth.known(course.begin, course.end)
            values = {
                "never": worth.of_models(known, never),
                "blind": worth.of_models(known, course.blind),
                "factory": worth.of_predictions(known, predictions),
            }
            yield Step(
                begin=course.begin,
                end=course.end,
                decisions=len(known),
                periods={
                    policy: Period(value_eur=value, retrainings=course.paid.get(policy, ()))
                    for policy, value in values.items()
                },
                events=course.events,
            )

    def _tick(self, sensor: str, day: datetime) -> list[LineRequest]:
        """Evaluate a sensor of the line as of a day; return what it requests."""
        name = f"{self.name}_{sensor}"
        names = ("calendar", "lake", "store", f"{self.name}{SUFFIX}")
        resources = {**{bound: self.bound[bound] for bound in names}, "calendar": Calendar(as_of=_date(day))}
        context = dg.build_sensor_context(self.instance, cursor=self.cursors.get(name), resources=resources)
        tick = self.definitions.resolve_sensor_def(name).evaluate_tick(context)
        self.cursors[name] = tick.cursor
        return [self._request(request) for request in tick.run_requests or ()]

    def _planned(self, begin: datetime, end: datetime) -> list[LineRequest]:
        """Return what the line's schedule requests on the days after `begin` up to the day `end`; of several the last.

        A run looks at the days before its own, so what is due during the day `end` is what is due at its beginning.
        """
        if not self.line.schedule:
            return []
        schedule = self.definitions.resolve_schedule_def(f"{self.name}_calendar")
        after, until = (day.replace(tzinfo=UTC) + timedelta(days=1) for day in (begin, end))
        times = schedule_execution_time_iterator(after.timestamp(), schedule.cron_schedule, "UTC")
        due = list(takewhile(lambda at: at < until, times))
        if not due:
            return []
        resources = {"calendar": Calendar(as_of=_date(end))}
        context = dg.build_schedule_context(self.instance, scheduled_execution_time=due[-1], resources=resources)
        return [self._request(request) for request in schedule.evaluate_tick(context).run_requests or ()]

    def _request(self, request: dg.RunRequest) -> LineRequest:
        return request_of(self.name, dict(request.run_config))

    def _run_line(self, **what: Any) -> None:
        self._do(LineRequest(line=self.name, **what))

    def _do(self, request: LineRequest) -> None:
        def show(event: Event) -> None:
            if isinstance(event, SiteFailed):
                self.say(f"{event.site} failed in {event.step}: {event.error}")
            self.show(event)

        self.launcher.run(request, show)

    def _rows(self) -> pl.DataFrame:
        rows: pl.DataFrame = in_order(self.lake.scan("features"), self.line.features.key).collect()
        return rows.with_row_index(PLACE)

    def _released(self) -> dict[str, Model]:
        """Return what each site serves."""
        models = {}
        store = self.bound["store"]
        for site in known_sites(self.instance, self.name):
            try:
                released = store.repository().load(model_name(self.name, site), store.key().public_key())
            except ModelRefused:
                continue  # nothing was released
            models[site] = Model(content=released.content, threshold=released.manifest.threshold)
        return models

    def _serving(self) -> dict[str, str]:
        """Return each site's release, as a token that changes with it."""
        repository = self.bound["store"].repository()
        sites = known_sites(self.instance, self.name)
        tokens = {site: repository.marker(model_name(self.name, site)) for site in sites}
        return {site: token for site, token in tokens.items() if token}


def _date(day: datetime) -> str:
    return f"{day:%Y-%m-%d}"
