"""One alert: what happened comes in; a text for people and JSON for programs go out."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A drawing to look at: SVG as text, or PNG."""

    content: bytes
    kind: str
    """`svg` or `png`."""

    @classmethod
    def of(cls, drawn: str | bytes) -> "Picture":
        """Return SVG for text and PNG for bytes; raises ValueError on bytes that are no PNG."""
        if isinstance(drawn, str):
            return cls(content=drawn.encode(), kind="svg")
        if not drawn.startswith(b"\x89PNG\r\n\x1a\n"):
            raise ValueError("a picture is SVG as text, or the bytes of a PNG")
        return cls(content=drawn, kind="png")

    @property
    def media_type(self) -> str:
        """The MIME type."""
        return "image/svg+xml" if self.kind == "svg" else "image/png"

    @property
    def file(self) -> str:
        """The name that it is attached by."""
        return f"alert.{self.kind}"

    @property
    def data_url(self) -> str:
        """The picture as an address that a page can show without fetching anything."""
        return f"data:{self.media_type};base64,{b64encode(self.content).decode('ascii')}"


@dataclass(frozen=True, kw_only=True)
class Message:
    """An alert."""

    kind: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    picture: Picture | None = None

    @property
    def title(self) -> str:
        """One line that says what it is about and where, such as a mail's subject."""
        where = " ".join(str(self.facts[name]) for name in ("line", "site") if self.facts.get(name))
        return " ".join(f"AI factory: {self.kind}{f' ({where})' if where else ''}".split())

    @property
    def body(self) -> str:
        """The text, and a line for each fact that is known."""
        lines = [f"{name}: {value}" for name, value in self.facts.items() if value is not None]
        return "\n".join([self.text, "", *lines]).strip()

    def to_dict(self) -> dict[str, Any]:
        """Return `{"kind", "text", "at", …facts}` and, with a picture, `picture` as a data address."""
        shown = {"picture": self.picture.data_url} if self.picture else {}
        at = datetime.now(UTC).isoformat(timespec="seconds")
        return {**self.facts, **shown, "kind": self.kind, "text": self.text, "at": at}
