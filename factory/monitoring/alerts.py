"""Where a person is told that something happened: the log, a webhook, and mail or chat through Apprise's addresses.

Addresses hold secrets. They are bound as environment variables, by name, so that the orchestrator neither stores nor
shows them, and no log contains them.
"""

import json
import logging
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from factory.monitoring.alert_message import Message, Picture

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """Tells people. An alert that cannot be delivered is logged and stops nothing: what it reports has happened."""

    webhook: str | None = field(default=None, repr=False)
    """An http or https address that takes alerts as JSON by POST; a secret."""
    addresses: str | None = field(default=None, repr=False)
    """Addresses of mail, chat and other services as Apprise writes them, space-separated; secrets."""
    timeout_s: float = 10.0
    """How long the webhook may take, and each address."""

    def __post_init__(self) -> None:
        """Raise ValueError on a webhook that is no web address, without naming it: it is a secret."""
        if self.webhook is not None and not self.webhook.startswith(("http://", "https://")):
            raise ValueError("the webhook is no http or https address")

    def tell(self, kind: str, text: str, *, picture: str | bytes | None = None, **facts: Any) -> bool:
        """Tell people; return whether every receiver took it. The picture is SVG as text, or PNG.

        The webhook gets `{"kind", "text", "at", …facts}`, where `text` is what chat programs show, and the picture as
        a data address; the others get a title, the text with the facts below it, and the picture attached.
        """
        log.warning("%s: %s", kind, text)
        message = Message(kind=kind, text=text, facts=facts, picture=_picture(picture))
        places = (self.addresses or "").split()
        taken = [self._sent(address, number, message) for number, address in enumerate(places, 1)]
        return all([*taken, self._posted(message)])

    def _posted(self, message: Message) -> bool:
        if self.webhook is None:
            return True
        body = json.dumps(message.to_dict(), default=str).encode()
        request = urllib.request.Request(self.webhook, body, {"Content-Type": "application/json"})  # noqa: S310  checked
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s):  # noqa: S310  checked above
                return True
        except (OSError, ValueError) as error:
            return _undelivered(message, "the webhook", _why(error))

    def _sent(self, address: str, number: int, message: Message) -> bool:
        """Send to one of the addresses; messages name it by its number and kind alone."""
        place = f"address {number} ({address.partition('://')[0]})" if "://" in address else f"address {number}"
        try:
            with _silenced():
                service = _service(address)
                sent = service.notify(
                    message.body,
                    title=message.title,
                    body_format="text",  # nothing in it is taken for HTML
                    attach=_attachment(message.picture),
                    timeout=self.timeout_s,
                )
        except Exception as error:  # noqa: BLE001  others' code for a hundred services: an alert stops nothing
            return _undelivered(message, place, _why(error))
        refused = "it did not take the alert" if service else "Apprise knows no such address"
        return bool(sent) or _undelivered(message, place, refused)


def _picture(drawn: str | bytes | None) -> Picture | None:
    """Return the picture; None also where it is no SVG or PNG: the alert goes out without it."""
    try:
        return None if drawn is None else Picture.of(drawn)
    except ValueError as error:
        log.error("the alert goes without its picture: %s", error)
        return None


def _service(address: str) -> Any:
    """Return the sender of the address; it is false, and sends nothing, where Apprise knows no such address."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Apprise's modules import a deprecated one of Python
        import apprise

        service = apprise.Apprise()
        service.add(address)
    return service


def _attachment(picture: Picture | None) -> Any:
    from apprise.attachment.memory import AttachMemory

    return picture and AttachMemory(picture.content, name=picture.file, mimetype=picture.media_type)


def _undelivered(message: Message, place: str, why: str) -> bool:
    log.error("the alert %r could not be delivered to %s: %s", message.kind, place, why)
    return False


def _why(error: Exception) -> str:
    return f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep Apprise and its HTTP client from logging meanwhile: their lines contain addresses."""
    loggers = {logging.getLogger(name): logging.CRITICAL + 1 for name in ("apprise", "urllib3.connectionpool")}
    before = {logger: logger.level for logger in loggers}
    for logger, level in loggers.items():
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)
