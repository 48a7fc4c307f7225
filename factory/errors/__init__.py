"""Every error a person may meet, in one tree; foreign exceptions are translated into these at the boundary.

FactoryError
├── LineError                a line's definition is wrong
│   └── UnsupportedExpectation
├── EnvironmentRefused       a variable of the environment that is missing, or says what cannot be
├── NameRefused              a line or site name that could not be a folder, a partition and a model
├── SourceError              the source gave nothing usable; the lake is untouched
│   ├── SchemaMismatch
│   └── FetchError           a file could not be had from its public address, or is not the one published
├── ServiceError             a service that is spoken to over HTTP
│   ├── ServiceRefused       it answered, and said no
│   ├── ServiceBusy          it has no time now, and perhaps says when
│   ├── ServiceUnreachable   it could not be reached, or is not who it should be: nothing was sent
│   ├── AnswerLost           no answer says whether it did what it was asked
│   └── ServiceGarbled       its answer is not what it should be: a page of HTML, half a document
├── StorageError             a disk, a folder or a mount that is full, read-only, not permitted or gone
├── RegistryError            MLflow cannot be reached, or its database or server refuses
├── OutboxError              an outbox could not be read or written
├── PersonalDataRefused      rows that would keep what a line's file marks as personal, or what cannot be forgotten so
├── CorrectionRefused        a correction of a quarantined row that names no such row, or is not signed
├── LakeError
│   ├── TableMissing
│   ├── SiteBusy             another run wrote the same site meanwhile
│   ├── BatchRefused         too much of what came in last breaks the contract; the site's clean rows stay
│   └── RowsUnaccounted      raw != clean + quarantine + superseded + withdrawn
├── DocsError                Great Expectations could not write what a contract found
├── TrainingError            the data cannot train a model
├── MeasuredOtherwise        figures that say nothing about the gates in question
├── ReleaseRefused           no passing verdict for exactly this digest, a rollback holds, or an approval is missing
├── RolloutRefused           a rollout that cannot begin or go on; nothing was released
├── HistoryError             a site's history could not be read or written
├── RequestRefused           a request the gateway cannot serve (factory/gateway/refusal.py)
├── PredictionUnknown        a prediction that is in no record, or whose release is gone
├── TlsRefused               a certificate or its key that the gateway cannot use
├── ProviderMissing          what the gateway's models were to run on is not installed
├── CannotListen             an address or port that the gateway cannot have
├── KeyRefused               a file of API keys that is none, or a key that is not in it
├── SnapshotRefused           what the gateway would build features on: unsigned, changed, or of other code
├── RecordRefused            a business row that is none of its table's
└── ModelRefused             a model file that must not be loaded: digest, signature or verdict do not fit
"""

from collections.abc import Mapping, Sequence
from typing import Any

from factory.errors.masking import masked


class FactoryError(Exception):
    """Base of all: the message names line, site, thing, value found, limit, and what to do, and has no secret in it."""

    def __init__(self, *words: object) -> None:
        super().__init__(*(masked(word) if isinstance(word, str) else word for word in words))


class LineError(FactoryError, ValueError):
    """A line's definition is wrong; names the file and the place in it.

    It is a ValueError too, so that a section which refuses itself is reported at its place in the file. `at` are the
    keys, from that section down, of the setting that is wrong.
    """

    def __init__(self, message: str, *, at: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.at = at


class UnsupportedExpectation(LineError):
    """The contract asks for an expectation type that the compiler does not know; lists those it does."""


class EnvironmentRefused(FactoryError):
    """A variable of the environment that is needed is not set, or says what cannot be; names it and what to set."""


class NameRefused(FactoryError):
    """A line or site name that cannot safely be a folder, a partition key and a model name at once."""


class SourceError(FactoryError):
    """A source failed or died half-way; nothing was written."""


class SchemaMismatch(SourceError):
    """A source delivered an unknown column, lacks a column, or a value of another type.

    `changes` are those of factory/data/schema_changes.py, where the line's policy stops a load for them.
    """

    def __init__(self, message: str, changes: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.changes = tuple(changes)


class FetchError(SourceError):
    """A file could not be had from its public address, or is another than was published; nothing of it was kept."""


class ServiceError(FactoryError):
    """A service that is spoken to over HTTP did not do what it was asked; names it, what it said and what to do."""


class ServiceRefused(ServiceError):
    """A service answered and said no: `status`, `headers` by their names in small letters, and the `body` as text."""

    def __init__(self, message: str, *, status: int, headers: Mapping[str, str] | None = None, body: str = "") -> None:
        super().__init__(message)
        self.status, self.headers, self.body = status, dict(headers or {}), body


class ServiceBusy(ServiceError):
    """A service has no time now (429, 503), all tries being over; `retry_after_s` is what it says, None if nothing."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServiceUnreachable(ServiceError):
    """A service could not be reached, or its certificate is not one to trust; nothing was sent to it.

    `lasting` where trying again cannot help.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class AnswerLost(ServiceError):
    """A request was sent, and no answer says what became of it (none, or 500, 502, 504): it may have been done."""


class ServiceGarbled(ServiceError):
    """A service's answer is not what it should be, such as a page of HTML or a document that was cut short."""


class StorageError(FactoryError):
    """A disk, a folder or a mount is full, read-only, not permitted or gone; names it, what is kept and what to do."""


class RegistryError(FactoryError):
    """MLflow cannot be reached, or its database or server refuses; names which, what is kept and what to do.

    `code` is MLflow's own, such as RESOURCE_ALREADY_EXISTS, by which a caller tells what it expects; "" where none.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class OutboxError(FactoryError):
    """An outbox could not be read or written; nothing that it holds is lost."""


class PersonalDataRefused(FactoryError):
    """Rows would be kept otherwise than a line's file marks them as personal, or nobody can be forgotten so."""


class CorrectionRefused(FactoryError):
    """A correction names no row that waits in quarantine, or several, or does not say who makes it and why."""


class LakeError(FactoryError):
    """The lake could not be read or written."""


class TableMissing(LakeError):
    """A lake table does not exist yet: the stage before it has not run."""


class SiteBusy(LakeError):
    """Another run wrote the same site of the same table meanwhile; this one wrote nothing."""


class BatchRefused(LakeError):
    """More of what a site sent last breaks the contract than its line's file allows; its clean rows stay."""


class RowsUnaccounted(LakeError):
    """Raw rows are not the sum of clean, quarantined, superseded and withdrawn ones; nothing was written."""


class DocsError(FactoryError):
    """Great Expectations could not write what a contract found; names line, table and folder, and what to do."""


class TrainingError(FactoryError):
    """The data cannot train a model: too few rows, one class, no usable feature."""


class MeasuredOtherwise(FactoryError):
    """Figures were measured with another margin than is asked about, or not at all: they must be measured again."""


class SnapshotRefused(FactoryError):
    """A line's snapshot must not be built on: it is unsigned, was changed, or is of other code than is here."""


class RecordRefused(FactoryError):
    """A business row has a column or a value that is none of its table's, or another site's; nothing was asked."""


class ReleaseRefused(FactoryError):
    """A model may be neither promoted nor released: no passing verdict for exactly its digest, or people said no."""


class RolloutRefused(FactoryError):
    """A rollout cannot begin or go on: another is under way, its terms do not fit, or its state cannot be read."""


class HistoryError(FactoryError):
    """A site's history could not be read or written; what was to be put on record was not done."""


class ModelRefused(FactoryError):
    """A model file must not be loaded: its digest, its signature or its verdict do not fit."""


class KeyRefused(FactoryError):
    """A file is no file of API keys, or a key that should be in it is not."""


class TlsRefused(FactoryError):
    """A certificate and its private key cannot be used: missing, no PEM, or not of one another."""


class SettingRefused(FactoryError):
    """An option of the gateway that cannot be; names the option, the value and what to give."""


class ProviderMissing(FactoryError):
    """ONNX Runtime, as it is installed, cannot run models on what was asked for; says what to install."""


class CannotListen(FactoryError):
    """The gateway cannot have an address or port: another program has it, it is not this machine's, or not allowed."""


class PredictionUnknown(FactoryError):
    """A prediction is in no record, or the release that gave it is no longer in the model repository."""
