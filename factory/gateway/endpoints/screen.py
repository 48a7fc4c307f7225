"""What a screen is given: its site's decisions that are new to it, as JSON for who polls, or as events for a browser.

An `EventSource` of a browser asks again by itself after RETRY_MS, with the number of the last decision that it has in
`Last-Event-ID`, as the HTML standard says of a stream that ends; who polls sends the same header. So no connection
stays open, and whichever process of the gateway is asked can answer.
"""

import logging
import re
from collections.abc import Mapping

import msgspec

from factory.gateway.http.messages import Answer, as_json
from factory.gateway.refusal import RequestRefused, come_again, shown
from factory.release.screen_feed import ScreenFeeds, Shown

log = logging.getLogger(__name__)
EVENTS = b"text/event-stream"
RETRY_MS = 2000
_NUMBER = re.compile(rb"[0-9]{1,15}")


def decisions(feeds: ScreenFeeds, model: str, headers: Mapping[bytes, bytes]) -> Answer:
    """Return what a site's screen has not had yet; raises RequestRefused on no number, or a damaged feed."""
    last = headers.get(b"last-event-id", b"0").strip() or b"0"
    if not _NUMBER.fullmatch(last):
        raise RequestRefused(400, f"Last-Event-ID is {shown(last.decode('latin-1'))}; send the number of a decision")
    try:
        new = feeds.shown(model, int(last))
    except (OSError, ValueError) as error:
        log.error("the feed of %s cannot be read: %s", model, error)
        raise come_again(503, "the decisions cannot be read now; the gateway's log says why", 5) from error
    if EVENTS in headers.get(b"accept", b""):  # who takes anything gets JSON
        return Answer(body=_events(new), kind=EVENTS, headers=((b"cache-control", b"no-store"),))
    return as_json(new)


def _events(new: Shown) -> bytes:
    """Return the decisions as server-sent events, after how long to come again."""
    events = [b"retry: %d\n\n" % RETRY_MS]
    for one in new.decisions:
        kind = b"withdrawn" if one.withdrawn else b"decision"
        events.append(b"id: %d\nevent: %b\ndata: %b\n\n" % (one.number, kind, msgspec.json.encode(one)))
    return b"".join(events)
