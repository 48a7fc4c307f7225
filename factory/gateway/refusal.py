"""A request that is answered with an error."""

from factory.errors import FactoryError


class RequestRefused(FactoryError):  # noqa: N818  named like the other refusals in factory.errors
    """What the client is told: the HTTP status, what was found and expected, and after how long to come again."""

    def __init__(self, status: int, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


def shown(text: str) -> str:
    """Return a client's text for a message: quoted, and cut at 80 characters."""
    return repr(text if len(text) <= 80 else f"{text[:80]}…")
