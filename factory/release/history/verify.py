"""Whether anybody changed a site's history: every edit, deletion, insertion and reordering is found.

A history that was cut short is found too, as long as one witness is left: its signed head, a release that lies in the
model repository without a record, or a head that a person keeps elsewhere (`witness`). Not found is a change that
leaves no witness: history and head put back together as they were at an earlier time, with no release since then, and
no head kept elsewhere. Whoever has the release key can write another history altogether; a head kept elsewhere finds
that too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factory.errors import HistoryError, ModelRefused
from factory.release.history.files import Written
from factory.release.history.head import Head
from factory.release.history.record import Kind, Record, hash_of


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something wrong with a model's history, and behind how many of its records it lies."""

    model: str
    after: int
    what: str


def findings(
    written: Written,
    key: Ed25519PublicKey,
    *,
    releases: Mapping[int, str] | None = None,
    served: Mapping[int, str] | None = None,
    witness: Head | None = None,
) -> list[Finding]:
    """Return everything wrong with a model's history; an empty list means that it is as it was written.

    `releases` are the releases in the model repository, sequence → digest, those on trial too; `served` the one that is
    served; `witness` is a head from elsewhere.
    """
    lines, end = written.lines, len(written.lines)
    faults = [(after, what) for after in range(end) for what in _line_faults(written, after, key)]
    faults += [(end, what) for what in _head_faults(written, key)]
    faults += [(end, what) for what in _witness_faults(lines, witness)]
    faults += [
        (end, what) for what in _release_faults(written, releases, "in the model repository", "release", "trial")
    ]
    faults += [(end, what) for what in _release_faults(written, served, "served", "release")]
    return [Finding(model=written.model, after=after, what=what) for after, what in faults]


def _line_faults(written: Written, after: int, key: Ed25519PublicKey) -> Iterator[str]:
    try:
        record = Record.from_line(written.lines[after])
        record.require_signature(key)
    except HistoryError as error:
        yield f"line {after + 1}: {error}"
        return
    if (record.model, record.sequence) != (written.model, after + 1):
        yield f"line {after + 1}: is record {record.sequence} of {record.model}: lines were moved, removed or put in"
    if record.previous != (hash_of(written.lines[after - 1]) if after else ""):
        yield f"line {after + 1}: does not follow the line before it: that one was changed, removed or moved"
    if record.kind == "gap":
        yield f"line {after + 1}: records were missing when it was written: {record.reason}"


def _head_faults(written: Written, key: Ed25519PublicKey) -> Iterator[str]:
    lines = written.lines
    if written.head is None:
        if len(lines) > 1:  # a writer that died at once leaves one line without a head
            yield f"the head is missing, with {len(lines)} records"
        return
    try:
        head = Head.from_json(written.head)
        head.require_signature(key)
    except (HistoryError, ModelRefused) as error:
        yield f"the head was changed: {error}"
        return
    if head.model != written.model:
        yield f"the head is that of {head.model}"
    elif len(lines) < head.count:
        yield f"the last {head.count - len(lines)} of {head.count} records are missing"
    elif len(lines) > head.count + 1 or hash_of(lines[head.count - 1]) != head.hash:
        yield f"the head says {head.count} records ending in {head.hash[:12]}, which the lines do not"


def _witness_faults(lines: Sequence[bytes], witness: Head | None) -> Iterator[str]:
    if witness and (len(lines) < witness.count or hash_of(lines[witness.count - 1]) != witness.hash):
        yield (
            f"the head kept elsewhere says that record {witness.count} is {witness.hash[:12]}; "
            "here that record is another one, or missing"
        )


def _release_faults(written: Written, releases: Mapping[int, str] | None, where: str, *kinds: Kind) -> Iterator[str]:
    recorded = {(record.release, record.digest) for record in written.records() if record.kind in kinds}
    for sequence, digest in (releases or {}).items():
        if (sequence, digest) not in recorded:
            yield f"release {sequence}, model {digest[:12]}, is {where} without a record of its release"
