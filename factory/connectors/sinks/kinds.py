"""The kinds of sinks, by the scheme of the place they write to; here a new kind is named.

    postgresql://…::table  mysql://…::table  sqlite:///…::table    a SQL table, by insert or update on its key
    https://host/path                                              a webhook, signed
    folder/  file:/folder                                          files of JSON lines, CSV or Parquet
    odata+https://host/service::set                                an entity set of an OData service, V2 or V4
    salesforce+https://my-org.my.salesforce.com::object            records of Salesforce, by an external id
    env:VARIABLE  env:VARIABLE::thing                              one of these, the address in the environment

A kind is a function from a `Target` to a `Sink`, loaded when a line needs it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from factory.connectors.sinks.sink import Sink
from factory.errors import LineError
from factory.errors.masking import keep_secret, masked
from factory.line.sinks import SinkSection

ENVIRONMENT = "env:"
KINDS: Mapping[str, str] = {
    **dict.fromkeys(("odata+https", "odata+http"), "factory.connectors.odata.sink:odata_sink"),
    "salesforce+https": "factory.connectors.salesforce.sink:salesforce_sink",
}
"""A scheme → `module:function` of what makes the sink from its `Target`."""
_SQL = "factory.connectors.sinks.sql:sql_sink"
_SQL_DIALECTS = ("postgresql", "postgres", "mysql", "mariadb", "sqlite")


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
    environment: Mapping[str, str]
    """The variables that hold what is secret."""
    project: Path
    """The folder that relative paths are from."""

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
            wrong = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_url=False)]
            raise LineError(f"line {self.line}: sinks: {self.name}: options: {'; '.join(wrong)}") from error

    def secret(self, said: str, key: str) -> str:
        """Return the secret in the variable that `env:NAME` names; raises LineError where that is not what is said.

        From here on the secret is masked in whatever is shown.
        """
        variable = said.removeprefix(ENVIRONMENT)
        if not said.startswith(ENVIRONMENT) or not self.environment.get(variable):
            what = f"the variable {variable} is not set" if said.startswith(ENVIRONMENT) else "it must be env:VARIABLE"
            raise LineError(
                f"line {self.line}: sinks: {self.name}: {key}: {what}; a secret stands in an environment variable, "
                "and its name in the line's file"
            )
        keep_secret(self.environment[variable])
        return self.environment[variable]


def target_of(line: str, name: str, section: SinkSection, environment: Mapping[str, str], project: Path) -> Target:
    """Return where a sink of a line writes; raises LineError where its variable is not set."""
    at, separator, thing = section.to.rpartition("::")
    address = at if separator else thing
    if address.startswith(ENVIRONMENT):
        variable = address.removeprefix(ENVIRONMENT)
        address = environment.get(variable, "")
        if not address:
            raise LineError(
                f"line {line}: sinks: {name}: the environment variable {variable} is not set; put the system's address "
                "into it"
            )
        keep_secret(address)
    return Target(
        line=line,
        name=name,
        address=address,
        thing=thing if separator else "",
        section=section,
        environment=environment,
        project=project,
    )


def sink_of(target: Target) -> Sink:
    """Return the sink for a target; raises LineError where no kind fits it."""
    scheme = target.scheme
    place = _SQL if scheme.partition("+")[0] in _SQL_DIALECTS else KINDS.get(scheme)
    if place is None:
        raise LineError(
            f"line {target.line}: sinks: {target.name}: {target.shown} is no place that a sink writes to; there are "
            f"{', '.join(f'{name}:' for name in sorted({*KINDS, *_SQL_DIALECTS}) if name)} and folders"
        )
    module, _, function = place.partition(":")
    sink: Sink = getattr(import_module(module), function)(target)
    return sink
