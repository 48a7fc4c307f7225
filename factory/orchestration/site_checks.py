"""Checks over a line's sites as Dagster shows them: contract, gates and freshness, each naming the sites it is about.

Journal and lake in, one evaluation a check out. A check is about an asset and not about a partition, since Dagster's
partitioned checks are a preview; so it says which sites do not keep it, and why, and each site's own findings are with
its materialization. None blocks: the rule that nothing is served without a passing verdict lives where a model is
promoted and where it is loaded.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import dagster as dg
import polars as pl
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,  # exported by no public name
)

from factory.errors.masking import masked
from factory.evaluation.findings import asset_check, by_gate
from factory.evaluation.gates import GATES
from factory.line.announced import in_utc
from factory.line.line import Line, Table
from factory.model.check import Check, reasons
from factory.model.verdict import Verdict
from factory.monitoring.findings import FINDINGS, Finding, keep
from factory.monitoring.silence import Arrivals, silence_of
from factory.names import LINE_SITE
from factory.orchestration.specs import asset_key
from factory.pipeline.ports import Alerts
from factory.pipeline.silence import ABSENT, SILENT
from factory.pipeline.verdict import VERDICT
from factory.storage.columns import CURSOR
from factory.storage.journal import Entry, Journal
from factory.storage.lake import SITE, Lake

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
EVERY_HOUR = "0 * * * *"
MOST_SITES = 50
"""So many sites are listed with their reasons; of the others only the number is told."""
FRESH = "rows_are_fresh"
OF_THE_TASK = "answers_make_sense"
"""The check of what the line's task asks of any model's answers, whatever the gates say."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a check has found: of how many sites something is known, and what speaks against some of them."""

    judged: int
    against: Mapping[str, str]
    severity: dg.AssetCheckSeverity = ERROR


@dataclass(frozen=True, kw_only=True)
class LineState:
    """What checks look at: one line's journal and lake, its sites, and the moment it looks as of."""

    line: Line
    journal: Journal
    lake: Lake
    sites: Sequence[str]
    until: datetime

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """The newest verdict of each site that has one; read once, for every gate has a check."""
        entries = self.journal.latest(VERDICT, self.sites)
        return {site: Verdict.from_dict(entry.figures["verdict"]) for site, entry in entries.items()}


@dataclass(frozen=True, kw_only=True)
class SiteCheck:
    """One check of a line: the asset it is about, its name, a sentence on it, and how it is judged."""

    asset: str
    name: str
    description: str
    judge: Callable[[LineState], Findings]
    by_itself: dg.AutomationCondition[Any] | None = None
    """When Dagster judges it though nothing ran; turned on with the project's automation sensor."""

    def spec(self, line: Line) -> dg.AssetCheckSpec:
        """Return what Dagster knows of the check before it is judged."""
        key = asset_key(line, self.asset)
        return dg.AssetCheckSpec(
            self.name,
            asset=key,
            description=self.description,
            blocking=False,
            automation_condition=self.by_itself,
        )

    def result(self, state: LineState) -> dg.AssetCheckResult:
        """Judge the check, for the op that Dagster runs it in."""
        key = asset_key(state.line, self.asset)
        return dg.AssetCheckResult(asset_key=key, check_name=self.name, **_shown(self.judge(state)))

    def evaluation(
        self, state: LineState, materialized: Mapping[dg.AssetKey, dg.EventLogRecord | None]
    ) -> dg.AssetCheckEvaluation:
        """Judge the check, as the event that any op may log, tied to its asset's newest materialization if any."""
        key = asset_key(state.line, self.asset)
        newest = materialized.get(key)
        target = newest and AssetCheckEvaluationTargetMaterializationData(
            storage_id=newest.storage_id, run_id=newest.run_id, timestamp=newest.timestamp
        )
        return dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=self.name,
            target_materialization_data=target,
            blocking=False,
            **_shown(self.judge(state)),
        )


def _shown(findings: Findings) -> dict[str, Any]:
    """Return what people see of findings: the failing sites by name, each with why."""
    against = sorted(findings.against.items())
    names = ", ".join("the line" if site == LINE_SITE else site for site, _ in against[:MOST_SITES])
    rows = [dg.TableRecord({"site": site, "why": masked(why)}) for site, why in against[:MOST_SITES]]
    return {
        "passed": not against,
        "severity": findings.severity,
        "description": f"{len(against)} of {findings.judged}: {names}" if against else f"{findings.judged} judged",
        "metadata": {
            "judged": findings.judged,
            "failing": len(against),
            **({"sites": dg.MetadataValue.table(rows)} if rows else {}),
        },
    }


def site_checks(line: Line) -> list[SiteCheck]:
    """Return a line's checks: each table's contract, the gates as a whole and one by one, and freshness."""
    checks = [_contract_check(line, table) for table in line.tables.values()]
    checks.append(_gates_check("gates_passed", "The newest candidate passed every gate.", None))
    checks += [_gates_check(gate.__name__, _first_line(gate), frozenset({gate.__name__})) for gate in GATES]
    checks.append(_gates_check(OF_THE_TASK, "Answers are what the line's task asks of them.", frozenset()))
    return [*checks, _freshness_check(line)]


def asset_checks(line: Line) -> list[dg.AssetChecksDefinition]:
    """Return the checks as definitions, an op for those of each asset."""
    checks = site_checks(line)
    return [
        _checks_op(line, asset, [check for check in checks if check.asset == asset])
        for asset in dict.fromkeys(check.asset for check in checks)
    ]


def _checks_op(line: Line, asset: str, checks: Sequence[SiteCheck]) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=f"{line.name}_{asset.replace('/', '_')}_checks",
        specs=[check.spec(line) for check in checks],
        can_subset=True,
        required_resource_keys={"lake", "calendar", "alerts"},
    )
    def judge(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        bound = context.resources
        state = LineState(
            line=line,
            journal=bound.lake.journal(line.name),
            lake=bound.lake.of(line.name),
            sites=context.instance.get_dynamic_partitions(f"{line.name}_sites"),
            until=bound.calendar.until(line),
        )
        names = {key.name for key in context.selected_asset_check_keys}
        if FRESH in names:
            tell_silence(state, bound.alerts, context.run.run_id)
        yield from (check.result(state) for check in checks if check.name in names)

    return judge


def _contract_check(line: Line, table: Table) -> SiteCheck:
    asset = line.lake_table("clean", table)

    def judge(state: LineState) -> Findings:
        entries = state.journal.latest(asset, state.sites if table.site_column else [LINE_SITE])
        broken = {site: entry for site, entry in entries.items() if not entry.figures["contract_passed"]}
        warned = {site: entry for site, entry in entries.items() if entry.figures.get("contract_warnings")}
        bad = any(_is_too_bad(entry, state.line.gates.min_contract_share) for entry in broken.values())
        return Findings(
            judged=len(entries),
            against={site: _contract_sentence(entry) for site, entry in {**broken, **warned}.items()},
            severity=ERROR if bad else WARN,
        )

    return SiteCheck(
        asset=asset,
        name="contract_kept",
        description=f"Rows of {table.name} keep their contract; those that do not are in quarantine.",
        judge=judge,
    )


def _is_too_bad(cleaned: Entry, least_share: float) -> bool:
    """Whether so little keeps the contract that no model would be released, and not only rows are set aside."""
    return bool(cleaned.figures["table_failures"]) or cleaned.figures["contract_share"] < least_share


def _contract_sentence(cleaned: Entry) -> str:
    figures = cleaned.figures
    rules = [f"{name} ({rows} rows)" for name, rows in figures["broken"].items()]
    broken = ", ".join([*rules, *figures["table_failures"]])
    sentence = f"{figures['contract_share']:.2%} of rows keep it{f'; broken: {broken}' if broken else ''}"
    return "; ".join([sentence, *figures.get("contract_warnings", [])])


def _gates_check(name: str, description: str, codes: frozenset[str] | None) -> SiteCheck:
    """Return the check of some gates by their codes; of all with None, of those that GATES does not have with none."""

    def judge(state: LineState) -> Findings:
        asked = {site: _asked(verdict, codes) for site, verdict in state.verdicts.items()}
        judged = {site: asset_check(checks) for site, checks in asked.items() if checks}
        against = {
            site: "; ".join([*reasons(asked[site]), *reasons(asked[site], "dry_run")])
            for site, check in judged.items()
            if not check.passed
        }
        refused = any(judged[site].severity == "ERROR" for site in against)
        return Findings(judged=len(judged), against=against, severity=ERROR if refused else WARN)

    return SiteCheck(asset=VERDICT, name=name, description=description, judge=judge)


def _asked(verdict: Verdict, codes: frozenset[str] | None) -> list[Check]:
    known = frozenset(gate.__name__ for gate in GATES)
    return [
        check
        for code, checks in by_gate(verdict.checks).items()
        for check in checks
        if codes is None or (code in codes if codes else code not in known)
    ]


def _first_line(gate: Callable[..., object]) -> str:
    return (gate.__doc__ or gate.__name__).splitlines()[0]


def _freshness_check(line: Line) -> SiteCheck:
    asset = line.lake_table("raw", line.decisions)

    def judge(state: LineState) -> Findings:
        limited = line.freshness.stale_after_hours is not None
        newest = newest_moments(state, line.decisions) if limited else {}
        stale = line.freshness.stale(newest, state.sites, state.until)
        return Findings(judged=len(state.sites), against={**_silent(state, line.decisions), **stale}, severity=WARN)

    return SiteCheck(
        asset=asset,
        name=FRESH,
        description="No site is missing from the export, silent for longer than ever, or past the line's own limit.",
        judge=judge,
        # A site that has fallen silent starts no run, and so must be looked for.
        by_itself=dg.AutomationCondition.cron_tick_passed(EVERY_HOUR) & ~dg.AutomationCondition.in_progress(),
    )


def tell_silence(state: LineState, alerts: Alerts, run: str) -> None:
    """Tell people of sites that fell silent since the last run, and put it on record: such a site starts no run."""
    table = state.line.decisions
    asset = silence_of(state.line.lake_table("raw", table))
    known = state.journal.latest(FINDINGS, state.sites)
    silent: dict[str, list[Finding]] = {}
    for site, text in _silent(state, table).items():
        stands = known[site].figures.get(asset, {}) if site in known else {}
        if not stands:
            silent[site] = [Finding(kind=SILENT, key=SILENT, text=text)]
    for site, new in keep(state.journal, asset, silent, run).items():
        alerts.tell("data", f"{site}: {new[0].text}", about=SILENT, line=state.line.name, asset=asset, sites=[site])


def _silent(state: LineState, table: Table) -> dict[str, str]:
    """Return a sentence on each site that is silent at this moment, or was missing from the newest export."""
    asset = state.line.lake_table("raw", table)
    entries, found = state.journal.latest(asset, state.sites), state.journal.latest(FINDINGS, state.sites)
    known = {site: Arrivals.from_figures(entry.figures) for site, entry in entries.items()}
    silent = {site: one.sentence(table.name) for site, one in known.items() if one and one.is_silent(state.until)}
    absent = {site: entry.figures.get(silence_of(asset), {}).get(ABSENT) for site, entry in found.items()}
    return {**silent, **{site: text for site, text in absent.items() if text}}


def newest_moments(state: LineState, table: Table) -> dict[str, datetime]:
    """Return the moment of each site's newest row by the table's cursor, UTC and naive.

    Where the cursor is not a moment, it is when rows last came in.
    """
    asset = state.line.lake_table("raw", table)
    if not state.lake.has(asset):
        return {}
    rows = state.lake.scan(asset)
    kind = rows.collect_schema().get(CURSOR)
    if not isinstance(kind, pl.Datetime | pl.Date):
        arrived = state.journal.latest(asset, state.sites)
        return {site: entry.at.astimezone(UTC).replace(tzinfo=None) for site, entry in arrived.items()}
    moment = in_utc(pl.col(CURSOR)).max().dt.replace_time_zone(None)
    newest = rows.group_by(SITE).agg(moment.alias("newest")).drop_nulls("newest").collect()
    return dict(newest.select(SITE, "newest").iter_rows())
