"""The file of API keys: a JSON list of names, hashes and what each key opens; no key itself."""

import hashlib
import math
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from factory.errors import KeyRefused
from factory.names import checked_name
from factory.storage.atomic_files import create_file, temporary_name
from factory.storage.faults import make_folder

SHOWN_ONCE = "fk_"
"""What every key begins with, so that one that leaked is found."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key, by its SHA-256 in hexadecimal; lines and sites that it opens, None for all."""

    name: str
    sha256: str
    lines: tuple[str, ...] | None = None
    sites: tuple[str, ...] | None = None
    rows_per_s: float = 0.0
    """0 for no limit."""
    manage: bool = False
    """Whether it may load and unload models."""


def read_keys(place: Path) -> list[Key]:
    """Return the keys in a file; raises KeyRefused where it is none."""
    try:
        return msgspec.json.decode(place.read_bytes(), type=list[Key])
    except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        raise KeyRefused(f"{place} is no key file: {error}; `factory key` writes one") from error


def add_key(place: Path, name: str, **opens: object) -> str:
    """Add a key that opens what `Key` names, or replace the one of this name, and return it: it is kept nowhere.

    Raises KeyRefused on a rate that is none, NameRefused on a line or a site that none can be named.
    """
    secret = SHOWN_ONCE + secrets.token_urlsafe(32)
    key = msgspec.convert({"name": name, "sha256": hashlib.sha256(secret.encode()).hexdigest(), **opens}, Key)
    if not 0 <= key.rows_per_s < math.inf:
        raise KeyRefused(
            f"{key.rows_per_s:g} rows a second cannot be kept to; give 0, for no limit, or a number above it"
        )
    for what, names in (("line", key.lines), ("site", key.sites)):
        for opened in names or ():
            checked_name(opened, what)
    _write(place, [*(other for other in _kept(place) if other.name != name), key])
    return secret


def remove_key(place: Path, name: str) -> None:
    """Let a key count no longer; raises KeyRefused where there is none of this name."""
    keys = _kept(place)
    if name not in {key.name for key in keys}:
        raise KeyRefused(f"no key {name!r} in {place}; there are {sorted(key.name for key in keys)}")
    _write(place, [key for key in keys if key.name != name])


def is_last(place: Path, name: str) -> bool:
    """Whether this key is the only one: a file without keys lets nobody in, and no file lets everybody in."""
    return [key.name for key in _kept(place)] == [name]


def _kept(place: Path) -> list[Key]:
    return read_keys(place) if place.exists() else []


def _write(place: Path, keys: Sequence[Key]) -> None:
    """Put the file in place in one rename, readable by its owner alone."""
    make_folder(place.parent)
    new = place.with_name(temporary_name(place.name))
    create_file(new, msgspec.json.format(msgspec.json.encode([asdict(key) for key in keys])), mode=0o600)
    new.replace(place)
