"""Masking secrets: the one place that decides what of a URL, an option or another program's message may be shown.

A text that may hold secrets comes in; the same text with `***` in their places goes out. Of a URL stay driver, host,
port and path (a database's name); user, password, query and whatever else follows are masked. A secret is known by its
place (in a URL, after a name such as `password=`, in a header), or because it was given to `keep_secret`: then it is
found in any text, for libraries repeat what they were given in ways of their own.
"""

import re
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "***"
ENVIRONMENT = "env:"
"""What stands, where a line's file needs a secret, before the name of the variable that holds it."""
_URL = re.compile(r"([A-Za-z][\w+.-]{0,40})://([^\s'\"<>`]*)")
_QUERY = re.compile(r"\?(?=[\w.%-]+=)")
_PORT = re.compile(r":\d*\Z")
_HOST_AND_PORT = re.compile(r"[^:]*(?::\d+)?")
_CONTAINERS = ("abfs", "abfss", "wasb", "wasbs")
"""Schemes whose addresses have a container's name where others have a user's."""
_SECRET_NAME = re.compile(
    r"(?:passw(?:or)?d|passwd|passphrase|pwd|secret|token|(?:api|access|account|master|shared|private|ssl|secret)[_-]?key|"
    r"credentials?|connection[_-]?string|(?<![A-Za-z])(?:pass|sas|sig|signature|auth|authorization))"
    r"(?:[_-]?(?:id|base64|json|data|value))?\Z",
    re.IGNORECASE,
)
_FOLDERS = ("PWD", "OLDPWD")
"""What a shell calls the folder that one stands in."""
_VALUE = r"""(\{(?:[^}]|\}\})*\}|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s;&,'")}\]]+)"""
_ASSIGNED = re.compile(rf"([\w.-]{{1,60}})(\s*=\s*){_VALUE}")
_ENTRY = re.compile(rf"""(['"])([\w .-]{{1,60}})\1(\s*:\s*){_VALUE}""")
_HEADER = re.compile(r"\b(Bearer|Basic|Digest|SharedKey|AWS4-HMAC-SHA256)\s+[\w+/=.:~-]{6,}")
_RELATIVE_QUERY = re.compile(r"(?<=[\w/.~%-])\?[\w.%\[\]-]+=[^\s'\"<>`]*")

_PARAMETER = re.compile(r"[?&;]([^=&;]*)=([^?&;]*)")
_ASSIGNMENT = re.compile(r"([\w -]+)=([^;]*)")

_ANYWHERE = 12
"""A kept secret of so many characters is masked wherever it stands; a shorter one only as a word of its own."""
_SHORTEST = 4
_keeping = threading.Lock()
_kept: frozenset[str] = frozenset()
_kept_pattern: re.Pattern[str] | None = None


def masked(text: str) -> str:
    """Return the text without secrets; a text that has none comes out as it is, and masking twice changes nothing."""
    if _kept_pattern is not None:
        text = _kept_pattern.sub(MASK, text)
    text = _URL.sub(lambda url: f"{url[1]}://{_place(url[1], url[2])}", text)
    text = _ENTRY.sub(lambda said: said[0] if not is_secret_name(said[2]) else f"{_before(said, 4)}'{MASK}'", text)
    text = _ASSIGNED.sub(lambda said: said[0] if not is_secret_name(said[1]) else f"{_before(said, 3)}{MASK}", text)
    text = _HEADER.sub(lambda header: f"{header[1]} {MASK}", text)
    return _RELATIVE_QUERY.sub(f"?{MASK}", text)


def _before(said: re.Match[str], group: int) -> str:
    return said[0][: said.start(group) - said.start()]


def masked_values(values: Mapping[str, str]) -> dict[str, str]:
    """Return options or tags by their names, without secrets."""
    return {name: MASK if is_secret_name(name) and value else masked(value) for name, value in values.items()}


def without_secrets(url: str) -> str:
    """Return a web address that a browser can open, without user, password and query."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split(r'[?#]', _split_user_info(rest)[1], maxsplit=1)[0]}"


def is_secret_name(name: str) -> bool:
    """Whether an option, a variable or a query's parameter of this name holds a secret."""
    return bool(_SECRET_NAME.search(name))


def has_secret(url: str) -> bool:
    """Whether a URL has a password, or a parameter that is a secret, and so must not be written into a file."""
    _, _, rest = url.partition("://")
    return ":" in _split_user_info(rest)[0] or any(_secrets_of_parameters(rest))


def masked_cause(error: BaseException) -> BaseException:
    """Return what to chain as an error's cause: the error itself, or, where its text has a secret, a stand-in.

    The stand-in has the error's type as text, its masked message and its traceback, and nothing behind it.
    """
    whole = "".join(traceback.format_exception(error))
    if masked(whole) == whole:
        return error
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    return MaskedError(f"{kind}: {masked(str(error))}").with_traceback(error.__traceback__)


class MaskedError(Exception):
    """Stands for an error whose own text has a secret."""


def keep_secret(*texts: str) -> None:
    """Mask what is secret in URLs, or these texts themselves where they are none, in whatever is shown from now on."""
    _keep(secret for text in texts for secret in (_secrets_of_url(text) if "://" in text else [text]))


def keep_secrets_of(options: Mapping[str, str]) -> None:
    """Mask the secrets among options or environment variables, known by their names, and those in URLs among them."""
    secret = (name for name in options if is_secret_name(name) and name not in _FOLDERS)
    keep_secret(*(options[name] for name in secret), *(value for value in options.values() if "://" in value))


def _keep(secrets: Iterable[str]) -> None:
    global _kept, _kept_pattern  # noqa: PLW0603  what this process was given is one thing for all of it
    with _keeping:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST}
        if forms <= _kept:
            return
        _kept |= forms
        longest_first = sorted(_kept, key=len, reverse=True)
        _kept_pattern = re.compile("|".join(map(_pattern_of, longest_first)))


def _pattern_of(secret: str) -> str:
    exact = re.escape(secret)
    return exact if len(secret) >= _ANYWHERE else rf"(?<![A-Za-z0-9]){exact}(?![A-Za-z0-9])"


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is written in URLs, in Python's and in JSON's texts."""
    plain = (secret, unquote(secret), unquote_plus(secret))
    for text in plain:
        yield from (text, quote(text, safe=""), quote(text), quote_plus(text), repr(text)[1:-1])
        yield text.replace("\\", "\\\\").replace('"', '\\"')


def _secrets_of_url(url: str) -> Iterator[str]:
    """Yield what stands before the `@`, the password in it, and the parameters that are secrets."""
    _, _, rest = url.partition("://")
    user_info, rest = _split_user_info(rest)
    yield from (user_info, user_info.partition(":")[2])
    yield from _secrets_of_parameters(rest)


def _secrets_of_parameters(rest: str) -> Iterator[str]:
    """Yield the values of parameters that are secrets by their names, those of a connection string in one too.

    What follows such a value is taken for a part of it as well: a value that was not quoted may have any sign in it.
    """
    for said in _PARAMETER.finditer(rest):
        name, value = unquote(said[1]), said[2]
        if is_secret_name(name):
            yield from (value, rest[said.start(2) :])
        yield from (text for inner, text in _ASSIGNMENT.findall(unquote_plus(value)) if is_secret_name(inner))


def _split_user_info(rest: str) -> tuple[str, str]:
    """Return what stands before the `@` of a URL, and what comes after; a password may have any sign in it."""
    before_path, before_query = rest.partition("/")[0], _QUERY.split(rest, maxsplit=1)[0]
    if "@" in before_query:
        place = before_query if "@" in before_path or ":" in before_path else ""
    else:  # a question mark in a password, or an `@` in the query of a host and its port
        place = "" if _HOST_AND_PORT.fullmatch(re.split(r"[/?#]", rest, maxsplit=1)[0]) else rest
    user_info, at, host = place.rpartition("@")
    return (user_info, host + rest[len(place) :]) if at else ("", rest)


def _place(scheme: str, rest: str) -> str:
    """Return host, port and path of what follows `://`, with a mask for the user, and one for all that comes after."""
    user_info, rest = _split_user_info(rest)
    is_container = scheme in _CONTAINERS and ":" not in user_info
    shown = f"{user_info if is_container else MASK}@" if user_info else ""
    place = re.split(r"\?|;(?=\w+=)", rest, maxsplit=1)[0]
    after = rest[len(place) :]
    place, fragment = _without_fragment(place)
    authority, slash, path = place.partition("/")
    host, colon, port = authority.rpartition(":")
    if colon and not _PORT.match(f":{port.rstrip('.,:)]}')}") and not authority.startswith("["):
        authority = f"{host}:{MASK}"
    return f"{shown}{authority}{slash}{path}{fragment}{after[:1] + MASK if after else ''}"


def _without_fragment(place: str) -> tuple[str, str]:
    """Return a place and its fragment; that of a page, `#/…`, is a path and stays."""
    before, sharp, fragment = place.partition("#")
    if not sharp or fragment.startswith("/"):
        return place, ""
    return before, f"#{MASK}"
