"""Where the outboxes are: one for each line, in the home or in PostgreSQL, and the folders of dry runs in the home."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from factory.connectors.outbox.delivery import Delivery
from factory.connectors.outbox.outbox import Outbox
from factory.connectors.outbox.sqlite import SqliteOutbox
from factory.connectors.sinks.kinds import sends_decisions, sink_of, target_of
from factory.connectors.sinks.screen import SCREEN, ScreenSink
from factory.connectors.sinks.sink import Sink
from factory.line.line import Line
from factory.names import checked_name
from factory.storage.home import Home

OUTBOX_URL = "FACTORY_OUTBOX_URL"
"""The variable with the address of the PostgreSQL database that holds the outboxes of several machines; a secret."""
DRY_RUN = ".dry_run"
"""What an outbox appends to the name of a sink that sends nothing: its messages are not those of the sink itself."""


@dataclass(frozen=True, kw_only=True)
class OutboxStore:
    """The outboxes of all lines."""

    root: Path
    models: Path
    """The folder of the model repository, beside whose models the feeds of screens lie."""
    sends: bool = True
    """Whether anything is sent; otherwise every sink is tried dry, as in a backtest."""
    url: str = field(default="", repr=False)
    """The PostgreSQL database that holds the outboxes; empty for files under `root`, as is all that sends nothing."""

    @classmethod
    def at(cls, home: Home, environment: Mapping[str, str]) -> "OutboxStore":
        """Return the outboxes of a home, or those in the database that the environment names."""
        return cls(
            root=home.outbox,
            models=home.models,
            sends=sends_decisions(environment),
            url=environment.get(OUTBOX_URL, ""),
        )

    def of(self, line: str) -> Outbox:
        """Return a line's outbox; nothing is opened yet."""
        name = checked_name(line, "line")
        if self.url and self.sends:
            from factory.connectors.outbox.postgres import PostgresOutbox

            return PostgresOutbox(self.url, name)
        return SqliteOutbox(self.root / f"{name}.sqlite")

    def lines(self) -> list[str]:
        """Return the lines that have an outbox."""
        if self.url and self.sends:
            from factory.connectors.outbox.postgres import PostgresOutbox

            return PostgresOutbox(self.url, "").schemas()
        return sorted(file.stem for file in self.root.glob("*.sqlite"))

    def every(self, line: str) -> list[Outbox]:
        """Return each place where a line may have left messages: the home's file, and the database, if any."""
        return [replace(self, url="").of(line), *([replace(self, sends=True).of(line)] if self.url else [])]

    def is_dry(self, line: Line, name: str) -> bool:
        """Whether a sink of a line sends nothing."""
        return line.sinks[name].dry_run or not self.sends

    def name_of(self, line: Line, name: str) -> str:
        """Return what the outbox calls a sink of a line."""
        return f"{name}{DRY_RUN}" if self.is_dry(line, name) else name

    def sink(self, line: Line, name: str, project: Path) -> Sink:
        """Return a sink of a line; one that sends nothing writes into files here. Raises LineError."""
        if not self.is_dry(line, name):
            if line.sinks[name].to == SCREEN:
                return ScreenSink(line=line.name, models=self.models)
            return sink_of(target_of(line, name, project))
        from factory.connectors.sinks.files import dry_run_sink

        return dry_run_sink(line, name, self.root / "dry_run" / line.name / name)

    def delivery(self, outbox: Outbox, sink: Sink, line: Line, name: str) -> Delivery:
        """Return what delivers the messages to a sink of a line."""
        section = line.sinks[name]
        return Delivery(
            outbox=outbox,
            sink=sink,
            name=self.name_of(line, name),
            fields_of=section.fields_of,
            withdrawn=section.withdrawn,
            clock=outbox.clock,
        )
