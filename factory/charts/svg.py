"""Inline SVG from small parts: tags whose every attribute and text is escaped, scales, and round numbers for axes."""

import math
from dataclasses import dataclass

from markupsafe import Markup, escape

from factory.charts.numbers import known

Place = float | int


def tag(name: str, *inside: str | Markup, **attributes: Place | str | None) -> Markup:
    """Return an element; text inside is escaped unless it is Markup, `class_` and `text_anchor` lose their underscore.

    Positions are written in tenths of a pixel, which is all a screen shows.
    """
    written = "".join(
        f' {_attribute(key)}="{escape(_value(value))}"' for key, value in attributes.items() if value is not None
    )
    content = Markup().join(escape(part) for part in inside)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), Markup(written), content)  # noqa: S704  escaped above


def _attribute(key: str) -> str:
    return key if key in ("viewBox",) else key.rstrip("_").replace("_", "-")


def _value(value: Place | str) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".rstrip("0").rstrip(".")


def picture(width: float, height: float, says: str, *parts: Markup) -> Markup:
    """Return a whole SVG that says to a screen reader what it shows."""
    return tag("svg", *parts, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=says)


def text(x: float, y: float, content: str, class_: str = "", anchor: str = "start") -> Markup:
    """Return a piece of text at its baseline."""
    return tag("text", content, x=x, y=y, class_=class_ or None, text_anchor=None if anchor == "start" else anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Return a straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def titled(shape: str, hint: str, **attributes: Place | str | None) -> Markup:
    """Return a shape that shows a hint when pointed at."""
    return tag(shape, tag("title", hint), **attributes)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Numbers to pixels, linear."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a value; one far outside stays at the picture's edge."""
        span = self.high - self.low or 1.0
        share = min(1.02, max(-0.02, (float(value) - self.low) / span))
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 4) -> list[float]:
        """Return round numbers within the scale, about so many and at least two."""
        for finer in (1, 2, 4):
            step = round_step((self.high - self.low) / max(1, about * finer))
            first = math.ceil(self.low / step - 1e-9)
            count = math.floor(self.high / step + 1e-9) - first + 1
            if count > 1:
                break
        return [(first + place) * step for place in range(max(0, count))]


def round_step(size: float) -> float:
    """Return the round step (1, 2 or 5 times a power of ten) nearest above a size."""
    if not size > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(size))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= size * 0.999)


def spread(values: list[float | None], margin: float = 0.06) -> tuple[float, float]:
    """Return the range of the known values with a margin; (0, 1) where none is known."""
    numbers = [float(value) for value in values if value is not None and known(value)]
    if not numbers:
        return 0.0, 1.0
    low, high = min(numbers), max(numbers)
    room = (high - low) * margin or abs(high) * 0.1 or 1.0
    return low - room, high + room
