"""`ODataSink`: decisions as entities of an OData service, such as maintenance notifications of SAP.

    sinks:
      notifications:
        to: env:SAP_URL::MaintenanceNotification        # odata+https://host/sap/opu/odata/sap/API_…::set
        access: {kind: basic, user: env:SAP_USER, password: env:SAP_PASSWORD}
        key: ExternalReference                           # a text property of 32 characters that can be filtered by
        fields: {Equipment: machine_id, RequiredStart: decided_at}
        constants: {NotificationType: M1}
        withdrawn: {Status: CANCELLED}
        options: {query: {sap-client: "100"}}

An entity is looked for by the key first: one that is not there is created, one that is there is changed where it
differs, by its entity tag. Changes go in `$batch`, each a change set of its own, with the token against forged requests
that the service asks for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, ClassVar
from urllib.parse import quote
from weakref import finalize

from factory.connectors.odata.batches import Change, PartReply, decoded, encoded
from factory.connectors.odata.metadata import EntitySet, Property
from factory.connectors.odata.payloads import document_of, fits, is_same, json_of
from factory.connectors.odata.queries import any_of
from factory.connectors.odata.service import EXACT, ODataService
from factory.connectors.odata.values import literal_of, text_of_value
from factory.connectors.sinks.kinds import Target
from factory.connectors.sinks.message import Message, Result, accepted, busy, not_taken, refused, unknown
from factory.connectors.sinks.sink import Job
from factory.connectors.web.reading import split_query
from factory.connectors.web.session import Patience, Reply, Service
from factory.errors import LineError, ServiceBusy, ServiceError, ServiceUnreachable
from factory.line.sinks import ColumnKind, SinkSection

KEY_LENGTH = 32
"""How many characters a message's key has."""
_ASKED_AT_ONCE = 20
_GRACE_S = 120.0
"""How long after an answer was lost the service is asked whether it has a message: it may be at it still."""
_NOT_NOW = (401, 403, 412, 429, 503)
"""Answers after which the same message may go: another user, another tag, another time."""
_SAFE = "',=()"


@dataclass(frozen=True, kw_only=True)
class ODataOptions:
    """What a line's file says of an OData sink beside what every sink has."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    query: Mapping[str, str] = field(default_factory=dict)
    """Parameters of every call, such as `sap-client`."""
    batch: bool = True
    """Whether changes go in `$batch`; a service without it takes them one by one."""
    batch_size: int = 50
    """How many messages are sent at once."""


@dataclass(frozen=True)
class _Existing:
    """An entity that the service has: its key's literals, what it calls itself, its tag and values."""

    path: str
    reference: str
    tag: str
    values: Mapping[str, str | None]


def odata_sink(target: Target) -> "ODataSink":
    """Return the sink of an entity set; raises LineError."""
    access = target.access
    if not target.thing or not target.section.key:
        of_key = "key: say the property that takes the message's key"
        lacking = of_key if target.thing else "to: say the entity set, as in …::Orders"
        raise LineError(f"{target.named}: {lacking}")
    options = target.options(ODataOptions)
    address, own = split_query(target.address.partition("+")[2])
    options = replace(options, query={**own, **options.query})

    def connected() -> Service:
        return Service(address, access, patience=Patience(tries=3, longest_wait_s=10.0))

    return ODataSink(target.named, target.thing, target.section, options, connected, target.columns)


class ODataSink:
    """One entity set that takes messages."""

    repeatable = False

    def __init__(
        self,
        name: str,
        entity_set: str,
        section: SinkSection,
        options: ODataOptions,
        connected: Callable[[], Service],
        columns: Mapping[str, ColumnKind],
    ) -> None:
        self.name, self._set, self._section = name, entity_set, section
        self._options, self._connected, self._columns = options, connected, columns
        self._service: ODataService | None = None

    @property
    def batch_size(self) -> int:
        """How many messages are sent at once."""
        return self._options.batch_size

    def check(self) -> list[str]:
        """Return a sentence on each way in which the mapping does not fit `$metadata`; raises FactoryError."""
        sets = self._opened.metadata.sets
        if self._set not in sets:
            return [f"{self.name}: to: the service has no entity set {self._set!r}{_near(self._set, sets)}"]
        entities = sets[self._set]
        wrong = [] if entities.creatable else [f"to: nothing can be created in {self._set}"]
        wrong += self._misfits(entities)
        given = {self._section.key, *self._section.fields, *self._section.constants}
        wrong += [
            f"fields: {one.name} must have a value, and no field or constant gives it one"
            for one in entities.properties.values()
            if not one.nullable and one.creatable and one.name not in given and one.name not in entities.key
        ]
        return [f"{self.name}: {sentence}" for sentence in wrong]

    def _misfits(self, entities: EntitySet) -> Iterator[str]:
        """Yield what of each named property does not fit."""
        yield from self._misfits_of_names(entities)
        for name, column in self._section.fields.items():
            kind, one = self._columns.get(column, "anything"), entities.properties.get(name)
            if one and not fits(kind, one):
                yield f"fields: {name} is {one.kind}, and {column!r} is a {kind}"
        yield from self._misfit_of_key(entities.properties.get(self._section.key))
        yield from self._misfits_of_values("constants", self._section.constants)
        yield from self._misfits_of_values("withdrawn", self._section.withdrawn)

    def _misfits_of_names(self, entities: EntitySet) -> Iterator[str]:
        section, properties = self._section, entities.properties
        places = {
            **dict.fromkeys(section.withdrawn, "withdrawn"),
            **dict.fromkeys(section.constants, "constants"),
            **dict.fromkeys(section.fields, "fields"),
            section.key: "key",
        }
        for name, place in places.items():
            if name not in properties:
                yield f"{place}: {self._set} has no property {name!r}{_near(name, properties)}"
            elif place != "withdrawn" and not properties[name].creatable:
                yield f"{place}: {name} cannot be given a value when an entity is created"
            elif name in section.withdrawn and not properties[name].updatable:
                yield f"withdrawn: {name} cannot be changed"

    def _misfit_of_key(self, key: Property | None) -> Iterator[str]:
        if key and (key.kind != "Edm.String" or not key.filterable or (key.max_length or KEY_LENGTH) < KEY_LENGTH):
            length = f" of {key.max_length} characters" if key.max_length else ""
            yield (
                f"key: {key.name} is {key.kind}{length}{'' if key.filterable else ' that cannot be filtered by'}; the "
                f"message's key is a text of {KEY_LENGTH} characters, by which the service must find it"
            )

    def _misfits_of_values(self, place: str, values: Mapping[str, Any]) -> Iterator[str]:
        for name, value in values.items():
            try:
                if name in self._entities.properties:
                    self._json(name, value)
            except ValueError as misfit:
                yield f"{place}: {misfit}"

    def deliver(self, messages: Sequence[Message], job: Job) -> Iterable[Result]:  # noqa: ARG002  the key tells all
        """Create or change an entity for each message."""
        try:
            entities, existing = self._entities, self._existing([message.key for message in messages])
        except ServiceError as error:  # nothing was sent yet
            yield not_taken(messages[0], error)
            return
        changes: list[tuple[Message, Change]] = []
        for message in messages:
            step = self._step(message, entities, existing.get(message.key))
            if isinstance(step, Result):
                yield step
            else:
                changes.append((message, step))
        size = len(changes) if self._options.batch else 1
        for first in range(0, len(changes), size or 1):
            yield from self._sent(changes[first : first + size], existing)

    def close(self) -> None:
        """Close the connections."""
        if self._service is not None:
            self._service.service.close()
            self._service = None

    def present(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Return the entities that have these messages' keys; a withdrawal is there when its fields are set."""
        existing = self._existing([message.key for message in messages])
        return {
            message.id: one.reference
            for message in messages
            if (one := existing.get(message.key))
            and (message.action == "upsert" or not self._differing(self._section.withdrawn, one))
        }

    def _step(self, message: Message, entities: EntitySet, existing: _Existing | None) -> Change | Result:
        """Return the change that a message asks for, or what became of it where it asks for none."""
        if unknown_names := [name for name in message.fields if name not in entities.properties]:
            near = _near(unknown_names[0], entities.properties)
            return refused(message, f"{self._set} has no property {unknown_names[0]!r}{near}")
        if existing is None and message.action == "withdraw":
            return refused(message, f"{self._set} has no entity with {self._section.key} = {message.key} to withdraw")
        try:
            changed = message.fields if existing is None else self._differing(message.fields, existing)
            body = document_of({name: self._json(name, value) for name, value in changed.items()})
        except ValueError as misfit:
            return refused(message, str(misfit))
        headers = {**self._opened.headers, "Content-Type": "application/json"}
        if existing is None:
            return Change(method="POST", path=self._set, body=body, headers=headers)
        if not changed:
            return accepted(message, existing.reference, "it is there already")
        method = "MERGE" if self._opened.metadata.version == "V2" else "PATCH"
        return Change(
            method=method, path=existing.path, body=body, headers={**headers, "If-Match": existing.tag or "*"}
        )

    def _sent(self, changes: Sequence[tuple[Message, Change]], existing: Mapping[str, _Existing]) -> Iterator[Result]:
        """Send changes at once, and yield what became of each."""
        messages = [message for message, _ in changes]
        try:
            replies = self._replies([change for _, change in changes])
        except (ServiceBusy, ServiceUnreachable) as error:
            yield not_taken(messages[0], error)
            return
        except ServiceError as error:
            yield from (replace(unknown(message, str(error)), retry_after_s=_GRACE_S) for message in messages)
            return
        doubtful: list[Result] = []
        for message, reply in zip(messages, replies, strict=False):
            result = self._result(message, reply, existing.get(message.key))
            if result.state == "refused":
                doubtful.append(result)
            else:
                yield result
        yield from (
            unknown(message, "the answer to its batch has no part for it") for message in messages[len(replies) :]
        )
        yield from self._refusals(doubtful)

    def _refusals(self, results: Sequence[Result]) -> Iterator[Result]:
        """Yield refusals, but of messages that the service has after all: it refuses to create one again."""
        new = [result.message.key for result in results if result.message.action == "upsert"]
        there: Mapping[str, _Existing] = {}
        if new:
            with suppress(ServiceError):  # then they are refused, as it said
                there = self._existing(new)
        for result in results:
            one = there.get(result.message.key)
            same = one is not None and not self._differing(result.message.fields, one)
            yield accepted(result.message, one.reference, result.reply) if one is not None and same else result

    def _replies(self, changes: Sequence[Change]) -> list[PartReply]:
        if not self._options.batch:
            return [_part(self._opened.change(change)) for change in changes]
        content_type, body = encoded(changes)
        headers = {"Content-Type": content_type, "Accept": "multipart/mixed", "Prefer": "odata.continue-on-error"}
        versions = {name: text for name, text in self._opened.headers.items() if "Version" in name}
        whole = Change(method="POST", path="$batch", body=body, headers={**headers, **versions})
        reply = self._opened.change(whole)
        if reply.status >= 300:
            return [_part(reply)] * len(changes)
        return decoded(reply.headers.get("content-type", ""), reply.body)

    def _result(self, message: Message, reply: PartReply, existing: _Existing | None) -> Result:
        said = f"{reply.status}: {_message_of(reply)}"
        if reply.status < 300:
            return accepted(message, existing.reference if existing else self._reference_of(reply), said)
        if reply.status in _NOT_NOW:
            after = reply.headers.get("retry-after", "")
            return busy(message, said, float(after) if after.isdigit() else None)
        return unknown(message, said) if reply.status >= 500 else refused(message, said)

    def _reference_of(self, reply: PartReply) -> str:
        """Return what the service calls an entity that it has made: the values of its key."""
        try:
            document = EXACT.decode(reply.text)
            entity = document.get("d", document)
            key = [self._text_of(name, entity.get(name)) for name in self._entities.key]
        except (ValueError, AttributeError):
            key = []
        if key and all(key):
            return ",".join(map(str, key))
        return reply.headers.get("location", "").rpartition("(")[2].rstrip(")").strip("'")

    def _existing(self, keys: Sequence[str]) -> dict[str, _Existing]:
        """Return the entities that have these keys; raises ServiceError."""
        service, entities, section = self._opened, self._entities, self._section
        one = entities.properties[section.key]
        names = [*entities.key, section.key, *section.fields, *section.constants, *section.withdrawn]
        select = {"$select": ",".join(name for name in dict.fromkeys(names) if name in entities.properties)}
        there: dict[str, _Existing] = {}
        for first in range(0, len(keys), _ASKED_AT_ONCE):
            asked = [literal_of(key, one, service.metadata.version) for key in keys[first : first + _ASKED_AT_ONCE]]
            page = service.page(entities, any_of([f"{one.name} eq {literal}" for literal in asked]), select)
            while True:
                for entity in page.entities:
                    there.setdefault(str(entity.get(one.name)), self._entity(entities, entity))
                if not page.following:
                    break
                page = service.following(page)
        return there

    def _entity(self, entities: EntitySet, entity: Mapping[str, Any]) -> _Existing:
        values = {name: self._text_of(name, entity[name]) for name in entities.properties if name in entity}
        version = self._opened.metadata.version
        literals = {
            name: literal_of(values.get(name) or "", entities.properties[name], version) for name in entities.key
        }
        only = next(iter(literals.values())) if len(literals) == 1 else ""
        key = only or ",".join(f"{name}={literal}" for name, literal in literals.items())
        tag = entity.get("@odata.etag") or entity.get("__metadata", {}).get("etag") or ""
        reference = ",".join(str(values.get(name)) for name in entities.key)
        return _Existing(f"{self._set}({quote(key, safe=_SAFE)})", reference, str(tag), values)

    def _differing(self, fields: Mapping[str, Any], existing: _Existing) -> dict[str, Any]:
        """Return those of some fields that can be changed and have another value; raises ValueError on a misfit."""
        properties = self._entities.properties
        return {
            name: value
            for name, value in fields.items()
            if properties[name].updatable
            and not is_same(
                self._text_of(name, EXACT.decode(self._json(name, value))), existing.values.get(name), properties[name]
            )
        }

    def _json(self, name: str, value: Any) -> str:
        return json_of(value, self._entities.properties[name], self._opened.metadata.version)

    def _text_of(self, name: str, value: Any) -> str | None:
        return text_of_value(value, self._entities.properties[name].kind, self._opened.metadata.version)

    @property
    def _entities(self) -> EntitySet:
        return self._opened.entity_set(self._set)

    @property
    def _opened(self) -> ODataService:
        """The service, with one session for all that this sink does; it is closed when the sink is gone."""
        if self._service is None:
            session = self._connected()
            finalize(self, session.close)
            self._service = ODataService(session, self._options.query)
        return self._service


def _part(reply: Reply) -> PartReply:
    return PartReply(status=reply.status, headers=reply.headers, body=reply.body)


def _message_of(reply: PartReply) -> str:
    """Return what an answer says, by the key where OData has it."""
    try:
        error = EXACT.decode(reply.text).get("error", {})
        message = error.get("message", "")
        return str(message.get("value", "") if isinstance(message, dict) else message)
    except (ValueError, AttributeError):
        return " ".join(reply.text.split())[:300]


def _near(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, list(names), n=1)
    return f"; is it {near[0]!r}?" if near else ""
