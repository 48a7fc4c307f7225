"""Where the outboxes of a home are: one for each line, and the folders of what a dry run would have sent."""

from dataclasses import dataclass
from pathlib import Path

from factory.connectors.outbox.delivery import Delivery
from factory.connectors.outbox.outbox import Outbox
from factory.connectors.outbox.sqlite import SqliteOutbox
from factory.connectors.sinks.kinds import sink_of, target_of
from factory.connectors.sinks.screen import SCREEN, ScreenSink
from factory.connectors.sinks.sink import Sink
from factory.line.line import Line
from factory.names import checked_name

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

    def of(self, line: str) -> Outbox:
        """Return a line's outbox; nothing is opened yet."""
        return SqliteOutbox(self.root / f"{checked_name(line, 'line')}.sqlite")

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
        )
