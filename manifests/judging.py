"""The judge on trial: a manifest's verdicts against labels that its samples carry or that were given by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from manifests import labels as by_hand
from manifests import schema
from manifests.errors import UserError

if TYPE_CHECKING:
    from curate.judges import Reply
    from manifests.store import Manifest

BY_HAND: Final = "labels"
"""The label that means those given by hand; a key of meta of this name is written `meta.labels`."""


class Reader:
    """A published manifest with the verb of a store."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    def query(self, sql: str, parameters: Sequence[object] = ()) -> pl.DataFrame:
        """Return the rows of a query."""
        return self._manifest.sql(sql, parameters)


def evaluate(
    manifest: Manifest,
    label: str,
    *,
    judge: str | None = None,
    group: str | None = None,
    threshold: float | None = None,
    seed: int = 0,
    price: Callable[[Reply], float] | None = None,
) -> dict[str, Any]:
    """Return how well a scorer finds the rows that are wrong, beside predictors that know nothing of the world.

    The scorer is one with verdicts, or with values between 0 and 1 (turned round where 1 is the better end). A row is
    wrong where `meta[label]` is true or, with the label `labels`, where the majority of those who read it said so; rows
    without a label are left out and counted under `unlabelled`. Rows of one prompt, or of one value of `meta[group]`,
    are resampled together for the intervals and share a fold of the baselines. Without a `threshold`, it is the
    scorer's own, or one half. The numbers are those of `curate.calibrate.evaluate` and `rivals`; `cost` is that of the
    stored calls per 1,000 rows (`price` gives a reply's), `prevalence` the share of wrong rows by the scorer's count
    and corrected. Raises UserError when the scorer is not named and there are several, when it has no values of that
    kind, when no row has the label and when a label is not true or false.
    """
    from curate import calibrate
    from curate.baseline import baselines

    name, said = scored_by(manifest, judge)
    cut = threshold_of(manifest, name) if threshold is None else threshold
    rows = _marked(manifest, said, label)
    judged = rows.filter(pl.col("label_wrong").is_not_null())
    names = _groups(judged, group)
    wrong = judged["label_wrong"].to_numpy()
    found = calibrate.evaluate(wrong, judged["p_error"].to_list(), judged["status"].to_list(), names, cut, seed)
    ok = (judged["status"] == "ok").to_numpy()
    scored = judged.filter(ok)
    kept = [name for name, there in zip(names, ok, strict=True) if there]
    beside = calibrate.rivals(
        wrong[ok], scored["p_error"].to_numpy(), baselines(scored, wrong[ok], kept, seed=seed), kept, seed
    )
    return {
        "judge": name,
        "label": label,
        "unlabelled": rows.height - judged.height,
        "groups": len(set(names)),
        **found,
        **beside,
        "cost": _cost(manifest, rows, price),
        "prevalence": _prevalence(rows, group, cut),
    }


def metrics_frame(found: Mapping[str, Any]) -> pl.DataFrame:
    """Return the statistics of `evaluate` as rows: metric, value, low, high (95 % interval)."""
    rows = [(name, item["value"], item["low"], item["high"]) for name, item in found["metrics"].items()]
    shape = {"metric": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows, schema=shape, orient="row")


def compared_frame(found: Mapping[str, Any]) -> pl.DataFrame:
    """Return the statistics of `evaluate` as rows, one column for the judge and one for each baseline."""
    columns = {found["judge"]: found["metrics"], **found["baselines"]}
    names = list(found["metrics"])
    return pl.DataFrame(
        {
            "metric": names,
            **{who: [part.get(name, {}).get("value") for name in names] for who, part in columns.items()},
        },
        schema={"metric": pl.String, **dict.fromkeys(columns, pl.Float64)},
    )


def told_frame(found: Mapping[str, Any]) -> pl.DataFrame:
    """Return what else `evaluate` found as rows: what, value, low, high, note."""
    rows = [("base_rate", found["base_rate"], None, None, "share of wrong rows among the labelled")]
    rows += [
        (f"gain_{name}", item["value"], item["low"], item["high"], f"against {item['against']}")
        for name, item in found["difference"].items()
    ]
    rows += [
        (f"prevalence_{name}", item["value"], item["low"], item["high"], item["note"])
        for name, item in found["prevalence"].items()
    ]
    rows += [(f"cost_{name}", float(value), None, None, "per 1,000 rows") for name, value in found["cost"].items()]
    shape = {"what": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "note": pl.String}
    return pl.DataFrame(rows, schema=shape, orient="row")


def quality_frame(found: Mapping[str, Any]) -> pl.DataFrame:
    """Return what `evaluate` found as `schema.QUALITY` rows.

    Baselines are the metrics `baseline_NAME_METRIC`, differences from the best of them `gain_METRIC`.
    """
    on = found["label"] if found["label"] == BY_HAND else f"meta.{found['label'].removeprefix('meta.')}"
    rows: list[tuple[str, Any, Any, Any, int, str | None]] = []

    def add(metric: str, item: Mapping[str, Any], n: int, note: str | None = None) -> None:
        """Add a row for one number."""
        rows.append((metric, item["value"], item.get("low"), item.get("high"), n, note))

    scored = found["n_scored"]
    add("base_rate", {"value": found["base_rate"]}, found["n"])
    add("threshold", {"value": found["threshold"]}, found["n"])
    for metric, item in found["metrics"].items():
        at = f"threshold {item['threshold']:.6g}" if item.get("threshold") is not None else None
        add(metric, item, found["n"] if metric.endswith("_rate") else scored, at)
    for rival, metrics in found["baselines"].items():
        for metric, item in metrics.items():
            add(f"baseline_{rival}_{metric}", item, scored)
    for metric, item in found["difference"].items():
        add(f"gain_{metric}", item, scored, f"against {item['against']}")
    for metric, item in found["prevalence"].items():
        add(f"prevalence_{metric}", item, item["n"], item["note"] or None)
    for metric, value in found["cost"].items():
        add(f"cost_{metric}", {"value": value}, found["n"] + found["unlabelled"], "per 1,000 rows")
    shaped = [dict(zip(schema.QUALITY, (found["judge"], on, *row), strict=True)) for row in rows]
    return schema.frame([row | {"value": _number(row["value"])} for row in shaped], schema.QUALITY)


def scored_by(manifest: Manifest, judge: str | None) -> tuple[str, pl.DataFrame]:
    """Return the scorer's name and what it said of each sample, ordered by sample_id.

    Columns sample_id, k64, source, prompt, response, meta, p_error, status and the call's key. Raises UserError as
    `evaluate` does.
    """
    name = _scorer(manifest, judge)
    return name, _rows(manifest, name)


def _number(value: Any) -> float | None:  # noqa: ANN401 - int or float
    return None if value is None else float(value)


def _scorer(manifest: Manifest, judge: str | None) -> str:
    """Return the scorer's name: the only one with verdicts when none is given."""
    judges = manifest.sql("SELECT DISTINCT judge FROM verdicts ORDER BY judge")["judge"].to_list()
    scorers = manifest.sql("SELECT DISTINCT scorer FROM scores ORDER BY scorer")["scorer"].to_list()
    if judge is not None and judge not in {*judges, *scorers}:
        raise UserError("no verdicts of this judge", value=judge, options=sorted({*judges, *scorers}))
    if judge is None and not judges:
        remedy = "add a judge to the job, under curate, or name another scorer with --judge"
        raise UserError("no verdicts in this manifest", value=str(manifest.file), remedy=remedy)
    if judge is None and len(judges) > 1:
        raise UserError("several judges gave verdicts", value=judges, remedy="name one with --judge")
    return judge or str(judges[0])


def _rows(manifest: Manifest, name: str) -> pl.DataFrame:
    """Return what the scorer said of each sample: p_error, status, the call's key, beside the sample's text."""
    text = "s.sample_id, s.k64, s.source, s.prompt, s.response, s.meta"
    if manifest.sql("SELECT count(*) FROM verdicts WHERE judge = ?", [name]).item():
        return manifest.sql(
            f"SELECT {text}, v.p_error, v.status, c.key FROM verdicts v JOIN samples s USING (sample_id)"  # noqa: S608
            " LEFT JOIN scores c ON c.sample_id = v.sample_id AND c.scorer = v.judge"
            " WHERE v.judge = ? ORDER BY s.sample_id",
            [name],
        )
    rows = manifest.sql(
        f"SELECT {text}, c.value AS p_error, c.status, c.key FROM scores c JOIN samples s USING (sample_id)"  # noqa: S608
        " WHERE c.scorer = ? ORDER BY s.sample_id",
        [name],
    )
    values = rows["p_error"].drop_nulls()
    if len(values) and not ((values >= 0.0) & (values <= 1.0)).all():
        remedy = "a scorer without verdicts is measured when its values are 0 to 1"
        raise UserError(f"the values of '{name}' are no probabilities", value=values.max(), remedy=remedy)
    return rows.with_columns(p_error=1.0 - pl.col("p_error")) if _good(manifest, name) == "high" else rows


def _spec(manifest: Manifest, name: str) -> dict[str, Any]:
    specs = manifest.sql(
        "SELECT spec FROM store.stages WHERE stage IN (SELECT stage FROM store.scores WHERE scorer = ?)", [name]
    )["spec"]
    found: dict[str, Any] = json.loads(specs[0]) if len(specs) else {}
    return found


def _good(manifest: Manifest, name: str) -> str:
    """Return the better end of a scorer's scale, as its field `better` or its kind says."""
    from curate.step import STEPS

    spec = _spec(manifest, name)
    given = spec.get("better")
    found = given if isinstance(given, str) else getattr(STEPS.load(spec["kind"]), "good", "low") if spec else "low"
    return found if isinstance(found, str) else "low"


def threshold_of(manifest: Manifest, name: str) -> float:
    """Return the scorer's own threshold, one half where it has none between 0 and 1."""
    value = _spec(manifest, name).get("threshold")
    return float(value) if isinstance(value, int | float) and 0.0 <= value <= 1.0 else 0.5


def _marked(manifest: Manifest, rows: pl.DataFrame, label: str) -> pl.DataFrame:
    """Return the rows with the columns of `labels.TRUTH`; every label in meta counts as drawn at random."""
    from curate import calibrate

    if label == BY_HAND:
        marked = by_hand.beside(rows, Reader(manifest))
        if not marked["label_wrong"].is_not_null().any():
            remedy = "write a review file with: blendsmith judge review M FILE, then import-labels"
            raise UserError("no row of this judge has a label by hand", value=str(manifest.file), remedy=remedy)
        return marked
    return rows.with_columns(
        calibrate.labelled(rows, label).alias("label_wrong"),
        pl.lit("random").alias("label_drawn"),
        pl.lit(1.0).alias("label_weight"),
    )


def _groups(rows: pl.DataFrame, group: str | None) -> list[str]:
    """Return what each row is resampled with: its prompt, or a value of its meta."""
    from curate.text import normalise

    if group is None:
        return normalise(rows["prompt"], case=True).to_list()
    key = group.removeprefix("meta.")
    return [str(json.loads(text or "{}").get(key)) for text in rows["meta"]]


def _cost(manifest: Manifest, rows: pl.DataFrame, price: Callable[[Reply], float] | None) -> dict[str, float]:
    """Return what the stored calls cost per 1,000 rows of this scorer: calls, tokens, seconds, price when known."""
    from curate.inquiry import stored

    keys = rows["key"].drop_nulls().unique().sort().to_list()
    replies = stored(manifest.root, keys).values() if keys else []
    if not replies:
        return {"calls": 0.0}
    per = 1000.0 / rows.height
    found: dict[str, float] = {
        "calls": per * len(replies),
        "tokens_in": per * sum(reply.tokens_in for reply in replies),
        "tokens_out": per * sum(reply.tokens_out for reply in replies),
        "seconds": per * sum(reply.seconds for reply in replies),
    }
    return found | ({"price": per * sum(map(price, replies))} if price is not None else {})


def _prevalence(rows: pl.DataFrame, group: str | None, threshold: float) -> dict[str, dict[str, Any]]:
    """Return the share of wrong rows among the scored ones of the sources that have labels: counted, and corrected.

    Labels count when they come from a random or a stratified draw; otherwise the corrections are refused.
    """
    import numpy as np

    from curate import prevalence
    from curate.calibrated import best_draw

    there = rows.filter(pl.col("label_wrong").is_not_null())["source"].unique().implode()
    pool = rows.filter((pl.col("status") == "ok") & pl.col("source").is_in(there))
    p, known = pool["p_error"].to_numpy(), pool["label_wrong"].is_not_null().to_numpy()
    drawn = pool["label_drawn"].fill_null("other").to_numpy().astype(np.str_)
    usable = np.flatnonzero(known)[best_draw(drawn[known])] if known.any() else np.flatnonzero(known)
    found = {"naive": prevalence.naive(p >= threshold)}
    if not len(usable):
        none = prevalence.Estimate(None, note="no label comes from a random or stratified draw")
        found |= {"rogan_gladen": none, "ppi": none}
    else:
        groups = np.unique(np.asarray(_groups(pool[usable.tolist()], group)), return_inverse=True)[1]
        marked = pool["label_wrong"].fill_null(value=False).to_numpy()[usable]
        weight = pool["label_weight"].fill_null(0.0).to_numpy()[usable]
        kept = prevalence.Labelled(marked, p[usable], weight, groups)
        found["rogan_gladen"] = prevalence.rogan_gladen(p >= threshold, kept, threshold)
        found["ppi"] = prevalence.prediction_powered(p, kept)
    return {name: vars(estimate) for name, estimate in found.items()}
