"""What a person reads of a rollout: a wave after each of its steps, and what to do when it halted."""

from collections.abc import Sequence

from factory.pipeline.rollout.judging import Outcome, value_change_eur
from factory.pipeline.rollout.state import Rollout, Wave

WORDS = {"takes": "takes it", "serves": "has it", "refused": "refused", "failed": "failed", "held": "held back"}
HEADINGS = ("site", "candidate", "version", "{headline}", "champion", "value EUR", "champion")


def rollout_lines(rollout: Rollout) -> list[str]:
    """Return the whole rollout, wave by wave."""
    ready = "" if rollout.prepared else "; candidates are not all made and judged yet"
    head = f"{rollout.line}: {rollout.title}: {rollout.state}{ready}"
    waves = [line for number in range(len(rollout.waves)) for line in wave_lines(rollout, number)]
    return [head, *waves, *(advice(rollout) if rollout.state == "halted" else [])]


def wave_lines(rollout: Rollout, number: int) -> list[str]:
    """Return a wave's state at its present step."""
    wave = rollout.waves[number]
    head = f"wave {number + 1} of {len(rollout.waves)}, {wave.step}: {', '.join(wave.sites)}"
    if wave.step == "to come":
        return [head]
    return [
        head,
        *(f"  {line}" for line in (*_table(wave.outcomes), *_totals(rollout, wave))),
        *(f"  {outcome.site}  {outcome.why}" for outcome in wave.outcomes if outcome.why),
        *(f"  halts: {reason.says}" for reason in wave.reasons),
        *(f"  {site}  {what}" for site, what in wave.reverted.items()),
    ]


def step_lines(rollout: Rollout, number: int) -> list[str]:
    """Return what a wave's newest step adds: the figures once, then only what is new."""
    wave = rollout.waves[number]
    if wave.step in ("judged", "halted"):
        return [*wave_lines(rollout, number), *(advice(rollout) if wave.step == "halted" else [])]
    if wave.step == "released":
        return [
            f"wave {number + 1} of {len(rollout.waves)}, released: every release loads and answers its example",
            *(f"  {outcome.site}  {outcome.why}" for outcome in wave.outcomes if outcome.why),
        ]
    return [f"wave {number + 1} of {len(rollout.waves)}, {wave.step}"]


def advice(rollout: Rollout) -> list[str]:
    """Return what a person does next when a rollout halted."""
    held = [site for wave in rollout.waves for site in wave.reverted]
    after = [site for wave in rollout.waves if wave.step in ("to come", "halted") for site in wave.sites]
    return [
        f"Halted. {len(after)} sites serve what they served and wait: {', '.join(after)}",
        "Remove the cause; then let the held sites go and begin anew:",
        *(f"  factory allow {site} --line {rollout.line} --by NAME --reason …" for site in held),
        f"  {rollout.command} --again",
        f"Or give it up: factory rollout end {rollout.line} --by NAME --reason …",
    ]


def _table(outcomes: Sequence[Outcome]) -> list[str]:
    headline = next((outcome.headline for outcome in outcomes if outcome.headline), "figure").replace("_", " ")
    rows = [[heading.format(headline=headline) for heading in HEADINGS], *map(_cells, outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_row(row, widths) for row in rows]


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return a table's row: words to the left, figures to the right."""
    words, figures = zip(cells[:3], widths[:3], strict=True), zip(cells[3:], widths[3:], strict=True)
    texts = [*(f"{text:<{width}}" for text, width in words), *(f"{text:>{width}}" for text, width in figures)]
    return "  ".join(texts).rstrip()


def _cells(outcome: Outcome) -> list[str]:
    figures = [_number(value, ".4f") for value in (outcome.figure, outcome.champion_figure)]
    money = [_number(value, ",.0f") for value in (outcome.value_eur, outcome.champion_value_eur)]
    return [outcome.site, WORDS[outcome.kind], f"v{outcome.version}" if outcome.version else "—", *figures, *money]


def _number(value: float | None, form: str) -> str:
    return "—" if value is None else format(value, form)


def _totals(rollout: Rollout, wave: Wave) -> list[str]:
    limits, change = rollout.terms.limits, value_change_eur(wave.outcomes)
    counted = [outcome for outcome in wave.outcomes if outcome.counted]
    against = sum(outcome.kind in ("refused", "failed") for outcome in counted)
    total = sum(outcome.value_eur or 0.0 for outcome in wave.outcomes if outcome.kind in ("takes", "serves"))
    money = "nothing is replaced" if change is None else f"{change:+,.0f} against what is replaced"
    return [
        f"refused or failed: {against} of {len(counted)} sites that count, limit {limits.max_refused:.0%}",
        f"value: {total:,.0f} EUR on the holdout, {money}, limit {limits.min_value_change_eur:+,.0f}",
    ]
