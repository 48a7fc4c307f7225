"""What each policy earned so far, as a self-contained SVG: a line a policy over the periods."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from markupsafe import Markup

from factory.charts import svg
from factory.economics.backtest.tally import POLICIES

WIDTH, HEIGHT = 720.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 136.0, 34.0, 34.0
NAMES = {"never": "never retrained", "blind": "retrained blindly", "factory": "the factory"}
STYLE = Markup("""
text { font: 12px system-ui, sans-serif; fill: #5b6770; } .title { font-weight: 600; fill: #1d2a33; }
.grid { stroke: #e3e8ec; } .never { stroke: #9aa7b1; fill: #9aa7b1; } .blind { stroke: #d1853b; fill: #d1853b; }
.factory { stroke: #16697a; fill: #16697a; } polyline { fill: none !important; stroke-width: 2.2; }
text.never, text.blind, text.factory { stroke: none; font-weight: 600; } circle { stroke: none; }
""")


def picture(report: Mapping[str, Any]) -> Markup:
    """Return the backtest's report (factory.economics.backtest.tally.report) as a picture of what retraining earned.

    It shows net EUR, added up, beyond never retraining; each policy's total stands at its line's end.
    """
    sums = {policy: _beyond(report["months"], policy) for policy in POLICIES}
    days = [report["months"][0]["from"], *(month["to"] for month in report["months"])]
    across = svg.Scale(low=0, high=len(days) - 1, start=LEFT, end=WIDTH - RIGHT)
    low, high = svg.spread([value for line in sums.values() for value in line])
    up = svg.Scale(low=low, high=high, start=HEIGHT - BOTTOM, end=TOP)
    background = svg.tag("rect", x=0, y=0, width=WIDTH, height=HEIGHT, fill="#ffffff")
    title = svg.text(LEFT, 18, f"{report['line']}: net EUR so far, beyond never retraining", "title")
    parts = [svg.tag("style", STYLE), background, title, *_axes(days, across, up)]
    for policy, place in zip(POLICIES, _apart([up(sums[policy][-1]) for policy in POLICIES]), strict=True):
        parts += _line(policy, sums[policy], report["total"][policy]["net_eur"], across, up, place)
    drawn = svg.picture(WIDTH, HEIGHT, "Net EUR so far of three policies, beyond never retraining", *parts)
    return Markup(str(drawn).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))  # noqa: S704  made above


def _beyond(months: Sequence[Mapping[str, Any]], policy: str) -> list[float]:
    return [0.0, *accumulate(month[policy]["net_eur"] - month["never"]["net_eur"] for month in months)]


def _axes(days: Sequence[str], across: svg.Scale, up: svg.Scale) -> list[Markup]:
    parts = []
    for value in up.ticks(5):
        parts.append(svg.line(LEFT, up(value), WIDTH - RIGHT, up(value), "grid"))
        parts.append(svg.text(LEFT - 8, up(value) + 4, _thousands(value), anchor="end"))
    every = max(1, len(days) // 10)
    parts += [svg.text(across(n), HEIGHT - 12, day[2:7] if day.endswith("01") else day[5:], anchor="middle")
              for n, day in enumerate(days) if n % every == 0]  # fmt: skip
    return parts


def _line(
    policy: str, sums: Sequence[float], total: float, across: svg.Scale, up: svg.Scale, label: float
) -> list[Markup]:
    places = [(across(number), up(value)) for number, value in enumerate(sums)]
    hint = f"{NAMES[policy]}: {_thousands(total)} EUR in all"
    return [
        svg.tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places), class_=policy),
        *(svg.titled("circle", hint, cx=x, cy=y, r=3, class_=policy) for x, y in places),
        svg.text(WIDTH - RIGHT + 10, label, NAMES[policy], policy),
        svg.text(WIDTH - RIGHT + 10, label + 14, f"{_thousands(total)} EUR", policy),
    ]


def _apart(places: Sequence[float], gap: float = 32.0) -> list[float]:
    """Return places at least a gap apart, in their order, for labels that would overlap."""
    order = sorted(range(len(places)), key=lambda number: places[number])
    moved = list(places)
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + gap)
    over = max(0.0, max(moved) - (HEIGHT - BOTTOM - 14))
    return [place - over for place in moved]


def _thousands(value: float) -> str:
    return f"{value / 1e6:,.2f} M" if abs(value) >= 1e6 else f"{value / 1e3:,.0f} k" if value else "0"
