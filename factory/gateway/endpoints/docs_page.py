"""`/docs`: what can be asked, as one page that loads nothing from anywhere else."""

import json
from functools import cache
from html import escape
from typing import Any

from factory.gateway.endpoints.openapi import inlined, openapi

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Gateway: what can be asked</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }}
details {{ border: 1px solid #ddd; border-radius: 4px; margin: .5rem 0; padding: .4rem .8rem }}
summary code {{ font-weight: 600 }}
.method {{ display: inline-block; width: 3.5rem; text-transform: uppercase; color: #06c }}
pre {{ white-space: pre-wrap; background: #f5f5f5; padding: .6rem }}
table {{ border-collapse: collapse }}
td, th {{ text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top }}
</style>
<h1>{title} {version}</h1>
<p>{description} over HTTP; the same over gRPC as <code>inference.GRPCInferenceService</code> where it is switched on.
For programs: <a href="/openapi.json">openapi.json</a>. What is served: <a href="/">the sites</a>.
Where keys are in use, send <code>Authorization: Bearer &lt;key&gt;</code>.</p>
{operations}
</html>
"""


@cache
def docs_page() -> str:
    """Return the page as HTML."""
    document = openapi()
    operations = [
        _operation(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    info = {name: escape(value) for name, value in document["info"].items()}
    return _PAGE.format(**info, operations="\n".join(operations))


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{status}</td><td>{escape(answer['description'])}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    body = operation.get("requestBody")
    asked = f"<h4>Body</h4>{_schema(body)}" if body else ""
    answered = f"<h4>Answer</h4>{_schema(operation['responses']['200'])}"
    return (
        f'<details><summary><span class="method">{method}</span> <code>{escape(path)}</code> '
        f"{escape(operation['summary'])}</summary>{asked}{answered}<table>{rows}</table></details>"
    )


def _schema(holder: dict[str, Any]) -> str:
    schema = inlined(holder["content"]["application/json"]["schema"])
    return f"<pre>{escape(json.dumps(schema, indent=1, ensure_ascii=False))}</pre>"
