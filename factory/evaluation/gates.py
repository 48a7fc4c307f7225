"""The gates a candidate must pass before a site may serve it; the answer is a verdict, never an action.

A gate is a function that yields a check for each limit it asks for, kept or not. To add one, write it and put it into
GATES; a limit of its own is a field of Gates. Reasons, report, status and asset checks are made from the checks, so
nothing else has to know of it. A limit to a figure needs no gate of its own: `at_least` and `at_most` take any figure
of the line's task, and the line's own. What cannot be measured does not pass.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from factory.charts.numbers import figure as written
from factory.errors import MeasuredOtherwise
from factory.evaluation.evidence import Evidence, Figures, measured
from factory.line.gates import Comparison, Gates, Mode
from factory.model.check import Check, Figure, Unit, readable
from factory.model.verdict import Verdict
from factory.tasks.intervals import MIN_WITNESSES
from factory.tasks.task import Task

Gate = Callable[[Figures, Gates], Iterator[Check]]
_SURELY_WORSE = 0.05
"""A candidate that beats another model with a smaller certainty than this is worse, and that is no chance."""


def enough_rows(figures: Figures, gates: Gates) -> Iterator[Check]:
    """Refuse on a holdout too small to say anything: rows that are alike are one witness."""
    figure, found, what = _witnesses(figures)
    of_these, needed = (f" of {found} {what}", f"{gates.min_rows} {what}") if figure != "rows" else ("", gates.min_rows)
    yield Check.at_least(
        figure,
        found,
        gates.min_rows,
        code="enough_rows",
        unit="count",
        title=f"{what} judged",
        reason=f"scored on {figures['rows'] or 0} rows{of_these}, needs {needed}",
    )


def contract_kept(figures: Figures, gates: Gates) -> Iterator[Check]:
    """Refuse a model of data that did not keep the contract."""
    yield Check.at_least(
        "contract_share",
        figures["contract_share"],
        gates.min_contract_share,
        code="contract_kept",
        unit="share",
        title="share of rows that keep the contract",
    )
    broken = figures["contract_failures"]
    yield Check.nothing(
        "contract_failures",
        broken,
        code="contract_kept",
        title="rules about whole tables broken",
        reason=f"contract broken by whole tables: {broken}; needs none broken",
    )


def no_leak(figures: Figures, _: Gates) -> Iterator[Check]:
    """Refuse what learnt from its own answers; what only looks so is told."""
    leaks, suspects = figures.get("leaks"), figures.get("leak_suspects")
    known = "if it is known before the decision, say so: `label: known_before`"
    yield Check.nothing("leaks", leaks, code="no_leak", title="leaks in the rows", reason=f"{leaks}; {known}")
    if suspects:
        what = "what looks like a leak in the rows"
        reason = f"{suspects}; {known}"
        yield Check.nothing("leak_suspects", suspects, code="no_leak", mode="dry_run", title=what, reason=reason)


def good_enough(figures: Figures, gates: Gates) -> Iterator[Check]:
    """Refuse a figure beyond the line's absolute bar."""
    for name, limit in gates.at_least.items():
        value = figures.get(name)
        yield Check.at_least(name, value, limit, code="good_enough", unit=_unit(name, value))
    for name, limit in gates.at_most.items():
        value = figures.get(name)
        yield Check.at_most(name, value, limit, code="good_enough", unit=_unit(name, value))


def better_than_constant(figures: Figures, gates: Gates) -> Iterator[Check]:
    """Refuse what does not surely beat the best that needs no model: constant decisions in money, answers in loss."""
    bar = gates.against_constant
    if bar.mode == "disabled":
        return
    value, loss = _number(figures["value_eur"]), _number(figures["loss"])
    constant, constant_loss = figures["constant"], _number(figures["constant_loss"])
    for figure, what, found in (
        (
            "probability_earns_more_than_constant",
            "earning more than the best constant decision",
            f"earns {value or 0.0:+.2f} EUR above the best constant decision, {constant}",
        ),
        (
            "probability_loss_below_constant",
            "a smaller loss than the best constant answer",
            f"has a loss of {_written(loss)}, the best constant answer of {_written(constant_loss)}",
        ),
    ):
        share = _number(figures[figure])
        yield Check.at_least(
            figure,
            share,
            bar.min_probability,
            code="better_than_constant",
            mode=bar.mode,
            unit="share",
            title=f"chance of {what}",
            reason=f"the chance of {what} could not be measured, needs {bar.min_probability:.1%}{_too_few(figures)}"
            if share is None
            else f"{found}: better with a certainty of {share:.1%}, needs {bar.min_probability:.1%}",
        )


def decides_like_a_constant(figures: Figures, gates: Gates) -> Iterator[Check]:
    """Refuse a model that decides every row alike: it is a constant decision, whatever it answers."""
    rows, mode = figures["rows"], gates.against_constant.mode
    if mode == "disabled" or not rows:
        return
    acted, rate = _number(figures.get("share_acted")), _number(figures.get("prevalence"))
    shares = f": it acts on {acted:.1%} of them, and the base rate is {rate:.1%}" if acted is not None else ""
    yield Check.at_least(
        "decided_otherwise",
        figures["decided_otherwise"],
        1,
        code="decides_like_a_constant",
        mode=mode,
        unit="count",
        title="rows decided otherwise than most",
        reason=f"decides all {rows} rows alike{shares}",
    )


def better_than_baseline(figures: Figures, gates: Gates) -> Iterator[Check]:
    """Refuse what is not worth its cost beside the plain model, which it must beat with the line's certainty.

    Where the plain model is the candidate itself, there is nothing to compare. Where it is another rung of the site's
    ladder, validation rows have chosen between the two: the holdout, which chooses nothing, refuses nothing, and warns
    only where it surely says otherwise. A baseline whose loss is greater than a constant answer's is no bar, and the
    check says so.
    """
    bar, share = gates.against_baseline, figures["probability_better_than_baseline"]
    if figures.get("is_baseline"):
        return
    if share is not None and figures.get("baseline_beats_constant") is False:
        loss, constant = (_written(_number(figures[name])) for name in ("baseline_loss", "constant_loss"))
        no_bar = f", which is no bar: its loss is {loss}, a constant answer's {constant}"
        yield from _better("baseline", figures, replace(bar, min_probability=0.0), note=no_bar)
    elif figures.get("baseline_is_a_rung"):
        mode: Mode = "disabled" if bar.mode == "disabled" else "dry_run"
        asked = replace(bar, min_probability=min(bar.min_probability, _SURELY_WORSE), mode=mode)
        yield from _better("baseline", figures, asked, note="; validation rows chose, so this only warns")
    else:
        yield from _better("baseline", figures, bar)


def fairly_compared(figures: Figures, gates: Gates) -> Iterator[Check]:
    """Refuse to replace a champion that learnt from too many of the rows that would judge it to be compared at all.

    That is so where a line is judged as of an earlier day than the champion was made, or by another split.
    """
    rows, new, mode = figures["rows"], figures.get("rows_new_to_champion"), gates.against_champion.mode
    if mode == "disabled" or not isinstance(new, int) or not isinstance(rows, int) or new == rows:
        return
    figure, found, what = _witnesses(figures, "_new_to_champion")
    of_these, needed = (f", of {found} {what}", f"{gates.min_rows} {what}") if what != "rows" else ("", gates.min_rows)
    yield Check.at_least(
        figure,
        found,
        gates.min_rows,
        code="fairly_compared",
        mode=mode,
        unit="count",
        title=f"{what} judged that are new to the champion",
        reason=f"the champion learnt from {rows - new} of the {rows} rows judged, so {new} are left to compare "
        f"on{of_these}, needs {needed}: judge as of a later day, or roll back to bring an earlier model back",
    )


def better_than_champion(figures: Figures, gates: Gates) -> Iterator[Check]:
    """Refuse what does not beat the site's champion with the line's certainty; nothing is compared with itself."""
    if figures["compared_with_champion"]:
        yield from _better("champion", figures, gates.against_champion)


def earns_no_less_than_champion(figures: Figures, gates: Gates) -> Iterator[Check]:
    """Refuse a loss of money against the champion that chance does not explain.

    How sure that is follows from the holdout as for the headline figure; each model decides by its own threshold.
    """
    mode, limit = gates.against_champion.mode, gates.max_probability_of_loss
    if mode == "disabled" or not figures["compared_with_champion"]:
        return
    loss = _number(figures["probability_earns_less_than_champion"])
    beside = figures.get("value_eur_beside_champion", figures["value_eur"])
    ours, theirs = _number(beside) or 0.0, _number(figures["champion_value_eur"]) or 0.0
    yield Check.at_most(
        "probability_earns_less_than_champion",
        loss,
        limit,
        code="earns_no_less_than_champion",
        mode=mode,
        unit="share",
        title="chance of earning less than the champion",
        reason=f"could not be compared with the champion in money, limit {limit:.1%}{_too_few(figures)}"
        if loss is None
        else f"earns {ours:.2f} EUR, champion {theirs:.2f} EUR: less with a certainty of {loss:.1%}, limit {limit:.1%}",
    )


def served_as_trained(figures: Figures, gates: Gates) -> Iterator[Check]:
    """Refuse a served file that answers otherwise than the trained network."""
    what = "difference between served and trained answers"
    error = figures["parity_error"]
    yield Check.at_most("parity_error", error, gates.max_parity_error, code="served_as_trained", title=what)


def quick_enough(figures: Figures, gates: Gates) -> Iterator[Check]:
    """Refuse a model that answers one row too late."""
    what, latency = "time for one answer, ms", figures["latency_ms"]
    yield Check.at_most("latency_ms", latency, gates.max_latency_ms, code="quick_enough", title=what)


def small_enough(figures: Figures, gates: Gates) -> Iterator[Check]:
    """Refuse a file too large where it is served."""
    what, size = "size of the file, MB", figures["size_mb"]
    yield Check.at_most("size_mb", size, gates.max_size_mb, code="small_enough", title=what)


GATES: tuple[Gate, ...] = (
    enough_rows,
    contract_kept,
    no_leak,
    good_enough,
    better_than_constant,
    decides_like_a_constant,
    better_than_baseline,
    fairly_compared,
    better_than_champion,
    earns_no_less_than_champion,
    served_as_trained,
    quick_enough,
    small_enough,
)


def judge(evidence: Evidence, gates: Gates, *, asked: Sequence[Gate] = GATES) -> Verdict:
    """Return the verdict on the candidate's digest: every figure and check, and every reason, not only the first.

    Poor evidence gives reasons and raises nothing: no rows, one class, answers that are not probabilities.
    """
    figures = measured(
        evidence, baseline_margin=gates.against_baseline.margin, champion_margin=gates.against_champion.margin
    )
    figures["asks_less"] = gates.against_constant.asks_less
    return Verdict.of_checks(
        _checks(figures, gates, evidence.task, asked),
        figures,
        line=evidence.line,
        site=evidence.site,
        digest=evidence.digest,
    )


def what_if(figures: Figures, gates: Gates, task: Task, *, asked: Sequence[Gate] = GATES) -> tuple[Check, ...]:
    """Return what these gates say of figures already measured: `line.gates` with other limits, a verdict's figures.

    Every limit may differ except a comparison's margin, which is part of the figures `probability_better_than_baseline`
    and `…_champion`; a comparison that was disabled has no figures. Raises MeasuredOtherwise in both cases, and for
    figures from before candidates were compared with what needs no model.
    """
    if "probability_earns_more_than_constant" not in figures and gates.against_constant.mode != "disabled":
        raise MeasuredOtherwise(
            "these figures are from before candidates were compared with constant decisions: judge the candidate "
            "again, or ask with `against_constant: {mode: disabled}`"
        )
    for other, bar in (("baseline", gates.against_baseline), ("champion", gates.against_champion)):
        _require_same_margin(figures, other, bar)
    return _checks(figures, gates, task, asked)


def _checks(figures: Figures, gates: Gates, task: Task, asked: Sequence[Gate]) -> tuple[Check, ...]:
    """Return every check of the gates, in their order, and then the task's own."""
    return (*(check for gate in asked for check in gate(figures, gates)), *task.checks(figures))


def _require_same_margin(figures: Figures, other: str, bar: Comparison) -> None:
    measured_with = figures.get(f"margin_vs_{other}")
    if bar.mode != "disabled" and measured_with != bar.min_absolute_change:
        with_what = "no margin on record" if measured_with is None else f"the margin {measured_with:g}"
        raise MeasuredOtherwise(
            f"the comparison with the {other} was measured with {with_what}, and min_absolute_change "
            f"{bar.min_absolute_change:g} is asked about: judge the candidate again, or keep the margin"
        )


def _better(other: str, figures: Figures, bar: Comparison, *, note: str = "") -> Iterator[Check]:
    """Yield the check that the candidate is better than another model; none where that is not compared.

    `note` is what its title says beside that.
    """
    if bar.mode == "disabled":
        return
    margin = f" by more than {written(bar.min_absolute_change)}" if bar.min_absolute_change else ""
    share, change = (_number(figures[name]) for name in (f"probability_better_than_{other}", f"change_vs_{other}"))
    yield Check.at_least(
        f"probability_better_than_{other}",
        None if change is None else share,
        bar.min_probability,
        code=f"better_than_{other}",
        mode=bar.mode,
        unit="share",
        title=f"chance of being better than the {other}{margin}{note}",
        reason=f"could not be compared with the {other}, needs to be better with probability {bar.min_probability:.1%}"
        f"{_too_few(figures)}"
        if share is None or change is None
        else (
            f"better than the {other} by more than {bar.min_absolute_change:g} with probability {share:.1%}, "
            f"needs {bar.min_probability:.1%}; {readable(str(figures['headline']))} changes by {change:+.4f}"
        ),
    )


def _witnesses(figures: Figures, suffix: str = "") -> tuple[str, Figure, str]:
    """Return name and value of the figure that says how many witnesses there are, and what they are, in words.

    Where rows are not alike, and in figures from before that was known, every row is one.
    """
    what = str(figures.get("witnesses_are") or "rows")
    name = f"rows{suffix}" if what == "rows" else f"witnesses{suffix}"
    return name, figures[name] or 0, what


def _too_few(figures: Figures) -> str:
    """Return, as the end of a sentence, that witnesses are too few to tell; nothing where that is not so."""
    independent = _number(figures.get("independent_witnesses"))
    if independent is None or independent >= MIN_WITNESSES:
        return ""
    found, what = int(figures["witnesses"] or 0), figures["witnesses_are"]
    alike = f" that resemble each other and show as much as {independent:.1f}" if found >= MIN_WITNESSES else ""
    return f": too few witnesses to tell, {found} {what}{alike}, needs {MIN_WITNESSES:g}"


def _unit(name: str, value: Figure) -> Unit:
    if name.endswith("_eur"):
        return "eur"
    return "count" if isinstance(value, int) else "number"


def _written(loss: float | None) -> str:
    return "unknown" if loss is None else f"{loss:.4g}"


def _number(figure: Figure) -> float | None:
    return float(figure) if isinstance(figure, int | float) else None
