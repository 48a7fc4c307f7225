"""Looks for words in every file of a folder: as bytes, in UTF-16, base64, escapes of JSON, and in packed files."""

import base64
import bz2
import gzip
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import polars as pl


def places_of(folder: Path, words: Iterable[str]) -> list[str]:
    """Return which files have one of the words, and in which form."""
    forms = [(word, name, form) for word in words for name, form in _forms(word)]
    return [
        f"{place.relative_to(folder)} ({what}{name}: {word})"
        for place in sorted(folder.rglob("*"))
        for what, content in [("name ", str(place.relative_to(folder)).encode()), *_contents(place)]
        for word, name, form in forms
        if form in content
    ]


def _forms(word: str) -> Iterator[tuple[str, bytes]]:
    yield "utf-8", word.encode()
    yield "utf-16", word.encode("utf-16-le")
    yield "utf-16 be", word.encode("utf-16-be")
    escaped = json.dumps(word)[1:-1].encode()
    if escaped != word.encode():
        yield "json", escaped
    for start in range(3):  # where in a group of three bytes the word may begin
        inner = base64.b64encode(b"\0" * start + word.encode())[(start * 8 + 5) // 6 :]
        cut = inner.rstrip(b"=")[:-1]
        if len(cut) >= 6:
            yield "base64", cut
            yield "base64", cut.translate(bytes.maketrans(b"+/", b"-_"))


def _contents(place: Path) -> Iterator[tuple[str, bytes]]:
    """Yield a file's bytes, and what is packed in them."""
    if place.is_symlink() or not place.is_file():
        return
    content = place.read_bytes()
    yield "", content
    yield from _unpacked(place, content)


def _unpacked(place: Path, content: bytes) -> Iterator[tuple[str, bytes]]:
    if content.startswith(b"PAR1"):
        rows = pl.read_parquet(place, hive_partitioning=False)
        yield "parquet ", rows.write_json().encode()
    openers: dict[bytes, Callable[[bytes], bytes]] = {
        b"\x1f\x8b": gzip.decompress,
        b"BZh": bz2.decompress,
        b"\xfd7zXZ\x00": lzma.decompress,
        b"x\x9c": zlib.decompress,
    }
    for sign, opened in openers.items():
        if content.startswith(sign):
            with suppress(Exception):
                yield "packed ", opened(content)
    if content.startswith(b"(\xb5/\xfd"):
        from backports import zstd

        yield "packed ", zstd.decompress(content)
    if zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as parts:
            for name in parts.namelist():
                yield "packed ", name.encode() + b"\n" + parts.read(name)
