"""`/docs`: what can be asked, as one page that loads nothing from anywhere else."""

import json
from functools import cache
from html import escape
from typing import Any

from factory.gateway.endpoints.openapi import inlined, openapi
from factory.gateway.endpoints.page import page
from factory.gateway.http.messages import Answer

_CONTENT = """<h1>{title} {version}</h1>
<p>{description} over HTTP; the same over gRPC as <code>inference.GRPCInferenceService</code> where it is switched on.
For programs: <a href="/openapi.json">openapi.json</a>. What is served: <a href="/">the sites</a>.
Where keys are in use, send <code>Authorization: Bearer &lt;key&gt;</code>.</p>
{operations}"""


@cache
def docs_page() -> Answer:
    """Return the page."""
    document = openapi()
    operations = [
        _operation(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    info = {name: escape(value) for name, value in document["info"].items()}
    content = _CONTENT.format(**info, operations="\n".join(operations))
    return page("Gateway: what can be asked", content)


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{status}</td><td>{escape(answer['description'])}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    body = operation.get("requestBody")
    asked = f"<h4>Body</h4>{_schema(body)}" if body else ""
    answered = f"<h4>Answer</h4>{_schema(operation['responses']['200'])}"
    return (
        f'<details class="operation"><summary><span class="method">{method}</span> <code>{escape(path)}</code> '
        f"{escape(operation['summary'])}</summary>{asked}{answered}<table>{rows}</table></details>"
    )


def _schema(holder: dict[str, Any]) -> str:
    schema = inlined(holder["content"]["application/json"]["schema"])
    return f"<pre>{escape(json.dumps(schema, indent=1, ensure_ascii=False))}</pre>"
