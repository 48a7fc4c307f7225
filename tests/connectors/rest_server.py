"""A service that gives records page by page in any of the ways services do, and misbehaves when told to."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.connectors.https import Answer, Asked


@dataclass
class Orders:
    """Records, and how they are given: `by` is a way of `paging`."""

    records: list[dict[str, Any]]
    by: str = "next"
    size: int = 3
    faults: list[Answer] = field(default_factory=list)
    """What is answered first, before anything else."""
    between: Callable[[int], None] = lambda _: None
    """Called before each page with its number from 1, such as to change the records."""
    deaf: bool = False
    """The parameters are not heeded: every page is the first."""
    token: str = ""
    pages: int = 0

    def __call__(self, asked: Asked) -> Answer:
        if self.faults:
            return self.faults.pop(0)
        if self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
            return Answer(401, b'{"error": "who are you?"}')
        self.pages += 1
        self.between(self.pages)
        start = 0 if self.deaf else self._start(asked.params)
        end = start + self.size
        more = end < len(self.records) or self.deaf
        headers = {"Content-Type": "application/json"}
        records: Sequence[Any] = self.records[start:end]
        at = f"{asked.path}?start={end}"
        if self.by == "link":
            headers["Link"] = f'<{at}>; rel="next", </>; rel="first"' if more else '</>; rel="first"'
            return Answer(200, encoded(records), headers)
        document: dict[str, Any] = {"data": records, "meta": {"total": len(self.records)}}
        if self.by == "next":
            document["links"] = {"next": at if more else None}
        if self.by == "token":
            document["meta"]["cursor"] = f"t{end}" if more else ""
        return Answer(200, encoded(document), headers)

    def _start(self, params: dict[str, str]) -> int:
        if self.by == "page":
            return (int(params.get("page", 1)) - 1) * self.size
        if self.by == "offset":
            return int(params.get("offset", 0))
        if self.by == "token":
            return int(params.get("cursor", "t0")[1:])
        return int(params.get("start", 0))


def encoded(document: Any) -> bytes:
    return json.dumps(document, default=str).encode()


PAGING: dict[str, dict[str, Any]] = {
    "link": {"by": "link"},
    "next": {"by": "next", "at": "links.next"},
    "token": {"by": "token", "at": "meta.cursor"},
    "page": {"by": "page", "total": "meta.total"},
    "offset": {"by": "offset", "total": "meta.total"},
}
"""What a line's file says of each way."""
