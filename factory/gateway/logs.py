"""The gateway's log: lines for people, or a JSON object a line for programs.

Both say by what names a client and its tracing know the request that a line is about.
"""

import logging
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import msgspec

from factory.gateway.http.messages import Request
from factory.gateway.http.trace import Trace
from factory.gateway.refusal import shown

access = logging.getLogger(f"{__name__}.access")


def set_up(*, as_json: bool, worker: int | None = None) -> None:
    """Write the log of this process to standard error; `worker` is which of several it is."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines(worker) if as_json else _Lines(worker))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def about(trace: Trace, **more: object) -> dict[str, Any]:
    """Return what a line of the log has beside its sentence, as `extra`: what is said, and a request's names."""
    names = {"request_id": trace.request_id, "trace_id": trace.trace_id, "trace_state": trace.trace_state}
    return {"about": {**more, **{name: value for name, value in names.items() if value}}}


def log_when_answered(request: Request, client: str) -> None:
    """Have the request be a line of the log once it is answered; `client` is the address of who asked."""
    came, send = perf_counter(), request.send

    def logged() -> None:
        assert request.answer  # noqa: S101  for the type checker: it is sent
        status, took_ms = request.answer.status, round(1000 * (perf_counter() - came), 3)
        more = {"method": request.method, "path": request.path, "status": status, "took_ms": took_ms, "client": client}
        said = (request.method or "?", shown(request.path), status, took_ms, client or "?")
        access.info("%s %s %d %.3f ms, %s", *said, extra=about(request.trace, **more))
        send()

    request.send = logged


class _Lines(logging.Formatter):
    """Sentences, and a request's names after them."""

    def __init__(self, worker: int | None) -> None:
        of_worker = "" if worker is None else f"worker {worker}, "
        super().__init__(f"%(asctime)s %(levelname)s {of_worker}%(name)s: %(message)s%(names)s", defaults={"names": ""})

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; no text of a client begins another one."""
        said = getattr(record, "about", {})
        names = (("request", said.get("request_id")), ("trace", said.get("trace_id")))
        if named := ", ".join(f"{kind} {name}" for kind, name in names if name):
            record.names = f" [{named}]"
        return super().format(record)


class _JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message, and what the line is about."""

    def __init__(self, worker: int | None) -> None:
        super().__init__()
        self._worker = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        """Return the object; an exception is text in it."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._worker,
            **getattr(record, "about", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()
