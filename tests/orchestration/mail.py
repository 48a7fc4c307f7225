"""A real mail server on the loopback that keeps what it gets."""

import email.policy
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


@contextmanager
def mail_server() -> Iterator[tuple[str, list[EmailMessage]]]:
    """Give the address that Apprise reaches it by, with a password in it, and the messages that came."""
    came: list[EmailMessage] = []

    class Handler:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
            came.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
            return "250 OK"

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Controller(Handler(), hostname="127.0.0.1", port=port)
    server.start()
    try:
        yield f"mailto://127.0.0.1:{port}/?from=factory@example.com&to=ops@example.com&mode=insecure", came
    finally:
        server.stop()
