"""Decisions onto the screens of a site's people: the gateway shows them to who has a key for the site's model.

`to: screen:` in the line's file. The newest stay beside the models (factory/release/screen_feed.py), and the gateway
gives them as JSON or as server-sent events: GET /v1/lines/<line>/sites/<site>/decisions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.connectors.sinks.message import Message, Result, accepted, busy
from factory.connectors.sinks.sink import Job
from factory.errors.masking import masked
from factory.names import model_name
from factory.release.screen_feed import KEPT, ScreenFeeds

SCREEN = "screen:"


@dataclass(frozen=True, kw_only=True)
class ScreenSink:
    """The screens of one line's sites."""

    line: str
    models: Path
    """The folder of the model repository."""
    batch_size: int = KEPT
    repeatable: bool = True

    def check(self) -> list[str]:
        """Any field can be shown."""
        return []

    def deliver(self, messages: Sequence[Message], job: Job) -> Iterable[Result]:  # noqa: ARG002  the feed knows keys
        """Show the decisions, site by site."""
        for site in dict.fromkeys(message.site for message in messages):
            mine = [message for message in messages if message.site == site]
            try:
                self._feeds.add(
                    model_name(self.line, site),
                    [(message.key, message.action == "withdraw", message.fields) for message in mine],
                )
            except (OSError, ValueError) as error:
                yield from (busy(message, masked(str(error))) for message in mine)
            else:
                yield from (accepted(message) for message in mine)

    def present(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Return which are among those that a screen is given."""
        sites = {message.site for message in messages}
        shown = {site: self._feeds.shown(model_name(self.line, site)).decisions for site in sites}
        keys = {site: {one.message_key for one in decisions} for site, decisions in shown.items()}
        return {message.id: "" for message in messages if message.key in keys[message.site]}

    def close(self) -> None:
        """Nothing is open."""

    @property
    def _feeds(self) -> ScreenFeeds:
        return ScreenFeeds(models=self.models)
