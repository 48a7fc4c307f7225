"""Bodies as they are meant: what came compressed or in another character set, and answers compressed where it pays.

The codings are those of the standard library and of Python 3.14's, by its backport. Whatever a body says of itself, it
never becomes longer than a body that came as it is may be.
"""

import codecs
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from backports import zstd

from factory.gateway.http.fields import content_codings
from factory.gateway.refusal import RequestRefused, shown

_FAST = 1
"""The level of compression: an answer is made while others wait."""
_GZIP, _ZLIB, _RAW = 31, 15, -15
"""Forms of deflate, as `zlib` numbers them."""
_WINDOW_LOG = 24
"""What a decoder of zstd may look back on, as a power of two: no more than the longest body."""
_MOST_MEMBERS = 64
"""So many streams of one coding may stand one after another in a body."""
_PLAIN = frozenset((b"", b"application/json", b"application/octet-stream", b"application/x-www-form-urlencoded"))
"""What most clients say of a body; the last one is what curl says of any."""
_READ_AS_JSON = _PLAIN | {b"text/json", b"text/plain"}
_CHARSETS = frozenset(
    ("utf-8", "ascii", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "iso8859-1", "iso8859-15", "cp1252")
)
_BOM = codecs.BOM_UTF8
_TENSORS = b"inference-header-content-length"


def is_plain(body: bytes, fields: Mapping[bytes, bytes]) -> bool:
    """Return whether a body is as most are, JSON or tensors as they came, so that there is nothing to decode."""
    kind = fields.get(b"content-type", b"")
    return kind in _PLAIN and b"content-encoding" not in fields and not body.startswith(_BOM)


def decoded_body(body: bytes, fields: Mapping[bytes, bytes], max_bytes: int) -> bytes:
    """Return a body without its codings and as UTF-8.

    Raises RequestRefused: 415 of what is not read here, 413 of more than `max_bytes`, 400 of what is damaged.
    """
    if (coding := fields.get(b"content-encoding")) is not None:
        for one in reversed(content_codings(coding)):
            body = _decompressed(body, one, max_bytes)
    charset = _charset(fields.get(b"content-type", b""))
    if charset != "utf-8":
        if _TENSORS in fields:
            raise RequestRefused(415, f"a body with tensors has its JSON as UTF-8, not {charset}")
        body = _as_utf8(body, charset, max_bytes)
    if body.startswith(_BOM) and _TENSORS not in fields:
        return body[len(_BOM) :]
    return body


def compressed(content: bytes, coding: bytes) -> bytes:
    """Return a content in one of `CODINGS`."""
    if coding == b"zstd":
        return zstd.compress(content, _FAST)
    return zlib.compress(content, _FAST, _GZIP if coding == b"gzip" else _ZLIB)


def _decompressed(body: bytes, coding: bytes, max_bytes: int) -> bytes:
    parts, size = [], 0
    for _ in range(_MOST_MEMBERS):
        decompressor = _decompressor(coding, body)
        try:
            part = decompressor.decompress(body, max_bytes + 1 - size)
        except (zlib.error, zstd.ZstdError) as error:
            raise RequestRefused(400, f"the body is no {coding.decode()}: {error}") from error
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            raise RequestRefused(413, f"the body is over {max_bytes} bytes long once it is decompressed, the limit")
        if not decompressor.eof:
            raise RequestRefused(400, f"the body ends in the middle of its {coding.decode()}")
        body = decompressor.unused_data
        if not body:
            return b"".join(parts)
    raise RequestRefused(400, f"the body is over {_MOST_MEMBERS} streams of {coding.decode()}; send one")


def _decompressor(coding: bytes, body: bytes) -> Any:
    if coding == b"zstd":
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
    if coding == b"gzip":
        return zlib.decompressobj(_GZIP)
    # RFC 9110 has `deflate` in zlib's form, which begins so; some clients send it bare.
    is_zlib = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return zlib.decompressobj(_ZLIB if is_zlib else _RAW)


@lru_cache(128)
def _charset(content_type: bytes) -> str:
    """Return the character set of a body, by Python's name; raises RequestRefused (415) of one that is not read."""
    kind, *parameters = (part.strip() for part in content_type.split(b";"))
    kind = kind.lower()
    if kind not in _READ_AS_JSON and not kind.endswith(b"+json"):
        said = shown(kind.decode("latin-1"))
        raise RequestRefused(415, f"Content-Type is {said}; send application/json, or tensors after it", _ACCEPTED)
    named = [one.partition(b"=")[2].strip(b' "') for one in parameters if one.lower().startswith(b"charset")]
    charset = named[0].decode("latin-1") if named else "utf-8"
    try:
        known = codecs.lookup(charset).name
    except (LookupError, ValueError):
        known = ""
    if known not in _CHARSETS:
        raise RequestRefused(415, f"charset {shown(charset)} is not read here; send UTF-8", _ACCEPTED)
    return "utf-8" if known == "ascii" else known


_ACCEPTED = ((b"accept", b"application/json, application/octet-stream"),)


def _as_utf8(body: bytes, charset: str, max_bytes: int) -> bytes:
    try:
        body = body.decode(charset).encode()
    except UnicodeError as error:
        raise RequestRefused(400, f"the body is no {charset}: {error}") from error
    if len(body) > max_bytes:
        raise RequestRefused(413, f"the body has {len(body)} bytes as UTF-8; the limit is {max_bytes}")
    return body
