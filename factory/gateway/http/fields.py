"""What a client says beside the body, in header fields: it is heard, or refused by name before the body is read.

In: the field lines of one request. Out: one value a name, and what they ask for. By RFC 9110 (semantics) and 9112
(HTTP/1.1). Fields that are not named here say nothing that an answer could get wrong: a server may leave `Range`,
`Accept-Language` and the like alone, and this one does.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from factory.gateway.http.trace import REQUEST_ID
from factory.gateway.refusal import RequestRefused, shown

_ONE_VALUE = frozenset(
    (b"authorization", b"content-length", b"content-type", b"inference-header-content-length", b"origin", b"x-api-key")
)
CODINGS = (b"zstd", b"gzip", b"deflate")
"""Of contents, as they are read and made; the first of those that a client likes alike is made."""
_MOST_CODINGS = 4
_WEIGHT = re.compile(rb"0?\.\d{1,9}|[01](\.\d{0,9})?")
_CACHED = 128


def add_field(fields: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    """Add a field line, its name in lower case; lines of one name are one list.

    Raises RequestRefused (400) where a field that has one value is given two, for a proxy may have read the other one.
    """
    if name not in fields:
        fields[name] = value
    elif name == b"host" or (name in _ONE_VALUE and fields[name] != value):
        raise RequestRefused(400, f"the request has two {name.decode().title()} headers")
    elif name not in _ONE_VALUE:
        fields[name] += b", " + value


def joined_fields(lines: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return field lines by name; raises what `add_field` raises."""
    fields: dict[bytes, bytes] = {}
    for name, value in lines:
        add_field(fields, name.lower(), value)
    return fields


def require_heard(fields: Mapping[bytes, bytes]) -> None:
    """Raise RequestRefused where the fields ask for something that is not done here."""
    if not fields.keys().isdisjoint(_REQUIREMENTS):
        for name in sorted(fields.keys() & _REQUIREMENTS):
            _REQUIREMENTS[name](fields[name])


def waits_to_go_on(fields: Mapping[bytes, bytes]) -> bool:
    """Return whether the client waits to be told that it may send the body."""
    return fields.get(b"expect", b"").lower() == b"100-continue"


def require_acceptable(fields: Mapping[bytes, bytes], *kinds: bytes) -> None:
    """Raise RequestRefused (406) where the client takes none of these media types."""
    if (accept := fields.get(b"accept")) is not None and not any(accepts(accept, kind) for kind in kinds):
        possible = " or ".join(kind.partition(b";")[0].decode() for kind in kinds)
        raise RequestRefused(406, f"Accept is {shown(accept.decode('latin-1'))}; the answer can be {possible}")


@lru_cache(_CACHED)
def accepts(accept: bytes, kind: bytes) -> bool:
    """Return whether an Accept field takes a media type: the most specific of its ranges decides.

    Parameters of a range but for its weight are passed over, and a field without a range that can be read takes all.
    """
    media_type = kind.partition(b";")[0]
    ranges = (media_type, media_type.partition(b"/")[0] + b"/*", b"*/*", b"*")  # the last as some Java clients write it
    weights = dict(_weighted(accept))
    return not weights or next((weights[one] for one in ranges if one in weights), 0.0) > 0


@lru_cache(_CACHED)
def answer_coding(accept_encoding: bytes, *, is_long: bool = True) -> bytes:
    """Return the coding of an answer that the client likes best, `identity` for none; nothing where it takes none.

    A short answer is coded only for a client that takes it in no other way.
    """
    weights = {name.removeprefix(b"x-"): weight for name, weight in _weighted(accept_encoding)}
    others = weights.get(b"*", 0.0)
    plain = weights.get(b"identity", weights.get(b"*", 1.0))
    best = max(CODINGS, key=lambda coding: weights.get(coding, others))
    weight = weights.get(best, others)
    if weight > 0 and (plain == 0 or (is_long and weight >= weights.get(b"identity", 0.0))):
        return best
    return b"identity" if plain > 0 else b""


@lru_cache(_CACHED)
def content_codings(content_encoding: bytes) -> tuple[bytes, ...]:
    """Return the codings of a body, in the order in which they were applied; raises RequestRefused (415)."""
    named = [name.strip().lower() for name in content_encoding.split(b",")]
    codings = tuple(name.removeprefix(b"x-") for name in named if name not in (b"", b"identity"))
    possible = b", ".join(CODINGS)
    if unknown := next((coding for coding in codings if coding not in CODINGS), None):
        said = shown(unknown.decode("latin-1"))
        raise RequestRefused(
            415,
            f"Content-Encoding {said} is not read here; send {possible.decode()} or none",
            ((b"accept-encoding", possible),),
        )
    if len(codings) > _MOST_CODINGS:
        raise RequestRefused(415, f"the body has {len(codings)} codings, the limit is {_MOST_CODINGS}")
    return codings


def _weighted(field: bytes) -> Iterable[tuple[bytes, float]]:
    """Yield what a list names, in lower case without parameters, and its weight; what cannot be read is left out."""
    for item in field.split(b","):
        name, *parameters = (part.strip().lower() for part in item.split(b";"))
        weight = next((one[2:].strip() for one in parameters if one.startswith(b"q=")), b"1")
        if name and _WEIGHT.fullmatch(weight):
            yield name, float(weight)


def _require_coding(value: bytes) -> None:
    if not answer_coding(value):
        possible, said = b", ".join(CODINGS).decode(), shown(value.decode("latin-1"))
        raise RequestRefused(406, f"Accept-Encoding is {said}; answers can be coded as {possible}, or not at all")


def _require_expectation(value: bytes) -> None:
    if value.lower() != b"100-continue":
        raise RequestRefused(417, f"Expect is {shown(value.decode('latin-1'))}; only 100-continue can be met")


def _require_transfer(value: bytes) -> None:
    if value.lower() != b"chunked":
        said = shown(value.decode("latin-1"))
        raise RequestRefused(501, f"Transfer-Encoding is {said}; send chunked alone, and codings as Content-Encoding")


def _require_whole(value: bytes) -> None:
    raise RequestRefused(400, f"Content-Range {shown(value.decode('latin-1'))} is a part of a body; send it whole")


def _require_no_version(value: bytes) -> None:
    said = shown(value.decode("latin-1"))
    raise RequestRefused(412, f"If-Match is {said}; nothing here has an entity tag, so nothing was done")


def _require_request_id(value: bytes) -> None:
    if not REQUEST_ID.fullmatch(value):
        said = shown(value.decode("latin-1"))
        raise RequestRefused(400, f"X-Request-Id is {said}; send 1 to 128 visible ASCII characters")


_REQUIREMENTS: dict[bytes, Callable[[bytes], object]] = {
    b"accept-encoding": _require_coding,
    b"content-encoding": content_codings,
    b"content-range": _require_whole,
    b"expect": _require_expectation,
    b"if-match": _require_no_version,
    b"transfer-encoding": _require_transfer,
    b"x-request-id": _require_request_id,
}
"""By field, what raises RequestRefused where it is not done."""
