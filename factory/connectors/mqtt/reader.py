"""`MqttReader`: messages of a topic as rows, exactly as they came.

A message is one JSON object, a row, or a list of them. Its values are texts as in a JSON file, a number as it was sent;
beside them `topic` and `received_at`. What is neither stands whole in `_unparsed` and waits in quarantine.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars as pl

from factory.connectors.mqtt.inbox import Received, shared_inbox
from factory.connectors.mqtt.session import SessionOptions
from factory.connectors.tables.arguments import TableAt
from factory.connectors.tables.json_text import DECODER, TwiceError, text_of_json
from factory.connectors.tables.place import Place
from factory.connectors.tables.reader import BATCH_ROWS, Narrowing
from factory.connectors.web.reading import as_source
from factory.storage.columns import FILE, LINE, UNPARSED

TOPIC, RECEIVED = "topic", "received_at"
_MOMENT = pl.Datetime("us", "UTC")


class MqttReader:
    """The messages of one topic, or of a filter such as `plant/+/telemetry`, that are not in the lake yet."""

    sparse = True
    arrival = RECEIVED

    def __init__(self, place: Place, at: TableAt) -> None:
        options = SessionOptions.of(at.query, f"table {place.table}")
        self.place = place
        self._inbox = shared_inbox(place.at, place.table, at.access, options)

    def schema(self) -> dict[str, pl.DataType]:
        """Return the keys of the messages that are there, and what is known of each message."""
        with as_source(self.place.table):
            keys = [key for _, record, _ in _records(self._inbox.drained()) for key in record or ()]
        return {TOPIC: pl.String(), RECEIVED: _MOMENT, **dict.fromkeys(keys, pl.String())}

    def state(self, cursor: str) -> None:  # noqa: ARG002  messages come once, whatever the cursor
        """Return that the table is never read whole."""
        return

    def batches(self, columns: Sequence[str], only: Narrowing, row_number: str = "") -> Iterator[pl.DataFrame]:  # noqa: ARG002
        """Yield the messages' rows in the order they came, with FILE, the topic, and LINE, the message's number."""
        with as_source(self.place.table):
            held = self._inbox.drained()
        for first in range(0, len(held), BATCH_ROWS):
            frame = _frame(list(_records(held[first : first + BATCH_ROWS])), columns)
            if row_number:
                numbers = pl.int_range(first + 1, first + 1 + len(frame), dtype=pl.Int64, eager=True)
                frame = frame.with_columns(numbers.alias(row_number))
            yield frame

    def acknowledge(self, lines: pl.Series) -> None:
        """Tell the broker of the messages whose rows are all in the lake."""
        there = Counter(lines)
        records = Counter(message.number for message, _, _ in _records(self._inbox.held(there)))
        self._inbox.acknowledge([number for number, rows in records.items() if there[number] >= rows])


Row = tuple[Received, dict[str, Any] | None, str | None]


def _records(held: Iterable[Received]) -> Iterator[Row]:
    """Yield each message's records; of what is no record its text."""
    for message in held:
        text = message.payload.decode("utf-8", errors="backslashreplace")
        try:
            value = DECODER.decode(text)
        except (json.JSONDecodeError, TwiceError, RecursionError):
            value = None
        records = value if isinstance(value, list) else [value]
        if records and all(isinstance(one, dict) for one in records):
            yield from ((message, record, None) for record in records)
        else:
            yield message, None, text


def _frame(rows: Sequence[Row], columns: Sequence[str]) -> pl.DataFrame:
    """Return rows as a frame of the columns that are wanted, and of whatever else a message has."""
    keys = dict.fromkeys([*columns, *(key for _, record, _ in rows for key in record or ())])
    own = {
        TOPIC: pl.Series(TOPIC, [message.topic for message, _, _ in rows], pl.String),
        RECEIVED: pl.Series(RECEIVED, [message.at for message, _, _ in rows], _MOMENT),
    }
    values = {
        key: pl.Series(key, [text_of_json((record or {}).get(key)) for _, record, _ in rows], pl.String)
        for key in keys
        if key not in own
    }
    return pl.DataFrame(
        {
            **own,
            **values,
            FILE: own[TOPIC].alias(FILE),
            LINE: pl.Series(LINE, [message.number for message, _, _ in rows], pl.Int64),
            UNPARSED: pl.Series(UNPARSED, [text for _, _, text in rows], pl.String),
        }
    )
