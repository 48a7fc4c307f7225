"""Pictures with two axes as inline SVG.

The width is that of a card on the page, so that text is as large in a picture as beside it.
"""

import numpy as np
from markupsafe import Markup

from factory.charts import svg
from factory.charts.numbers import FORMS
from factory.charts.pictures import Floats, Plane, ReferenceLine, Series

WIDTH, HEIGHT = 360.0, 236.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 22.0, 38.0
LETTER = 6.3
"""Width of a letter, on average, at the size of a picture's text."""


def draw_plane(picture: Plane) -> Markup:
    """Return a picture with two axes as SVG."""
    across, up = _scales(picture)
    parts = [*_axes(picture, across, up)]
    if picture.diagonal:
        low, high = max(across.low, up.low), min(across.high, up.high)
        parts.append(svg.line(across(low), up(low), across(high), up(high), "faint"))
    parts += [_reference(picture, line, across, up) for line in picture.references]
    for series in sorted(picture.series, key=lambda series: series.accent):
        parts += _series(picture, series, across, up)
    parts += _names(picture, across, up)
    return svg.picture(WIDTH, HEIGHT, f"{picture.title}. {picture.says}", *parts)


def _scales(picture: Plane) -> tuple[svg.Scale, svg.Scale]:
    xs = [float(x) for series in picture.series for x in series.x]
    ys = [float(y) for series in picture.series for part in (series.y, series.low, series.high) for y in _listed(part)]
    x_low, x_high = picture.x_range or svg.spread([*xs, *_reference_values(picture, "x")], 0.03)
    y_low, y_high = picture.y_range or svg.spread([*ys, *_reference_values(picture, "y")])
    return (
        svg.Scale(low=x_low, high=x_high, start=LEFT, end=WIDTH - RIGHT),
        svg.Scale(low=y_low, high=y_high, start=HEIGHT - BOTTOM, end=TOP),
    )


def _listed(values: Floats | None) -> list[float]:
    return [] if values is None else [float(value) for value in values]


def _reference_values(picture: Plane, axis: str) -> list[float]:
    return [line.at for line in picture.references if line.axis == axis]


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


def _free_at_left(picture: Plane, across: svg.Scale, up: svg.Scale, height: float) -> bool:
    """Whether words at this height touch less at the left end of the plane than at the right end."""
    points = [
        (across(x), abs(up(y) - height))
        for series in picture.series
        for x, y in zip(series.x, series.y, strict=True)
        if np.isfinite(x) and np.isfinite(y)
    ]
    third = (WIDTH - LEFT - RIGHT) / 3
    left = min((away for x, away in points if x < LEFT + third), default=HEIGHT)
    return left >= min((away for x, away in points if x > WIDTH - RIGHT - third), default=HEIGHT)


def _free_level(picture: Plane, at: float, up: svg.Scale) -> float:
    """Return the height for words beside a vertical line: at the end of it that the series are farther from."""
    heights = [float(_height(series, np.array([at]), up)[0]) for series in picture.series if len(series.x) > 1]
    low, high = HEIGHT - BOTTOM - 7, TOP + 9
    return low if sum(height < (low + high) / 2 for height in heights) * 2 >= len(heights) else high


def _reference(picture: Plane, reference: ReferenceLine, across: svg.Scale, up: svg.Scale) -> Markup:
    if reference.axis == "y":
        height = up(reference.at)
        rule = svg.line(LEFT, height, WIDTH - RIGHT, height, "mark")
        left = _free_at_left(picture, across, up, height)
        place, anchor = (LEFT + 4, "start") if left else (WIDTH - RIGHT, "end")
        return Markup().join([rule, svg.text(place, height - 5, reference.text, "note", anchor)])
    place = across(reference.at)
    right = place < WIDTH - RIGHT - len(reference.text) * LETTER
    level = _free_level(picture, reference.at, up)
    label = svg.text(place + (5 if right else -5), level, reference.text, "note", "start" if right else "end")
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
