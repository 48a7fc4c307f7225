"""An inbox: messages of a topic that a broker gave us, held until they are in the lake, and then acknowledged.

The broker keeps a message until it is acknowledged, by this process or another: whatever dies before gets it again.
"""

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from factory.connectors.mqtt.session import MOST_HELD, SessionOptions, connected, name_of
from factory.connectors.web.access import Access
from factory.errors import ServiceRefused, ServiceUnreachable
from factory.errors.masking import masked

_ANSWER_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Received:
    """One message: its place in this inbox from 1, and when it came."""

    number: int
    topic: str
    payload: bytes
    at: datetime
    mid: int
    qos: int


class Inbox:
    """What one session with a broker holds of a topic's filter."""

    def __init__(self, address: str, topic: str, access: Access | None, options: SessionOptions) -> None:
        self.address, self.topic = address, topic
        self._access, self._options = access, options
        self._name = options.client_id or name_of(address, topic)
        self._held: dict[int, Received] = {}
        self._count = 0
        self._changed = threading.Condition()
        self._client: Client | None = None
        self._answers: dict[str, Any] = {}
        self._why = ""

    def drained(self) -> list[Received]:
        """Return what is held, after as many messages came in as are there; raises ServiceError."""
        with self._changed:
            if self._client is None:
                self._connect()
            end, count = time.monotonic() + self._options.longest_s, -1
            while count != self._count and len(self._held) < self._options.most and time.monotonic() < end:
                count = self._count
                self._changed.wait_for(lambda: self._count != count, self._options.quiet_s)  # noqa: B023  waits here
            if self._client is None:
                raise ServiceUnreachable(
                    f"the connection to the broker {masked(self.address)} was lost ({self._why}), and what it had sent "
                    f"comes again; where the session was taken over, another process reads as {self._name}: give each "
                    "reader a `client_id` of its own"
                )
            return list(self._held.values())[: self._options.most]

    def held(self, numbers: Collection[int]) -> list[Received]:
        """Return those of some messages that are still held."""
        with self._changed:
            return [self._held[number] for number in numbers if number in self._held]

    def acknowledge(self, numbers: Collection[int]) -> None:
        """Let the broker forget messages; it keeps those of a connection that was lost, and sends them again."""
        with self._changed:
            for number in numbers:
                received = self._held.pop(number, None)
                if received is not None and received.qos and self._client is not None:
                    self._client.ack(received.mid, received.qos)

    def close(self) -> None:
        """Leave the broker, which keeps the session and what is not acknowledged."""
        with self._changed:
            client, self._client = self._client, None
            self._held.clear()
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _connect(self) -> None:
        client = Client(
            CallbackAPIVersion.VERSION2, self._name, protocol=MQTTv5, manual_ack=True, reconnect_on_failure=False
        )
        client.on_message = self._take
        client.on_connect = lambda *told: self._answered("connected", told[3])
        client.on_subscribe = lambda *told: self._answered("subscribed", told[3][0])
        client.on_disconnect = lambda *told: self._lost(client, told[3])
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = int(self._options.session_days * 86_400)
        session.ReceiveMaximum = MOST_HELD
        self._answers, self._client = {}, client
        self._held.clear()
        try:
            connected(client, self.address, self._access, clean_start=False, properties=session)
            client.loop_start()
            self._require("connected", "does not let us in")
            client.subscribe(self.topic, options=SubscribeOptions(qos=1, retainHandling=1))
            self._require("subscribed", f"does not let us read {self.topic}")
        except BaseException:
            self._client = None
            client.disconnect()  # its thread ends by itself: it may wait for us
            raise

    def _require(self, what: str, refusal: str) -> None:
        if not self._changed.wait_for(lambda: what in self._answers or self._client is None, _ANSWER_S):
            raise ServiceUnreachable(f"the broker {masked(self.address)} does not answer")
        reason = self._answers.get(what)
        if reason is None or reason.is_failure:
            raise ServiceRefused(
                f"the broker {masked(self.address)} {refusal}: {reason or 'it closed the connection'}; mend `access` "
                "or what it lets this user do; it must speak MQTT 5",
                status=reason.value if reason is not None else 0,
            )

    def _answered(self, what: str, reason: Any) -> None:
        with self._changed:
            self._answers[what] = reason
            self._changed.notify_all()

    def _lost(self, client: Client, why: Any) -> None:
        """Forget what is held: it cannot be acknowledged any more, and comes again in the next connection."""
        with self._changed:
            if self._client is client:
                self._client, self._why = None, str(why)
                self._held.clear()
            self._changed.notify_all()

    def _take(self, _client: Client, _told: Any, message: MQTTMessage) -> None:
        with self._changed:
            self._count += 1
            self._held[self._count] = Received(
                number=self._count,
                topic=message.topic,
                payload=bytes(message.payload),
                at=datetime.now(UTC),
                mid=message.mid,
                qos=message.qos,
            )
            self._changed.notify_all()


_inboxes: dict[tuple[str, str, str], Inbox] = {}
_opening = threading.Lock()


def shared_inbox(address: str, topic: str, access: Access | None, options: SessionOptions) -> Inbox:
    """Return this process's inbox of a topic: who looks, who reads and who acknowledges have the same messages."""
    key = address, topic, f"{access!r} {options!r}"
    with _opening:
        return _inboxes.setdefault(key, Inbox(address, topic, access, options))
