"""Pictures as inline SVG: colours are the page's own (CSS classes), so they follow it into the dark.

Widths are those of a card on the page, so that text is as large in a picture as beside it.
"""

from collections.abc import Sequence
from functools import singledispatch

import numpy as np
from markupsafe import Markup

from factory.report import svg
from factory.report.numbers import FORMS, known, percent, whole
from factory.report.pictures import Bars, Dots, Floats, Mark, Matrix, Picture, Plane, Row, Series

WIDTH = 360.0
HEIGHT = 236.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 22.0, 38.0
LINE = 26.0
"""Height of one row of dots or bars."""
LETTER = 6.3
"""Width of a letter, on average, at the size of a picture's text."""


@singledispatch
def drawn(picture: Picture) -> Markup:
    """Return the picture as SVG."""
    raise TypeError(f"no picture: {type(picture).__name__}")


@drawn.register
def _(picture: Plane) -> Markup:
    across, up = _scales(picture)
    parts = [*_axes(picture, across, up)]
    if picture.diagonal:
        low, high = max(across.low, up.low), min(across.high, up.high)
        parts.append(svg.line(across(low), up(low), across(high), up(high), "faint"))
    parts += [_mark(mark, across, up) for mark in picture.marks]
    for series in sorted(picture.series, key=lambda one: one.accent):
        parts += _series(picture, series, across, up)
    parts += _names(picture, across, up)
    return svg.picture(WIDTH, HEIGHT, f"{picture.title}. {picture.says}", *parts)


def _scales(picture: Plane) -> tuple[svg.Scale, svg.Scale]:
    xs = [float(x) for series in picture.series for x in series.x]
    ys = [float(y) for series in picture.series for part in (series.y, series.low, series.high) for y in _listed(part)]
    x_low, x_high = picture.x_range or svg.spread([*xs, *_marked(picture, "x")], 0.03)
    y_low, y_high = picture.y_range or svg.spread([*ys, *_marked(picture, "y")])
    return (
        svg.Scale(low=x_low, high=x_high, start=LEFT, end=WIDTH - RIGHT),
        svg.Scale(low=y_low, high=y_high, start=HEIGHT - BOTTOM, end=TOP),
    )


def _listed(values: Floats | None) -> list[float]:
    return [] if values is None else [float(value) for value in values]


def _marked(picture: Plane, axis: str) -> list[float]:
    return [mark.at for mark in picture.marks if mark.axis == axis]


def _axes(picture: Plane, across: svg.Scale, up: svg.Scale) -> list[Markup]:
    x_form, y_form = FORMS[picture.x_form], FORMS[picture.y_form]
    bottom = HEIGHT - BOTTOM
    rules = [svg.line(LEFT, up(y), WIDTH - RIGHT, up(y), "grid") for y in up.ticks()]
    y_numbers = [svg.text(LEFT - 6, up(y) + 4, y_form(y), "tick", "end") for y in up.ticks()]
    places = [x for x in across.ticks(5) if picture.x_form != "whole" or float(x).is_integer()]
    x_numbers = [svg.text(across(x), bottom + 15, x_form(x), "tick", "middle") for x in places]
    return [
        *rules,
        svg.line(LEFT, bottom, WIDTH - RIGHT, bottom, "axis"),
        *y_numbers,
        *x_numbers,
        svg.text(WIDTH - RIGHT, HEIGHT - 6, picture.x_label, "label", "end"),
        svg.text(0, 11, picture.y_label, "label"),
    ]


def _mark(mark: Mark, across: svg.Scale, up: svg.Scale) -> Markup:
    if mark.axis == "y":
        height = up(mark.at)
        rule = svg.line(LEFT, height, WIDTH - RIGHT, height, "mark")
        return Markup().join([rule, svg.text(LEFT + 4, height - 5, mark.text, "note")])
    place = across(mark.at)
    right = place < WIDTH - RIGHT - len(mark.text) * LETTER
    label = svg.text(place + (5 if right else -5), TOP + 9, mark.text, "note", "start" if right else "end")
    return Markup().join([svg.line(place, TOP, place, HEIGHT - BOTTOM, "mark"), label])


def _series(picture: Plane, series: Series, across: svg.Scale, up: svg.Scale) -> list[Markup]:
    tone = "accent" if series.accent else "plain"
    sound = [place for place in range(len(series.x)) if np.isfinite(series.x[place]) and np.isfinite(series.y[place])]
    parts = [_whisker(series, place, across, up, tone) for place in sound if series.low is not None]
    if series.style in ("line", "both") and len(sound) > 1:
        points = " ".join(f"{across(series.x[place]):.1f},{up(series.y[place]):.1f}" for place in sound)
        parts.append(svg.tag("polyline", points=points, class_=f"line {tone}"))
    if series.style in ("dots", "both"):
        radius = 3.6 if len(sound) < 60 else 2.2
        parts += [_dot(picture, series, place, across, up, tone, radius) for place in sound]
    return parts


def _whisker(series: Series, place: int, across: svg.Scale, up: svg.Scale, tone: str) -> Markup:
    assert series.low is not None  # noqa: S101  asked for only where there is one
    assert series.high is not None  # noqa: S101
    x = across(series.x[place])
    if not (np.isfinite(series.low[place]) and np.isfinite(series.high[place])):
        return Markup()
    return svg.line(x, up(series.low[place]), x, up(series.high[place]), f"whisker {tone}")


def _dot(
    picture: Plane, series: Series, place: int, across: svg.Scale, up: svg.Scale, tone: str, radius: float
) -> Markup:
    x, y = float(series.x[place]), float(series.y[place])
    hint = f"{series.name or picture.y_label}: {FORMS[picture.y_form](y)} at {FORMS[picture.x_form](x)}"
    return svg.titled("circle", hint, cx=across(x), cy=up(y), r=radius, class_=f"dot {tone}")


def _names(picture: Plane, across: svg.Scale, up: svg.Scale) -> list[Markup]:
    """Write the two series' names where they are farthest apart: the upper one's above, the lower one's below."""
    named = [series for series in picture.series if series.name and len(series.x) > 1]
    if len(named) != 2:
        return []
    first, last = (float(end(series.x)) for end in (np.nanmin, np.nanmax) for series in named[:1])
    first = max(first, float(np.nanmin(named[1].x)))
    last = min(last, float(np.nanmax(named[1].x)))
    places = np.linspace(first + 0.2 * (last - first), last - 0.2 * (last - first), 41)
    heights = [_height(series, places, up) for series in named]
    place = int(np.nanargmax(np.abs(heights[0] - heights[1])))
    upper = 0 if heights[0][place] <= heights[1][place] else 1
    return [
        _name(series, across(float(places[place])), float(heights[which][place]), above=which == upper)
        for which, series in enumerate(named)
    ]


def _height(series: Series, places: Floats, up: svg.Scale) -> Floats:
    """Return how low on the page the series is at each place."""
    sound = np.isfinite(series.x) & np.isfinite(series.y)
    order = np.argsort(series.x[sound], kind="stable")
    values = np.interp(places, series.x[sound][order], series.y[sound][order])
    return np.array([up(float(value)) for value in values])


def _name(series: Series, x: float, y: float, *, above: bool) -> Markup:
    half = len(series.name) * LETTER / 2
    place = min(max(x, LEFT + half), WIDTH - RIGHT - half)
    height = max(TOP + 4, y - 8) if above else min(HEIGHT - BOTTOM - 5, y + 16)
    return svg.text(place, height, series.name, "name accent" if series.accent else "name", "middle")


@drawn.register
def _(picture: Dots) -> Markup:
    names, notes = _columns(picture.rows)
    reference = [picture.reference.at] if picture.reference else []
    low, high = svg.spread([*(part for row in picture.rows for part in (row.value, row.low, row.high)), *reference])
    across = svg.Scale(low=low, high=high, start=names + 8, end=WIDTH - notes - 10)
    top = 16.0 if picture.reference else 4.0
    height = top + LINE * len(picture.rows) + 24
    form = FORMS[picture.form]
    parts = [svg.line(across(x), top, across(x), height - 20, "grid") for x in across.ticks(3)]
    parts += [svg.text(across(x), height - 6, form(x), "tick", "middle") for x in across.ticks(3)]
    if picture.reference:
        place = across(picture.reference.at)
        parts.append(svg.line(place, top, place, height - 20, "mark"))
        parts.append(svg.text(place, 11, picture.reference.text, "note", _held(place, picture.reference.text)))
    for place, row in enumerate(picture.rows):
        parts += _dotted(row, top + LINE * (place + 0.5), across, names, form(row.value))
    return svg.picture(WIDTH, height, f"{picture.title}. {picture.says}", *parts)


def _held(place: float, words: str) -> str:
    """Return how to anchor words at a place so that they stay within the picture."""
    half = len(words) * LETTER / 2
    return "start" if place < half else "end" if place > WIDTH - half else "middle"


def _dotted(row: Row, y: float, across: svg.Scale, names: float, told: str) -> list[Markup]:
    tone = "accent" if row.accent else "plain"
    parts = [svg.text(names, y + 4, _cut(row.name, names), f"row {tone}", "end")]
    parts.append(svg.text(WIDTH, y + 4, row.note or told, f"value {tone}", "end"))
    if row.low is not None and row.high is not None and known(row.low) and known(row.high):
        parts.append(svg.line(across(row.low), y, across(row.high), y, f"whisker {tone}"))
    if row.value is not None and known(row.value):
        parts.append(
            svg.titled("circle", f"{row.name}: {told}", cx=across(row.value), cy=y, r=4.2, class_=f"dot {tone}")
        )
    return parts


def _columns(rows: Sequence[Row]) -> tuple[float, float]:
    """Return how wide the names at the left and the values at the right are."""
    names = min(160.0, max((len(row.name) for row in rows), default=0) * LETTER + 4)
    return names, min(140.0, max((len(row.note) for row in rows), default=0) * LETTER or 52.0)


def _cut(name: str, width: float) -> str:
    room = int(width / LETTER)
    return name if len(name) <= room else f"{name[: room - 1]}…"


@drawn.register
def _(picture: Bars) -> Markup:
    form = FORMS[picture.form]
    values = [row.value for row in picture.rows if row.value is not None and known(row.value)]
    low, high = min([0.0, *values]), max([0.0, *values]) or 1.0
    across = svg.Scale(low=low, high=high, start=0, end=WIDTH - 84)
    parts: list[Markup] = []
    for place, row in enumerate(picture.rows):
        parts += _bar(row, place * (LINE + 14), across, row.note or form(row.value))
    return svg.picture(WIDTH, max(1, len(picture.rows)) * (LINE + 14), f"{picture.title}. {picture.says}", *parts)


def _bar(row: Row, y: float, across: svg.Scale, told: str) -> list[Markup]:
    tone = "accent" if row.accent else "plain"
    value = row.value if row.value is not None and known(row.value) else 0.0
    start, end = sorted((across(0.0), across(value)))
    hint = f"{row.name}: {told}"
    return [
        svg.text(0, y + 13, _cut(row.name, WIDTH - 4), f"row {tone}"),
        svg.titled("rect", hint, x=start, y=y + 18, width=max(1.5, end - start), height=11, rx=2, class_=f"bar {tone}"),
        svg.text(end + 6, y + 28, told, f"value {tone}"),
    ]


@drawn.register
def _(picture: Matrix) -> Markup:
    count = len(picture.names)
    names = min(110.0, max((len(name) for name in picture.names), default=1) * LETTER + 6)
    cell = min(64.0, (WIDTH - names) / max(1, count))
    top = 40.0
    parts = [svg.text(names, 11, "taken for →", "label"), svg.text(0, top - 6, "it was ↓", "label")]
    totals = np.maximum(picture.counts.sum(axis=1), 1)
    for row in range(count):
        parts.append(
            svg.text(names - 6, top + (row + 0.5) * cell + 4, _cut(picture.names[row], names - 6), "row", "end")
        )
        parts.append(svg.text(names + (row + 0.5) * cell, 28, _cut(picture.names[row], cell), "tick", "middle"))
        for column in range(count):
            share = float(picture.counts[row, column] / totals[row])
            place = (names + column * cell, top + row * cell)
            parts += _cell(picture, row, column, share, place, cell)
    return svg.picture(WIDTH, top + count * cell + 4, f"{picture.title}. {picture.says}", *parts)


def _cell(
    picture: Matrix, row: int, column: int, share: float, place: tuple[float, float], cell: float
) -> list[Markup]:
    number = int(picture.counts[row, column])
    hint = f"{picture.names[row]} taken for {picture.names[column]}: {whole(number)}, {percent(share)}"
    tone = "right" if row == column else "wrong"
    x, y = place
    shade = svg.titled(
        "rect", hint, x=x + 1, y=y + 1, width=cell - 2, height=cell - 2, rx=3, class_=f"cell {tone}",
        fill_opacity=f"{0.06 + 0.84 * share:.2f}",
    )  # fmt: skip
    ink = "cellnumber strong" if share > 0.5 else "cellnumber"
    return [shade, svg.text(x + cell / 2, y + cell / 2 + 4, whole(number), ink, "middle")] if cell > 20 else [shade]
