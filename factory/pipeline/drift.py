"""The stage `drift`: whether a site's world moved, or what its decisions earn.

Whole weeks are judged once each, all sites of a run together. What is remembered of a site is in the journal's entry:
the weeks judged so far, by which release, what moved in the last ones, and the alert that still waits for an answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from factory.compute.isolation import Isolated, together
from factory.line.split import DECIDED_AT, decided
from factory.monitoring.drift.alerts import WEEK, Alert, DecisionValue, SiteState, watched, whole_weeks
from factory.monitoring.drift.measure import Shift
from factory.monitoring.drift.reference import shifts
from factory.monitoring.outcomes import VALUE
from factory.monitoring.predictions import PREDICTIONS, answer_columns, key_columns
from factory.pipeline.line_run import LineRun
from factory.pipeline.outcomes import OUTCOMES
from factory.pipeline.serving import Serving
from factory.pipeline.work import CHANGED, ROW_COUNT, Figures, Work
from factory.storage.lake import SITE

DRIFT, ALERTS = "drift", "alerts"
WEEK_COLUMN = "week"


@dataclass(kw_only=True)
class SiteProgress:
    """How far one site is judged: what it serves, up to when it was judged, and what is remembered."""

    serving: Serving
    since: datetime
    state: SiteState
    alert: dict[str, Any] | None
    weeks: int = 0
    moved: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)


def drift(run: LineRun) -> Work:
    """Return what judges every whole week that a site has behind it and that was not judged yet."""
    return Work(do=DriftJudging(run).judge)


class DriftJudging:
    """The judging of progress run's weeks."""

    def __init__(self, run: LineRun) -> None:
        self.run, self.served = run, run.served
        self.line, self.lake = run.line, run.lake
        self.limits = run.line.drift

    def judge(self, sites: Sequence[str]) -> Isolated[Figures]:
        """Judge every whole week that a site has behind it and that was not judged yet."""
        return together(sites, self._judge)

    def _judge(self, sites: Sequence[str]) -> Mapping[str, Figures]:
        last = self.run.journal.latest(DRIFT, sites)
        progress_of = {
            site: self._begun(serving, last[site].figures if site in last else None)
            for site in sites
            if (serving := self.served.serving(site))
        }
        weeks = whole_weeks(
            min((progress.since for progress in progress_of.values()), default=self.run.until), self.run.until
        )
        decisions = self._decisions(list(progress_of)) if weeks else pl.DataFrame()
        for week in weeks:
            self._week(
                week, decisions, {site: progress for site, progress in progress_of.items() if progress.since <= week}
            )
        judged = {site: progress for site, progress in progress_of.items() if progress.weeks}
        self._keep(judged)
        return {site: self._figures(judged[site]) if site in judged else self._nothing(site) for site in sites}

    def _begun(self, serving: Serving, last: Figures | None) -> SiteProgress:
        """Return where a site's judging goes on; a new release begins anew, and quietly."""
        if last is None or last["digest"] != serving.digest:
            state = SiteState().retrained(serving.as_of, self.limits)
            return SiteProgress(serving=serving, since=serving.as_of, state=state, alert=None)
        state, since = SiteState.from_dict(last["state"]), datetime.fromisoformat(last["judged_until"])
        return SiteProgress(serving=serving, since=since, state=state, alert=last["alert"])

    def _week(self, week: datetime, decisions: pl.DataFrame, sites: Mapping[str, SiteProgress]) -> None:
        """Judge progress week of some sites together, and note what moved."""
        references = [self.served.reference(site, progress.serving.digest) for site, progress in sites.items()]
        rows, decided = (_within(some, week, list(sites)) for some in (self.served.rows, decisions))
        moves = shifts(self.line, rows.lazy(), decided.lazy(), references)
        states, alerts = watched(
            {site: progress.state for site, progress in sites.items()},
            moves,
            at=week + WEEK,
            limits=self.limits,
            values={
                site: _decision_value(progress.serving, rows.filter(pl.col(SITE) == site))
                for site, progress in sites.items()
            },
        )
        for site, progress in sites.items():
            progress.state, progress.since, progress.weeks = (
                states.get(site, progress.state),
                week + WEEK,
                progress.weeks + 1,
            )
            progress.moved += [_row(shift, week, progress.state) for shift in moves if shift.site == site]
        for alert in alerts:
            sites[alert.site].alerts.append(alert)

    def _decisions(self, sites: Sequence[str]) -> pl.DataFrame:
        """Return the sites' predictions, each with what it was worth where its outcome is known."""
        key = key_columns(self.line)
        predictions = [rows for site in sites if (rows := self.served.table(PREDICTIONS, site)) is not None]
        if not predictions:
            answers = dict.fromkeys(answer_columns(self.line.task), pl.Float32())
            return pl.DataFrame(
                schema={SITE: pl.String(), DECIDED_AT: pl.Datetime("us", "UTC"), VALUE: pl.Float64(), **answers}
            )
        worth = self.lake.scan(OUTCOMES, sites).select(*key, VALUE) if self.lake.has(OUTCOMES) else None
        decided = pl.concat(predictions)
        if worth is None:
            return decided.with_columns(pl.lit(None, dtype=pl.Float64).alias(VALUE))
        return decided.join(worth.collect(), on=key, how="left", nulls_equal=True)

    def _keep(self, judged: Mapping[str, SiteProgress]) -> None:
        """Add what was measured and alerted to the lake, unless a run that died had added it; then tell people."""
        self._add(DRIFT, [row for progress in judged.values() for row in progress.moved], [SITE, WEEK_COLUMN])
        self._add(
            ALERTS, [_alert_row(alert) for progress in judged.values() for alert in progress.alerts], [SITE, "at"]
        )
        for site, progress in judged.items():
            for alert in progress.alerts[-1:]:  # of several weeks judged at once, only the last alerts
                money = {"at_risk_eur": round(alert.at_risk_eur)} if alert.at_risk_eur is not None else {}
                text = alert.text if alert.acts else f"{alert.text} (dry run: nothing is retrained)"
                self.run.warn(f"{DRIFT}: {text}")  # shown in the run
                self.run.alerts.tell(DRIFT, text, picture=alert.picture, line=self.line.name, site=site, **money)

    def _add(self, table: str, rows: Sequence[Mapping[str, Any]], by: Sequence[str]) -> None:
        if not rows:
            return
        new = pl.DataFrame(rows, infer_schema_length=None)
        sites = new[SITE].unique().to_list()
        seen = self.lake.site_versions(table, sites)
        if self.lake.has(table):
            new = new.join(self.lake.scan(table, sites).select(by).unique().collect(), on=list(by), how="anti")
        if len(new):
            changed = new[SITE].unique().to_list()
            self.lake.append(table, new, {site: seen[site] for site in changed}, partitioned=False)

    def _nothing(self, site: str) -> Figures:
        return {ROW_COUNT: 0, CHANGED: False, "why": self.served.why_idle(site) or "no whole week to judge yet"}

    def _figures(self, progress: SiteProgress) -> Figures:
        """Return what is remembered, and what people see: how many weeks were judged and what the last alert says."""
        if progress.alerts:
            last = progress.alerts[-1]
            features = [f"{shift.feature} ({shift.measure})" for shift in last.shifts]
            progress.alert = {
                "at": f"{last.at:%Y-%m-%d}",
                "acts": last.acts,
                "text": last.text,
                "cause": _cause(last),
                "features": features,
            }
        return {
            ROW_COUNT: len(progress.moved),
            "weeks": progress.weeks,
            "alerts": [alert.text for alert in progress.alerts],
            "judged_until": progress.since.isoformat(),
            "digest": progress.serving.digest,
            "state": progress.state.to_dict(),
            "alert": progress.alert,
        }


def _within(rows: pl.DataFrame, week: datetime, sites: Sequence[str]) -> pl.DataFrame:
    moment = decided()
    return rows.filter(pl.col(SITE).is_in(list(sites)) & (moment >= week) & (moment < week + WEEK))


def _decision_value(serving: Serving, rows: pl.DataFrame) -> DecisionValue:
    worth = serving.release.manifest.verdict.figures.get("value_per_decision_eur")
    return DecisionValue(value_per_decision_eur=float(worth or 0.0), decisions=len(rows))


def _cause(alert: Alert) -> str:
    """Return whether decisions earn less than the verdict promised, or only the world around them moved."""
    return "performance" if any(shift.measure == "value" for shift in alert.shifts) else DRIFT


def _row(shift: Shift, week: datetime, state: SiteState) -> dict[str, Any]:
    return {
        SITE: shift.site,
        WEEK_COLUMN: week,
        "feature": shift.feature,
        "measure": shift.measure,
        "effect": float(shift.effect),
        "ks": None if shift.ks is None else float(shift.ks),
        "p_value": float(shift.p_value),
        "rows": shift.rows,
        "moved": bool(state.windows) and (shift.feature, shift.measure) in state.windows[-1],
    }


def _alert_row(alert: Alert) -> dict[str, Any]:
    return {
        SITE: alert.site,
        "at": alert.at,
        "cause": _cause(alert),
        "text": alert.text,
        "acts": alert.acts,
        "at_risk_eur": alert.at_risk_eur,
        "features": [shift.feature for shift in alert.shifts],
        "picture": alert.picture,
    }
