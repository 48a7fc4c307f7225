"""A request that is answered with an error."""

from factory.errors import FactoryError

Headers = tuple[tuple[bytes, bytes], ...]


class RequestRefused(FactoryError):  # noqa: N818  named like the other refusals in factory.errors
    """What the client is told: the HTTP status, what was found and expected, and headers that help a program."""

    def __init__(self, status: int, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


def come_again(status: int, message: str, after_s: int) -> RequestRefused:
    """Return a refusal for now, which says after how many seconds to come again."""
    return RequestRefused(status, message, ((b"retry-after", b"%d" % after_s),))


def shown(text: str) -> str:
    """Return a client's text for a message: quoted, and cut at 80 characters."""
    return repr(text if len(text) <= 80 else f"{text[:80]}…")
