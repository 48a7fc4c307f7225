"""Targets and messages for tests of sinks."""

from pathlib import Path
from typing import Any

from factory.connectors.sinks.kinds import Target
from factory.connectors.sinks.message import Message, message_key
from factory.line.sinks import SinkSection, message_columns

COLUMNS = message_columns({"order": "whole number"}, ["probability"], ["qty"])


def target(address: str, thing: str = "", project: Path = Path(), **section: Any) -> Target:
    """Return where a sink `orders` of the line `toy` writes."""
    to = f"{address}::{thing}" if thing else address
    return Target(
        line="toy",
        name="orders",
        address=address,
        thing=thing,
        section=SinkSection(to="env:SINK_URL" if "@" in address else to, **section),
        project=project,
        columns=COLUMNS,
    )


def filled(sink: Any, number: int, *, action: str = "upsert", **record: Any) -> Message:
    """Return a message whose fields are filled as the sink's section says."""
    section = sink.target.section
    key = message_key("toy", "orders", "ulm", [number])
    identity = {"line": "toy", "site": "ulm", "order": number, "decided_at": "2026-03-01T06:00:00Z", "release": 1}
    content = {"predicted_probability": 0.75, "acts": True, "qty": 3.0, **record}
    fields = section.withdrawn if action == "withdraw" else section.fields_of({**identity, **content}, key)
    return Message(
        key=key, sink="orders", site="ulm", identity=identity, content=content, action=action, fields=dict(fields)
    )


class NoJob:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def keep(self, text: str, messages: Any) -> None:
        """Remember the text."""
        self.kept.append(text)
