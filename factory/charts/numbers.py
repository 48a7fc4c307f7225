"""Numbers as a person writes them: 1,234 and not 1234.0; what is not known is a dash."""

import math

UNKNOWN = "—"
SPACE = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
Number = float | int | None


def known(value: Number) -> bool:
    """Whether there is a number to write."""
    return value is not None and math.isfinite(value)


def whole(value: Number) -> str:
    """Return a count: 12,345."""
    return f"{value:,.0f}".replace("-", MINUS) if value is not None and math.isfinite(value) else UNKNOWN


def figure(value: Number) -> str:
    """Return a figure of merit in three or four digits, as many as tell models apart: 0.516, 12.47, 1,234."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size = abs(value)
    if value == 0:
        return "0"
    if size < 0.001:
        return f"{value:.1e}".replace("-", MINUS)
    return f"{value:,.{3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0}f}".replace("-", MINUS)


def cents(value: Number) -> str:
    """Return an amount to the cent: 1,234.50; of less than one that is not nothing, that it is less."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if 0 < abs(value) < 0.01:
        return "< 0.01" if value > 0 else f"> {MINUS}0.01"
    return f"{value:,.2f}".replace("-", MINUS)


def brief(value: Number) -> str:
    """Return a number for an axis: 0.25, 40, 1.5k, 2M."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    for size, unit in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9999:
            return f"{value / size:.4g}{unit}".replace("-", MINUS)
    return f"{value:.4g}".replace("-", MINUS)


def percent(value: Number) -> str:
    """Return a share as a percentage: 34 %, 4.2 %, 99.97 %; no line breaks before the sign."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    places = 0 if value in (0, 1) or 0.1 <= abs(value) <= 0.99 else 1 if 0.01 <= abs(value) < 0.1 else 2
    return f"{value * 100:.{places}f}{SPACE}%".replace("-", MINUS)


def eur(value: Number) -> str:
    """Return an amount of money in whole euros."""
    return f"{whole(value)}{SPACE}EUR" if known(value) else UNKNOWN


def signed(value: Number) -> str:
    """Return a change with its sign: +0.012, -1.03 with a true minus sign."""
    return ("+" if value is not None and value > 0 else "") + figure(value)


def words(name: str) -> str:
    """Return a figure's name as a person says it: `average_precision` is average precision, `rmse` RMSE."""
    short = {"rmse": "RMSE", "mae": "mean absolute error", "roc_auc": "ROC AUC", "macro_f1": "macro F1"}
    return short.get(name, name.removesuffix("_eur").replace("_", " "))


FORMS = {"whole": whole, "figure": figure, "brief": brief, "percent": percent, "eur": eur, "signed": signed}
"""How a picture may have its numbers written, by name."""
