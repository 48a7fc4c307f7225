"""`SalesforceSink`: decisions as records of an object, each written by an external id that holds the message's key.

One message goes by a single upsert, some by calls of 200, many by a job of the Bulk API 2.0. A job's id is kept before
its data is sent: after a kill it is asked what became of each record. Messages of which nothing is known are looked for
by their keys. So a decision makes one record, and no second write of it sets off the company's own automation again.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from factory.connectors.salesforce import jobs, soql
from factory.connectors.salesforce.client import MOST_RECORDS, Salesforce, Upserted, shared_session
from factory.connectors.salesforce.jobs import Looks
from factory.connectors.salesforce.objects import Field, SObject
from factory.connectors.salesforce.values import value_of
from factory.connectors.sinks.kinds import Target
from factory.connectors.sinks.message import Message, Result, accepted, busy, not_taken, refused, unknown
from factory.connectors.sinks.sink import Job
from factory.connectors.web.access import Access
from factory.errors import (
    AnswerLost,
    LineError,
    ServiceBusy,
    ServiceError,
    ServiceRefused,
    ServiceUnreachable,
)
from factory.line.sinks import SinkSection

KEY_LENGTH = 32
_NOTHING = "#N/A"
"""By which a job's data says that a field is to be emptied."""
_STILL_S = 30.0


@dataclass(frozen=True, kw_only=True)
class SalesforceOptions:
    """What a line's file may say of how messages are sent."""

    job_above: int = 2000
    """Of more messages at once a job of the Bulk API 2.0 is made: 2,000 are ten calls, as many as a job costs."""
    wait_s: float = 300.0
    """How long a job is waited for; one that takes longer is asked the next time."""

    def __post_init__(self) -> None:
        """Raise ValueError on a number that cannot be."""
        if self.job_above < 1 or self.wait_s <= 0:
            raise ValueError("job_above is 1 or more messages, and wait_s a time above 0")


def salesforce_sink(target: Target) -> "SalesforceSink":
    """Return the sink for a place such as `salesforce+https://my-org.my.salesforce.com::Case`; raises LineError."""
    if not target.thing:
        raise LineError(f"{target.named}: say the object behind the address, as in {target.shown}::Case")
    if not target.section.key:
        raise LineError(f"{target.named}: say `key`, the external id of {target.thing} that takes the message's key")
    return SalesforceSink(
        target.address.removeprefix("salesforce+"),
        target.thing,
        target.section,
        access=target.access,
        options=target.options(SalesforceOptions),
    )


class SalesforceSink:
    """One object of one company's Salesforce; `service` are the options of its session."""

    def __init__(
        self,
        address: str,
        table: str,
        section: SinkSection,
        *,
        access: Access | None = None,
        options: SalesforceOptions | None = None,
        looks: Looks | None = None,
        **service: Any,
    ) -> None:
        self._address, self._access, self._service = address, access, service
        self._table, self._key = table, section.key
        self._fields, self._constants, self._withdrawn = section.fields, section.constants, section.withdrawn
        self._options = options or SalesforceOptions()
        self._looks = replace(looks or Looks(), total_s=self._options.wait_s)

    @property
    def batch_size(self) -> int:
        """How many messages one `deliver` takes: a job of a few megabytes."""
        return 10_000

    @property
    def repeatable(self) -> bool:
        """An external id makes one record of two messages, but sets off automation twice: so `present` is asked."""
        return False

    def check(self) -> list[str]:
        """Return a sentence on each way in which the mapping does not fit what describe says; raises ServiceError."""
        with self._session() as salesforce:
            sobject = salesforce.describe(self._table)
        return [*self._wrong_key(sobject), *self._wrong_fields(sobject), *self._missing(sobject)]

    def _wrong_key(self, sobject: SObject) -> Iterator[str]:
        field = sobject.fields.get(self._key)
        if field is None:
            yield self._unknown(self._key, sobject)
            return
        if not field.external_id:
            yield f"{self._table}.{self._key} is no external id: let an administrator tick `External ID` and `Unique`"
        if field.dtype.is_numeric() or field.is_number or 0 < field.length < KEY_LENGTH:
            yield f"{self._table}.{self._key} must be a text of {KEY_LENGTH} characters or more; it is {_shape(field)}"

    def _wrong_fields(self, sobject: SObject) -> Iterator[str]:
        given = {**dict.fromkeys(self._fields), **self._constants}
        for name, value in (*given.items(), *self._withdrawn.items()):
            field = sobject.fields.get(name)
            if field is None:
                yield self._unknown(name, sobject)
                continue
            if not field.updateable or (name in given and not field.createable):
                yield f"{self._table}.{name} cannot be written by the integration's user; is it a formula?"
            if value is not None and (why := _misfit(field, value)):
                yield f"{self._table}.{name} does not take {value!r}: {why}"

    def _missing(self, sobject: SObject) -> Iterator[str]:
        given = {self._key, *self._fields, *self._constants}
        for name, field in sobject.fields.items():
            needed = field.createable and not field.nillable and not field.defaulted and field.kind != "boolean"
            if needed and name not in given:
                yield f"{self._table}.{name} is required and filled by nothing: name it in `fields` or `constants`"

    def _unknown(self, name: str, sobject: SObject) -> str:
        like = [one for one in sobject.fields if one.lower() == name.lower() or one.lower() == f"{name}__c".lower()]
        hint = f"; is it {like[0]}?" if like else "; mend its name, or let the integration's user see it"
        return f"{self._table} has no field {name!r}{hint}"

    def deliver(self, messages: Sequence[Message], job: Job) -> Iterable[Result]:
        """Send messages of one action, by the door that suits their number; give what became of each."""
        with self._session() as salesforce:
            if len(messages) > self._options.job_above and not _has_nothing_as_text(messages):
                yield from self._by_job(salesforce, messages, job)
            else:
                yield from self._by_calls(salesforce, messages)

    def _by_calls(self, salesforce: Salesforce, messages: Sequence[Message]) -> Iterator[Result]:
        for some in _portions(messages):
            try:
                results = self._called(salesforce, some)
            except AnswerLost as error:
                yield from (unknown(message, str(error)) for message in some)
                continue
            except (ServiceBusy, ServiceUnreachable, ServiceRefused) as error:
                yield from (not_taken(message, error) for message in some)
                return
            for message, upserted in zip(some, results, strict=True):
                yield _result(message, upserted)

    def _called(self, salesforce: Salesforce, messages: Sequence[Message]) -> list[Upserted]:
        if len(messages) == 1:
            (message,) = messages
            return [salesforce.upsert(self._table, self._key, message.key, self._values(message))]
        records = [{self._key: message.key, **self._values(message)} for message in messages]
        return salesforce.upsert_collection(self._table, self._key, records)

    def _by_job(self, salesforce: Salesforce, messages: Sequence[Message], job: Job) -> Iterator[Result]:
        """Send messages as a job, whose id is kept before its data is sent."""
        try:
            job_id = jobs.create_upsert(salesforce, self._table, self._key)
            job.keep(job_id, messages)
        except (ServiceBusy, ServiceUnreachable, ServiceRefused) as error:
            yield from (not_taken(message, error) for message in messages)
            return
        try:
            jobs.upload(salesforce, job_id, self._csv(messages))
            jobs.ended(salesforce, f"jobs/ingest/{job_id}", self._looks)
            yield from self._results_of(salesforce, job_id, messages)
        except ServiceError as error:  # what it has written already only the job knows
            yield from (unknown(message, f"job {job_id}: {error}") for message in messages)

    def _results_of(self, salesforce: Salesforce, job_id: str, messages: Sequence[Message]) -> list[Result]:
        """Return what a job that has ended says of its messages; one that it did not get to is sent again."""
        frames = jobs.results(salesforce, job_id)
        ids = _by_key(frames["successful"], self._key, "sf__Id")
        errors = _by_key(frames["failed"], self._key, "sf__Error")
        left = _by_key(frames["unprocessed"], self._key, self._key)
        results = []
        for message in messages:
            if message.key in ids:
                results.append(accepted(message, ids[message.key], f"job {job_id}"))
            elif message.key in errors:
                words = errors[message.key]
                results.append(_result(message, Upserted(refusal=words, code=words.partition(":")[0])))
            elif message.key in left:
                results.append(busy(message, f"job {job_id} ended before it came to this record"))
            else:
                results.append(unknown(message, f"job {job_id} says nothing of it"))
        return results

    def close(self) -> None:
        """Nothing is open: each call has a session of its own."""

    def present(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Return the records that these messages made or changed: id → the record's id.

        What a job was given its results say. Raises ServiceError, also while a job is still at work.
        """
        with self._session() as salesforce:
            found: dict[str, str] = {}
            asked = [message for message in messages if not message.job]
            for job_id in dict.fromkeys(message.job for message in messages if message.job):
                of_job = [message for message in messages if message.job == job_id]
                results = self._ended_results(salesforce, job_id, of_job)
                found |= {one.message.id: one.reference for one in results if one.state == "accepted"}
                asked += [one.message for one in results if one.state != "accepted"]
            for some in _portions(asked):
                found |= self._looked_for(salesforce, some)
            return found

    def _ended_results(self, salesforce: Salesforce, job_id: str, messages: Sequence[Message]) -> list[Result]:
        """Return what a kept job says of messages; of one that never got its data, that it surely wrote nothing."""
        state = jobs.job_state(salesforce, job_id)
        if state == "Open":
            jobs.abort(salesforce, job_id)
            return [busy(message, "its job never began") for message in messages]
        if state in jobs.ENDED:
            return self._results_of(salesforce, job_id, messages)
        if state:
            raise ServiceBusy(f"job {job_id} is {state}", retry_after_s=_STILL_S)
        return [unknown(message, f"Salesforce has job {job_id} no more") for message in messages]

    def _looked_for(self, salesforce: Salesforce, messages: Sequence[Message]) -> dict[str, str]:
        """Return the messages whose record is there, and for a withdrawal has what it sets."""
        sobject = salesforce.describe(self._table)
        names = list(dict.fromkeys(["Id", self._key, *(self._withdrawn if messages[0].action == "withdraw" else ())]))
        key = sobject.fields.get(self._key)
        keys = soql.among(key, [message.key for message in messages]) if key else []
        if not keys:
            raise ServiceRefused(f"{self._table} cannot be asked for {self._key}: it is no text to find by", status=0)
        records = [one for page in salesforce.pages(soql.select(names, self._table, keys)) for one in page]
        by_key = {str(record[self._key]): record for record in records}
        return {
            message.id: str(by_key[message.key]["Id"])
            for message in messages
            if message.key in by_key
            and (message.action != "withdraw" or self._is_withdrawn(sobject, by_key[message.key]))
        }

    def _is_withdrawn(self, sobject: SObject, record: Mapping[str, Any]) -> bool:
        return all(
            value_of(record[name], sobject.fields[name]).equals(value_of(_sent(value), sobject.fields[name]))
            for name, value in self._withdrawn.items()
        )

    def _values(self, message: Message) -> dict[str, Any]:
        return {name: value for name, value in message.fields.items() if name != self._key}

    def _csv(self, messages: Sequence[Message]) -> bytes:
        names = [self._key, *dict.fromkeys(name for message in messages for name in self._values(message))]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(
            [_cell({**message.fields, self._key: message.key}.get(one)) for one in names] for message in messages
        )
        return text.getvalue().encode()

    @contextmanager
    def _session(self) -> Iterator[Salesforce]:
        if not self._service:
            yield shared_session(self._address, self._access)
            return
        with Salesforce(self._address, self._access, **self._service) as salesforce:
            yield salesforce


def _portions(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Yield messages in portions of as many as one call may be about."""
    return (messages[first : first + MOST_RECORDS] for first in range(0, len(messages), MOST_RECORDS))


def _result(message: Message, upserted: Upserted) -> Result:
    if upserted.record_id:
        return accepted(message, upserted.record_id)
    return busy(message, upserted.refusal) if upserted.is_busy else refused(message, upserted.refusal)


def _by_key(records: Any, key: str, column: str) -> dict[str, str]:
    if key not in records.columns:
        return {}
    return dict(zip(records[key].to_list(), records[column].fill_null("").to_list(), strict=True))


def _cell(value: Any) -> str:
    if value is None or value == "":
        return _NOTHING
    return str(value).lower() if isinstance(value, bool) else str(value)


def _has_nothing_as_text(messages: Sequence[Message]) -> bool:
    """Whether a text is the very one by which a job's data says that there is none."""
    return any(value == _NOTHING for message in messages for value in message.fields.values())


def _sent(value: Any) -> Any:
    return str(value) if isinstance(value, float) else value


def _misfit(field: Field, value: Any) -> str:
    """Return why a field does not take a value; empty where it does."""
    if field.kind == "boolean":
        return "" if isinstance(value, bool) else "it takes true and false"
    if field.is_number or field.kind == "int":
        return "" if isinstance(value, int | float) and not isinstance(value, bool) else "it takes numbers"
    if field.choices is not None and str(value) not in field.choices:
        return f"it takes {', '.join(sorted(field.choices)[:12])}"
    return f"it takes {field.length} characters" if 0 < field.length < len(str(value)) else ""


def _shape(field: Field) -> str:
    return f"a {field.kind}" + (f" of {field.length}" if field.length else "")
