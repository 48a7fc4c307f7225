"""Pictures as inline SVG: colours are the page's own (CSS classes), so they follow it into the dark.

axes.py draws planes; this module draws rows and matrices.
"""

from collections.abc import Sequence
from functools import singledispatch

import numpy as np
from markupsafe import Markup

from factory.charts import svg
from factory.charts.axes import LETTER, WIDTH, draw_plane
from factory.charts.numbers import FORMS, known, percent, whole
from factory.charts.pictures import Bars, Dots, Matrix, Picture, Row

BOLD = LETTER * 1.08
"""Width of a letter in bold."""
LINE = 26.0
"""Height of one row of dots or bars."""


@singledispatch
def drawn(picture: Picture) -> Markup:
    """Return the picture as SVG."""
    raise TypeError(f"no picture: {type(picture).__name__}")


drawn.register(draw_plane)


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
    short = FORMS[picture.form if picture.form == "percent" else "brief"]
    parts += [svg.text(across(x), height - 6, short(x), "tick", "middle") for x in across.ticks(3)]
    if picture.reference:
        place = across(picture.reference.at)
        parts.append(svg.line(place, top, place, height - 20, "mark"))
        parts.append(svg.text(place, 11, picture.reference.text, "note", _anchor(place, picture.reference.text)))
    for place, row in enumerate(picture.rows):
        parts += _dotted(row, top + LINE * (place + 0.5), across, names, form(row.value))
    return svg.picture(WIDTH, height, f"{picture.title}. {picture.says}", *parts)


def _anchor(place: float, words: str) -> str:
    """Return how to anchor words at a place so that they stay within the picture."""
    half = len(words) * LETTER / 2
    return "start" if place < half else "end" if place > WIDTH - half else "middle"


def _dotted(row: Row, y: float, across: svg.Scale, names: float, value: str) -> list[Markup]:
    tone = "accent" if row.accent else "plain"
    hint = svg.tag("title", row.hint or row.name)
    name = svg.tag("text", hint, _cut(row.name, names), x=names, y=y + 4, class_=f"row {tone}", text_anchor="end")
    parts = [name]
    parts.append(svg.text(WIDTH, y + 4, row.note or value, f"value {tone}", "end"))
    if row.low is not None and row.high is not None and known(row.low) and known(row.high):
        parts.append(svg.line(across(row.low), y, across(row.high), y, f"whisker {tone}"))
    if row.value is not None and known(row.value):
        parts.append(
            svg.titled("circle", f"{row.name}: {value}", cx=across(row.value), cy=y, r=4.2, class_=f"dot {tone}")
        )
    return parts


def _columns(rows: Sequence[Row]) -> tuple[float, float]:
    """Return how wide the names at the left and the values at the right are."""
    names = min(160.0, max((len(row.name) for row in rows), default=0) * BOLD + 2)
    return names, min(140.0, max((len(row.note) for row in rows), default=0) * BOLD or 52.0)


def _cut(name: str, width: float) -> str:
    room = int(width / LETTER + 0.5)
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


def _bar(row: Row, y: float, across: svg.Scale, label: str) -> list[Markup]:
    tone = "accent" if row.accent else "plain"
    value = row.value if row.value is not None and known(row.value) else 0.0
    start, end = sorted((across(0.0), across(value)))
    hint = f"{row.name}: {label}"
    return [
        svg.text(0, y + 13, _cut(row.name, WIDTH - 4), f"row {tone}"),
        svg.titled("rect", hint, x=start, y=y + 18, width=max(1.5, end - start), height=11, rx=2, class_=f"bar {tone}"),
        svg.text(end + 6, y + 28, label, f"value {tone}"),
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
