"""`MqttSink`: decisions as messages of a topic, JSON objects with the message's key, QoS 1.

A broker cannot be asked what it has: a message whose acknowledgement was lost is sent again under its key, and whoever
subscribes takes a key once. The key stands in the object, and in the user property `message-key`.
"""

import json
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from factory.connectors.mqtt.session import connected
from factory.connectors.sinks.kinds import Target
from factory.connectors.sinks.message import Message, Result, accepted, busy, refused, unknown
from factory.connectors.sinks.sink import Job
from factory.errors import LineError, ServiceError, ServiceRefused, ServiceUnreachable

SITE = "{site}"
_LATER = ("Quota exceeded", "Server busy", "Receive maximum exceeded", "Message rate too high")


@dataclass(frozen=True, kw_only=True)
class MqttOptions:
    """What a line's file may say of how messages are published."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    timeout_s: float = 30.0
    """How long the broker's acknowledgements may take."""

    def __post_init__(self) -> None:
        """Raise ValueError on a number that cannot be."""
        if self.timeout_s <= 0:
            raise ValueError("timeout_s must be above 0")


def mqtt_sink(target: Target) -> "MqttSink":
    """Return the sink of a topic such as `mqtts://host::decisions/{site}`; raises LineError."""
    if not target.thing or re.search(r"[+#\0]", target.thing):
        raise LineError(f"{target.named}: say the topic behind the address, without wildcards, as ::decisions/{SITE}")
    return MqttSink(target, target.options(MqttOptions))


class MqttSink:
    """One topic, or one for each site."""

    def __init__(self, target: Target, options: MqttOptions) -> None:
        self.target, self._options = target, options

    @property
    def batch_size(self) -> int:
        """How many messages wait for the broker at once."""
        return 1000

    @property
    def repeatable(self) -> bool:
        """A message sent twice has one key, by which its subscribers take it once; nobody else can be asked."""
        return True

    def check(self) -> list[str]:
        """Return nothing: a topic has no fields to compare with; raises ServiceError where the broker is not there."""
        with self._opened({}):
            return []

    def deliver(self, messages: Sequence[Message], job: Job) -> Iterable[Result]:  # noqa: ARG002  nothing to keep
        """Publish messages, and give what the broker said of each."""
        answers: dict[int, ReasonCode] = {}
        try:
            with self._opened(answers) as client:
                sent = {
                    message.id: client.publish(*self._said(message), qos=1, properties=_key(message))
                    for message in messages
                }
                ends = time.monotonic() + self._options.timeout_s
                while any(one.mid not in answers for one in sent.values()) and time.monotonic() < ends:
                    if not client.is_connected():
                        break
                    time.sleep(0.005)
        except ServiceError as error:
            return [busy(message, str(error)) for message in messages]
        return [_result(message, answers.get(sent[message.id].mid)) for message in messages]

    def present(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Raise ServiceRefused: a broker does not tell what it had."""
        raise ServiceRefused(f"{self.target.named}: a broker cannot be asked for {len(messages)} messages", status=0)

    def close(self) -> None:
        """Nothing is open: each delivery has a connection of its own."""

    def _said(self, message: Message) -> tuple[str, bytes]:
        record = {self.target.section.key or "message_key": message.key, **message.fields}
        return self.target.thing.replace(SITE, message.site), json.dumps(record, ensure_ascii=False).encode()

    @contextmanager
    def _opened(self, answers: dict[int, ReasonCode]) -> Iterator[Client]:
        """Connect for the block; what the broker says of each message comes into `answers`, by its number."""
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5, reconnect_on_failure=False)
        came, told = threading.Event(), list[ReasonCode]()

        def let_in(*said: Any) -> None:
            told.append(said[3])
            came.set()

        client.on_connect = let_in
        client.on_publish = lambda *said: answers.__setitem__(said[2], said[3])
        client.max_inflight_messages_set(self.batch_size)
        connected(client, self.target.address, self.target.access, clean_start=True)
        client.loop_start()
        try:
            if not came.wait(self._options.timeout_s):
                raise ServiceUnreachable(f"{self.target.named}: the broker {self.target.shown} does not answer")
            if told[0].is_failure:
                raise ServiceRefused(
                    f"{self.target.named}: the broker {self.target.shown} does not let us in: {told[0]}; mend `access`",
                    status=told[0].value,
                )
            yield client
        finally:
            client.disconnect()
            client.loop_stop()


def _key(message: Message) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = [("message-key", message.key)]
    return properties


def _result(message: Message, answer: ReasonCode | None) -> Result:
    if answer is None:
        return unknown(message, "the broker did not acknowledge it in time")
    if not answer.is_failure:
        return accepted(message, message.key, str(answer))
    return busy(message, str(answer)) if str(answer) in _LATER else refused(message, str(answer))
