"""The kinds of sinks, by the scheme of the place they write to; here a new kind is named.

    postgresql://…::table  mysql://…::table  sqlite:///…::table    a SQL table, by insert or update on its key
    https://host/path                                              a webhook, signed
    folder/  file:/folder                                          files of JSON lines, CSV or Parquet
    odata+https://host/service::set                                an entity set of an OData service, V2 or V4
    salesforce+https://my-org.my.salesforce.com::object            records of Salesforce, by an external id
    mqtts://host:8883::decisions/{site}                            messages of an MQTT broker
    env:VARIABLE  env:VARIABLE::thing                              one of these, the address in the environment

A kind is a function from a `Target` to a `Sink`, loaded when a line needs it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from factory.connectors.sinks.sink import Sink
from factory.connectors.web.access import Access
from factory.errors import EnvironmentRefused, LineError
from factory.errors.masking import ENVIRONMENT, keep_secret, masked
from factory.line.line import Line
from factory.line.sinks import ColumnKind, SinkSection

DELIVERIES, DRY_RUN = "FACTORY_DELIVERIES", "dry_run"
"""The variable that keeps every sink of every line from sending, and what it says then."""
KINDS: Mapping[str, str] = {
    "": "factory.connectors.sinks.files:files_sink",
    "file": "factory.connectors.sinks.files:files_sink",
    "https": "factory.connectors.sinks.webhook:webhook_sink",
    "http": "factory.connectors.sinks.webhook:webhook_sink",
    **dict.fromkeys(("odata+https", "odata+http"), "factory.connectors.odata.sink:odata_sink"),
    "salesforce+https": "factory.connectors.salesforce.sink:salesforce_sink",
    **dict.fromkeys(("mqtt", "mqtts"), "factory.connectors.mqtt.sink:mqtt_sink"),
}
"""A scheme → `module:function` of what makes the sink from its `Target`."""
_SQL = "factory.connectors.sinks.sql:sql_sink"
_SQL_DIALECTS = ("postgresql", "postgres", "mysql", "mariadb", "sqlite")


def sends_decisions(environment: Mapping[str, str]) -> bool:
    """Whether decisions are sent to business systems; not where FACTORY_DELIVERIES says `dry_run`.

    Raises EnvironmentRefused where it says anything else, for it was meant to keep them from being sent.
    """
    said = environment.get(DELIVERIES, "")
    if said not in ("", DRY_RUN):
        raise EnvironmentRefused(
            f"{DELIVERIES} is {said!r}: write {DRY_RUN}, and no sink sends anything, or do not set it, and all send"
        )
    return not said


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a sink writes, and what the line's file says of it."""

    line: str
    name: str
    """The sink's name in the line's file."""
    address: str
    """A URL, or a folder."""
    thing: str
    """What stands behind `::`: a table, an entity set, an object; empty for none."""
    section: SinkSection
    project: Path
    """The folder that relative paths are from."""
    columns: Mapping[str, ColumnKind] = field(default_factory=dict)
    """The columns of a message, and what each holds, by which a mapping is compared with the system's own types."""

    @property
    def named(self) -> str:
        """What it is called in an error."""
        return f"line {self.line}: sinks: {self.name}"

    @property
    def scheme(self) -> str:
        """What the address begins with; empty for a folder."""
        return urlsplit(self.address).scheme if ":" in self.address else ""

    @property
    def shown(self) -> str:
        """The place as a person may see it: that in the environment by its variable."""
        return self.section.to if self.section.to.startswith(ENVIRONMENT) else masked(self.section.to)

    def options(self, kind: type) -> Any:
        """Return the section's options as a dataclass of this kind of sink; raises LineError naming each mistake."""
        try:
            return TypeAdapter(kind).validate_python(dict(self.section.options))
        except ValidationError as error:
            raise LineError(f"{self.named}: options: {_mistakes(error)}") from error

    @property
    def access(self) -> Access:
        """The section `access`, by which the system knows us; raises LineError."""
        try:
            access: Access = TypeAdapter(Access).validate_python(dict(self.section.access) or {"kind": "none"})
        except ValidationError as error:
            raise LineError(f"{self.named}: access: {_mistakes(error)}") from error
        return access


def target_of(line: Line, name: str, project: Path) -> Target:
    """Return where a sink of a line writes; raises LineError where its variable is not set."""
    section = line.sinks[name]
    at, separator, thing = section.to.rpartition("::")
    address = at if separator else thing
    if address.startswith(ENVIRONMENT):
        variable = address.removeprefix(ENVIRONMENT)
        address = os.environ.get(variable, "")
        if not address:
            raise LineError(
                f"line {line.name}: sinks: {name}: the environment variable {variable} is not set; put the system's "
                "address into it"
            )
        keep_secret(address)
    return Target(
        line=line.name,
        name=name,
        address=address,
        thing=thing if separator else "",
        section=section,
        project=project,
        columns=line.message_columns,
    )


def sink_of(target: Target) -> Sink:
    """Return the sink for a target; raises LineError where no kind fits it."""
    scheme = target.scheme
    place = _SQL if scheme.partition("+")[0] in _SQL_DIALECTS else KINDS.get(scheme)
    if place is None:
        raise LineError(
            f"{target.named}: {target.shown} is no place that a sink writes to; there are "
            f"{', '.join(f'{name}:' for name in sorted({*KINDS, *_SQL_DIALECTS}) if name)} and folders"
        )
    module, _, function = place.partition(":")
    sink: Sink = getattr(import_module(module), function)(target)
    return sink


def _mistakes(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
