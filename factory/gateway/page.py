"""The page a person sees first: what each site serves, since when, and a request to try."""

import json
from collections.abc import Mapping
from html import escape

from factory.example import example_request
from factory.gateway.catalogue import Entry
from factory.gateway.served_model import ServedModel

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Gateway: what each site serves</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .35rem .8rem; border-bottom: 1px solid #ddd; vertical-align: top }}
pre {{ white-space: pre-wrap; background: #f5f5f5; padding: .6rem; max-width: 40rem }}
.refused {{ color: #a00 }}
</style>
<h1>Gateway</h1>
<p>{summary} <a href="/metrics">Metrics</a>, <a href="/v2">server</a>, <a href="/docs">what can be asked</a>.</p>
<table>
<tr><th>line</th><th>site</th><th>answers</th><th>version</th><th>digest</th><th>since</th>
<th>requests</th><th>mean ms</th>
<th>rows outside / not answered</th><th>try it</th></tr>
{rows}
</table>
</html>
"""


def status_page(served: Mapping[str, Entry], refused: Mapping[str, str], address: str) -> str:
    """Return the page as HTML; `address` is the gateway's own, `http://host:port`."""
    rows = [_served_row(served[name], address) for name in sorted(served)]
    rows += [_refused_row(name, refused[name], name in served) for name in sorted(refused)]
    summary = f"Models served: {len(served)}. Releases refused: {len(refused)}."
    return _PAGE.format(summary=summary, rows="\n".join(rows))


def curl(model: ServedModel, address: str) -> str:
    """Return a shell command that asks the model about its own example."""
    body = json.dumps(example_request(model.manifest))
    return f"curl -s {address}/v2/models/{model.manifest.model}/infer -d '{body}'"


def _served_row(entry: Entry, address: str) -> str:
    model, counts = entry.model, entry.series.counts
    manifest = model.manifest
    link = f'<a href="/v2/models/{escape(manifest.model)}">{escape(manifest.site)}</a>'
    trial = f"<details><summary>curl</summary><pre>{escape(curl(model, address))}</pre></details>"
    cells = (
        escape(manifest.line),
        link,
        escape(f"{model.signature.task}: {', '.join(model.signature.answers)}"),
        str(manifest.version),
        f'<code title="{escape(manifest.digest)}">{escape(manifest.digest[:12])}</code>',
        f"{model.since:%Y-%m-%d %H:%M} UTC",
        f"{counts['nv_inference_request_success']:,}",
        f"{entry.series.mean_s * 1000:.2f}" if counts["nv_inference_request_success"] else "—",
        f"{counts['factory_rows_outside_total']:,} / {counts['factory_rows_abstained_total']:,}",
        trial,
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _refused_row(name: str, reason: str, old_serves: bool) -> str:
    what = "a newer release was refused, the old one serves" if old_serves else "nothing is served"
    return f'<tr class="refused"><td colspan="10">{escape(name)}: {what}: {escape(reason)}</td></tr>'
