"""The page a person sees first: what each site serves, since when, and a request to try."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from factory.gateway.endpoints.page import page
from factory.gateway.http.messages import Answer
from factory.gateway.metrics.counts import Counted, Numbers
from factory.gateway.metrics.telemetry import Series
from factory.gateway.models.entry import Entry
from factory.gateway.models.served_model import ServedModel
from factory.release.example import example_request

_COLUMNS = (
    "line", "site", "answers", "version", "digest", "since", "requests", "mean ms", "rows outside / not answered",
    "try it",
)  # fmt: skip
_CONTENT = """<h1>Gateway</h1>
<p>{summary} <a href="/metrics">Metrics</a>, <a href="/v2">server</a>, <a href="/docs">what can be asked</a>.</p>
{snapshots}
<table class="sites">
<thead><tr>{columns}</tr></thead>
<tbody>
{rows}
</tbody>
</table>"""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What this process does not use, and why: releases and trials by model, snapshots by line."""

    releases: Mapping[str, str]
    trials: Mapping[str, str]
    snapshots: Mapping[str, str]
    doors: Mapping[str, str]
    """By model: whose business rows are not answered."""


def status_page(
    served: Mapping[str, Entry], refused: Refused, counted: Counted, snapshots: Mapping[str, float], address: str
) -> Answer:
    """Return the page.

    `counted` is by the whole gateway, `snapshots` until when each line's rows are known, in seconds since 1970, and
    `address` the gateway's own, `http://host:port`.
    """
    rows = [row for name in sorted(served) for row in _rows(served[name], counted, address)]
    rows += [_refused_row(name, _old_or_nothing(name in served), why) for name, why in sorted(refused.releases.items())]
    rows += [_refused_row(name, "its trial was refused", why) for name, why in sorted(refused.trials.items())]
    rows += [_refused_row(line, "its snapshot was refused", why) for line, why in sorted(refused.snapshots.items())]
    rows += [_refused_row(site, "features alone are answered", why) for site, why in sorted(refused.doors.items())]
    summary = f"Models served: {len(served)}. Releases refused: {len(refused.releases)}. Trials: {_trials(served)}. "
    summary += f"Processes that answer: {counted.workers}. Models run on: {_providers(served)}."
    columns = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    content = _CONTENT.format(columns=columns, summary=summary, snapshots=_snapshots(snapshots), rows="\n".join(rows))
    return page("Gateway: what each site serves", content)


def curl(model: ServedModel, address: str) -> str:
    """Return a shell command that asks the model about its own example."""
    body = json.dumps(example_request(model.manifest))
    return f"curl -s {address}/v2/models/{model.manifest.model}/infer -d '{body}'"


def _snapshots(known_until: Mapping[str, float]) -> str:
    """Say for which lines business rows are answered, and how much is known of what was before them."""
    if not known_until:
        return "<p>Business rows: no line has a snapshot here, so features are asked about, by name.</p>"
    moments = (f"{escape(line)}, {_moment(at)}" for line, at in sorted(known_until.items()))
    return f"<p>Business rows are answered, on what was known until: {'; '.join(moments)}.</p>"


def _moment(at: float) -> str:
    """Return a Unix time for people; 0 stands for rows that tell no time."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC" if at else "no time told"


def _trials(served: Mapping[str, Entry]) -> int:
    return sum(entry.trial is not None for entry in served.values())


def _providers(served: Mapping[str, Entry]) -> str:
    return ", ".join(sorted({entry.model.providers[0] for entry in served.values()})) or "—"


def _rows(entry: Entry, counted: Counted, address: str) -> Iterator[str]:
    """Yield the row of what is served, and that of what is on trial beside it."""
    tried = f"<details><summary>curl</summary><pre>{escape(curl(entry.model, address))}</pre></details>"
    yield _row(entry.model, _numbers(entry.series, counted), tried)
    if entry.trial:
        trial = entry.trial.trial
        why = f"{trial.mode} of {trial.share:.4g} of requests, by {trial.by}: {trial.reason}"
        yield _row(entry.trial.model, _numbers(entry.trial.series, counted), escape(why), kind="trial")


def _numbers(series: Series, counted: Counted) -> Numbers:
    """Return what all processes counted; where it began to serve a moment ago, what this one did."""
    return counted.series.get(series.labels) or series.numbers


def _row(model: ServedModel, numbers: Numbers, last: str, kind: str = "served") -> str:
    manifest, counts = model.manifest, numbers.counts
    link = f'<a href="/v2/models/{escape(manifest.model)}">{escape(manifest.site)}</a>'
    cells = (
        escape(manifest.line),
        link,
        escape(f"{model.signature.task}: {', '.join(model.signature.answers)}"),
        str(manifest.version),
        f'<code title="{escape(manifest.digest)}">{escape(manifest.digest[:12])}</code>',
        f"{model.since:%Y-%m-%d %H:%M} UTC",
        f"{counts['nv_inference_request_success']:,}",
        f"{numbers.mean_s * 1000:.2f}" if counts["nv_inference_request_success"] else "—",
        f"{counts['factory_rows_outside_total']:,} / {counts['factory_rows_abstained_total']:,}",
        last,
    )
    named = (f'<td data-name="{name}">{cell}</td>' for name, cell in zip(_COLUMNS, cells, strict=True))
    return f'<tr class="{kind}">{"".join(named)}</tr>'


def _old_or_nothing(old_serves: bool) -> str:
    return "a newer release was refused, the old one serves" if old_serves else "nothing is served"


def _refused_row(name: str, what: str, reason: str) -> str:
    return f'<tr class="refused"><td colspan="{len(_COLUMNS)}">{escape(name)}: {what}: {escape(reason)}</td></tr>'
