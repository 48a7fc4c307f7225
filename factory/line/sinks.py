"""The section `sinks` of a line's file: which business systems get the line's decisions, as which of their fields.

A sink's place says what kind of system it is (factory/connectors/sinks/kinds.py), and `options` what that kind asks for
beside it. Nothing here opens a connection; `factory deliveries LINE --plan` compares the mapping with the system's own
metadata.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from factory.errors import LineError
from factory.errors.masking import has_secret, is_secret_name, masked

FORBID: dict[str, Any] = {"extra": "forbid"}
MESSAGE_KEY = "message_key"
Scalar = str | int | float | bool
ColumnKind = Literal["text", "whole number", "number", "truth", "moment", "day", "anything"]
"""What a column of a message holds."""


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What a run may put into a sink by itself; what is more waits until a person says that it is right."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID
    max_messages: int = 500
    """The largest number of messages that one run may add for a site."""
    max_share: float = 1.0
    """The largest share of a site's new decisions that may be acted on, where there are at least 20; above 0, at most
    1, which is no limit."""

    def __post_init__(self) -> None:
        """Raise LineError on a limit that cannot be."""
        if self.max_messages < 1:
            raise LineError(f"guard: max_messages is {self.max_messages}; it must be 1 or more", at=("max_messages",))
        if not 0 < self.max_share <= 1:
            raise LineError(
                f"guard: max_share is {self.max_share:g}; it must be above 0 and at most 1", at=("max_share",)
            )

    def why_held(self, new: int, decided: int, acted_on: int, held: int) -> str:
        """Return why a run's new messages wait for a person; empty where they need not.

        `new` messages come from `decided` new decisions, of which `acted_on` are acted on; `held` wait already.
        """
        if new + held > self.max_messages:
            before = f" beside {held} that wait" if held else ""
            return f"{new} new messages{before} are more than max_messages, {self.max_messages}"
        if decided >= ENOUGH_DECISIONS and acted_on > self.max_share * decided:
            return (
                f"{acted_on} of {decided} new decisions are acted on, {acted_on / decided:.0%}; max_share is "
                f"{self.max_share:.0%}"
            )
        return ""


ENOUGH_DECISIONS = 20
"""A share of fewer decisions says nothing."""


@dataclass(frozen=True, kw_only=True)
class SinkSection:
    """One business system that gets decisions: where it is, which of them, and as which of its fields."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID
    to: str = field(metadata={"examples": ["env:SHOP_URL::decisions"]})
    """The place, as sources have them: `URL::table`, `env:VARIABLE::table`, a web address, a folder, `screen:`."""
    access: Mapping[str, Any] = field(default_factory=dict)
    """How the factory says who it is, as of a source: `kind` and the variables that hold the secrets."""
    deliver: Literal["acted_on", "all"] = "acted_on"
    """Which decisions: those that are acted on, or all."""
    of: tuple[Literal["predictions", "prediction_log"], ...] = ("predictions",)
    """Whose: `predictions` are the batch's, `prediction_log` what the gateway told somebody."""
    key: str = ""
    """The system's field that takes the message's key, 32 hexadecimal digits, by which it knows a message again."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """The system's field → the message's column: a key column, `decided_at`, `predicted_…`, a feature. Files and
    webhooks get all columns where none is named."""
    constants: Mapping[str, Scalar] = field(default_factory=dict)
    """The system's field → the same value in every message."""
    withdrawn: Mapping[str, Scalar] = field(default_factory=dict)
    """The system's field → what it is set to where a decision is withdrawn after a rollback."""
    guard: Guard = field(default_factory=Guard)
    """What a run may add by itself."""
    expires_after_days: float = 30.0
    """How old a decision may be when it would be put into the outbox, from the moment the line looks as of; an older
    one is not delivered."""
    overdue_after_minutes: float = 60.0
    """How long a message may wait before people are told."""
    sites: tuple[str, ...] = ()
    """The sites whose decisions go there; all of them when left out."""
    dry_run: bool = False
    """Write what would have been sent into files of the home, and send nothing."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What this kind of system asks for beside: the format of files, the webhook's secret."""

    def __post_init__(self) -> None:
        """Raise LineError where the section contradicts itself or would show a secret."""
        if "://" in self.to and has_secret(self.to):
            raise LineError(
                f"to: the address {masked(self.to)} has a secret in it: put the whole address into an environment "
                "variable, such as SINK_URL, and say env:SINK_URL, with ::table behind it where it needs one",
                at=("to",),
            )
        if not self.of:
            raise LineError("of: say `predictions`, `prediction_log` or both", at=("of",))
        if self.expires_after_days <= 0:
            raise LineError(
                f"expires_after_days is {self.expires_after_days:g}; it must be above 0", at=("expires_after_days",)
            )
        if self.overdue_after_minutes < 0:
            raise LineError(
                f"overdue_after_minutes is {self.overdue_after_minutes:g}; it must be 0 or more",
                at=("overdue_after_minutes",),
            )
        named = [*([self.key] if self.key else []), *self.fields, *self.constants]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise LineError(f"field {twice[0]!r} is named twice: in key, fields or constants", at=("fields",))
        for name, value in self.constants.items():
            if is_secret_name(name) and isinstance(value, str):
                raise LineError(
                    f"constants: {name} holds a secret by its name, and a line's file is no place for one: say it "
                    "under `access`",
                    at=("constants", name),
                )

    def takes(self, site: str) -> bool:
        """Whether a site's decisions go there."""
        return not self.sites or site in self.sites

    def require_columns(self, columns: Collection[str]) -> None:
        """Raise LineError where a field is filled from what no message has."""
        for target, column in self.fields.items():
            if column not in columns:
                raise LineError(
                    f"field {target!r} is filled from {column!r}, which no message has; there are {', '.join(columns)}",
                    at=("fields", target),
                )

    def fields_of(self, record: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Return a message as the system's fields, all its columns where the file names none; raises KeyError.

        The error names the column that the message lacks.
        """
        if not self.fields:
            return {**({self.key: key} if self.key else {}), **record, **self.constants}
        mapped = {target: record[column] for target, column in self.fields.items()}
        return {**({self.key: key} if self.key else {}), **mapped, **self.constants}


def message_columns(
    key: Mapping[str, ColumnKind], answers: Collection[str], features: Collection[str]
) -> dict[str, ColumnKind]:
    """Return the columns of a message: which decision, what was answered, whether it is acted on, and the features.

    `key` are the columns that identify a decision, each with what it holds.
    """
    return {
        **dict.fromkeys(features, "number"),
        **key,
        **{"line": "text", "site": "text", "decided_at": "moment"},
        **{"release": "whole number", "version": "whole number", "digest": "text", MESSAGE_KEY: "text"},
        **{f"predicted_{name}": "number" for name in answers},
        **{"threshold": "number", "decision": "number", "acts": "truth"},
    }


def kind_of_column(dtype: str) -> ColumnKind:
    """Return what a column of a Polars type, by its name, holds."""
    named: dict[str, ColumnKind] = {
        "Str": "text",
        "Boo": "truth",
        "Int": "whole number",
        "UIn": "whole number",
        "Flo": "number",
        "Dec": "number",
        "Dat": "day" if dtype == "Date" else "moment",
    }
    return named.get(dtype[:3], "anything")
