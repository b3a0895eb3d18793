"""Before any training: what generalist rows may gain a target, and which blends to try first.

The history is every comparison, in the given manifests, of a blend with the same specialist rows alone; `trainers.gain`
says how it is used. With little history the intervals are those of the prior: wide, and around nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from manifests.errors import UserError
from manifests.tasks import wider
from trainers.gain import COVERAGE, Case, Forecast, Gain, forecast

if TYPE_CHECKING:
    from manifests.store import Manifest

FACTUAL: Final = ("knowledge", "closed-book", "factual")
"""First parts of a task's name that say it asks for factual knowledge."""
TIMES: Final = (0.5, 1, 2, 4, 8, 16)
"""Amounts of generalist rows, as multiples of the specialist rows, advised on where no blend is drawn."""
ADVICE: Final[Mapping[str, type[pl.DataType]]] = {
    "target": pl.String,
    "budget": pl.String,  # tokens (equal training) or exposures (the specialist rows as often as without)
    "blend": pl.String,  # recipe, null for an amount that no blend has
    "specialist_rows": pl.Float64,
    "generalist_rows": pl.Float64,
    "gain": pl.Float64,  # in standard deviations of the examples' values
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "p_helps": pl.Float64,
    "basis": pl.String,
}
_PAIRS: Final = """
    WITH spread AS (
        SELECT split_part(run, '@', 1) AS recipe, task, metric, stddev_samp(value) AS sd FROM results GROUP BY ALL
    )
    SELECT c.task, c.metric, split_part(c.blend_a, '/', 2) AS budget, c.difference / s.sd AS gain,
        (c.ci_high - c.ci_low) / 3.92 / s.sd AS error, a.specialist_rows, a.generalist_rows
    FROM comparisons c
    JOIN ratio_curve a ON a.task = c.task AND a.metric = c.metric AND a.blend = c.blend_a
    JOIN ratio_curve b ON b.task = c.task AND b.metric = c.metric AND b.blend = c.blend_b
    JOIN spread s ON s.task = c.task AND s.metric = c.metric AND s.recipe = split_part(c.blend_b, '/', 1)
    WHERE a.generalist_rows > 0 AND b.generalist_rows = 0 AND b.specialist_rows > 0
        AND abs(a.specialist_rows - b.specialist_rows) < 0.5 AND s.sd > 0 AND c.difference IS NOT NULL
        AND c.ci_low IS NOT NULL
    ORDER BY ALL
"""


def history(manifest: Manifest) -> list[Gain]:
    """Return what each comparison of a blend with its specialist rows alone gained, in the manifest's order."""
    targets = _targets(manifest)
    covered = _covered(manifest)
    found = []
    for row in manifest.sql(_PAIRS).iter_rows(named=True):
        target = targets.get(row["task"], row["task"])
        case = Case(
            target=target,
            specialist_rows=row["specialist_rows"],
            generalist_rows=row["generalist_rows"],
            coverage=covered.get(target, {}),
            factual=_factual(target),
            exposures=row["budget"] == "exposures",
        )
        found.append(Gain(case, row["gain"], row["error"]))
    return found


def advise(manifest: Manifest, past: Sequence[Manifest] = (), target: str | None = None) -> pl.DataFrame:
    """Return `ADVICE` for the blends of a manifest, the most promising first: what a target may gain, and how surely.

    The manifest needs its rows read and a coverage number of the target (a recipe that uses cells). Where no blend with
    generalist rows is drawn, the amounts are `TIMES` the target's specialist rows. `past` are manifests with results;
    those of the manifest itself count too. Raises UserError for an unknown target or where there is none.
    """
    covered = _covered(manifest)
    if not covered:
        raise UserError(
            "the manifest states no coverage of a target",
            value=str(manifest.root),
            remedy="add a recipe that uses cells, such as {kind: coverage}, and run the job up to its blends",
        )
    if target is not None and target not in covered:
        raise UserError("no coverage of such a target", value=target, options=sorted(covered))
    known = [gain for one in (*past, manifest) for gain in history(one)]
    basis = _basis(known)
    chosen = sorted(covered) if target is None else [target]
    rows = [
        _advice(Case(name, own, more, covered[name], _factual(name), exposures), known, blend) | {"basis": basis}
        for name in chosen
        for blend, own, more in _candidates(manifest, name)
        for exposures in (False, True)
    ]
    frame = pl.DataFrame(rows, schema=dict(ADVICE))
    return frame.sort("target", "budget", "gain", "blend", descending=[False, True, True, False], nulls_last=True)


def _advice(case: Case, known: Sequence[Gain], blend: str | None) -> dict[str, Any]:
    found: Forecast = forecast(known, case)
    return {
        "target": case.target,
        "budget": "exposures" if case.exposures else "tokens",
        "blend": blend,
        "specialist_rows": case.specialist_rows,
        "generalist_rows": case.generalist_rows,
        "gain": found.gain,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "p_helps": found.p_helps,
    }


def _candidates(manifest: Manifest, target: str) -> list[tuple[str | None, float, float]]:
    """Return (recipe, specialist rows, generalist rows) of the drawn blends, else amounts by the target's rows."""
    drawn = manifest.sql(
        "SELECT b.recipe_name, avg(s) AS own, avg(g) AS more FROM blends b JOIN ("
        " SELECT blend, coalesce(sum(repeats) FILTER (WHERE role = 'specialist'), 0) AS s,"
        " coalesce(sum(repeats) FILTER (WHERE role = 'generalist'), 0) AS g FROM blend_members GROUP BY blend"
        ") USING (blend) GROUP BY ALL HAVING own > 0 AND more > 0 ORDER BY 1"
    )
    if drawn.height:
        return [(str(name), float(own), float(more)) for name, own, more in drawn.iter_rows()]
    counted = manifest.sql(
        "SELECT count(*) FROM samples WHERE role = 'specialist' AND kept"
        " AND (source = ? OR task = ? OR starts_with(task, ? || '/'))",
        [target, target, target],
    )
    own = float(max(1, counted.item()))
    return [(None, own, round(own * times)) for times in TIMES]


def _targets(manifest: Manifest) -> dict[str, str]:
    """Return each measured task's target: the narrowest task that holds its examples, else their one source."""
    found = manifest.sql(
        "SELECT DISTINCT r.task AS measured, s.source, s.task FROM results r"
        " JOIN samples s ON s.sample_id = r.example_id ORDER BY ALL"
    )
    named: dict[str, str] = {}
    for (measured,), part in found.group_by("measured", maintain_order=True):
        tasks = part["task"].to_list()
        shared = [] if None in tasks else [w for w in wider(tasks) if all(w in wider([task]) for task in tasks)]
        source = part["source"].unique().to_list()
        if shared:
            named[str(measured)] = max(shared, key=len)
        elif len(source) == 1:
            named[str(measured)] = source[0]
    return named


def _covered(manifest: Manifest) -> dict[str, dict[str, float]]:
    """Return each target's coverage numbers in the whole pool."""
    found: dict[str, dict[str, float]] = {}
    for target, metric, value in manifest.sql(
        "SELECT target, metric, value FROM coverage WHERE source = 'pool' AND list_contains(?, metric) ORDER BY ALL",
        [list(COVERAGE)],
    ).iter_rows():
        found.setdefault(target, {})[metric] = value
    return found


def _factual(target: str) -> bool:
    return target.split("/", maxsplit=1)[0] in FACTUAL


def _basis(known: Sequence[Gain]) -> str:
    targets = len({gain.case.target for gain in known})
    if not known:
        return "prior only: no comparison with specialist rows alone yet"
    return f"{len(known)} comparison{'s'[: len(known) > 1]} on {targets} target{'s'[: targets > 1]}"
