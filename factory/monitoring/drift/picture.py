"""A small picture of what moved: for each feature the shares of its bins as they were and as they are; SVG."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from factory.monitoring.drift.measure import Shift

WIDTH, ROW, LEFT, BARS = 420, 54, 150, 250
WAS, NOW = "#b8c4ce", "#d1495b"


def picture(site: str, shifts: Sequence[Shift]) -> str:
    """Return an SVG with one row a shift: grey as it was, red as it is."""
    height = 28 + ROW * len(shifts)
    rows = "".join(_row(shift, 28 + ROW * place) for place, shift in enumerate(shifts))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">'
        f'<text x="4" y="16" font-weight="bold">{escape(site)}</text>'
        f'<text x="{LEFT}" y="16" fill="#5b6770">grey: as trained on · red: now</text>{rows}</svg>'
    )


def _row(shift: Shift, top: int) -> str:
    name = shift.feature if len(shift.feature) <= 22 else f"{shift.feature[:21]}…"
    label = (
        f'<text x="4" y="{top + 20}">{escape(name)}</text>'
        f'<text x="4" y="{top + 34}" fill="#5b6770">{escape(_figure(shift))}</text>'
    )
    return label + _bars(shift.was, shift.now, top)


def _bars(was: Sequence[float], now: Sequence[float], top: int) -> str:
    highest = max(*was, *now, 1e-9)
    step = BARS / len(was)
    drawn = []
    for place, (before, after) in enumerate(zip(was, now, strict=True)):
        for side, (share, colour) in enumerate(((before, WAS), (after, NOW))):
            tall = max(0.0, share) / highest * (ROW - 12)
            left = LEFT + place * step + side * step * 0.42
            drawn.append(
                f'<rect x="{left:.1f}" y="{top + ROW - 6 - tall:.1f}" width="{step * 0.4:.1f}" height="{tall:.1f}" '
                f'fill="{colour}"/>'
            )
    return "".join(drawn)


def _figure(shift: Shift) -> str:
    if shift.measure == "distribution":
        return f"PSI {shift.effect:.2f}, KS {shift.ks or 0:.2f}"
    unit = "unknown" if shift.measure == "nulls" else "EUR a decision"
    form = ".0%" if shift.measure == "nulls" else ",.2f"
    return f"{format(shift.was[0], form)} → {format(shift.now[0], form)} {unit}"
