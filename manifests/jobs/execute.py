"""The work of each stage up to the blends: from the store's rows to the tables that the stage writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from manifests.component import Context
from manifests.errors import ConservationError, UserError
from manifests.jobs import rows
from manifests.jobs.stages import Stage, space_of
from manifests.migrations import utc
from manifests.names import canonical_json

if TYPE_CHECKING:
    from manifests.jobs.spec import Job
    from manifests.store import Store
    from mixers.blend import Blend

Tables = dict[str, pl.DataFrame]


def read(job: Job, store: Store, stage: Stage, context: Context) -> Tables:
    """Read one source into samples and rejects."""
    source = stage.component
    reading = source.tables(job.data, (job.root, job.data), context)
    facts = {
        "source": source.name,
        "role": source.role,
        "uri": source.path or source.hub,
        "revision": source.revision,
        "licence": source.licence,
        "non_commercial": source.forbids_commerce,
        "rows": reading.rows,
        "samples": reading.samples.height,
        "rejects": reading.rejects.height,
        "skipped": reading.skipped,
        "sha256": reading.sha256,
    }
    return {
        "sources": pl.DataFrame([facts], schema_overrides={"revision": pl.String}),
        "samples": reading.samples,
        "rejects": reading.rejects,
    }


def step(job: Job, store: Store, stage: Stage, context: Context) -> Tables:
    """Let a step decide on every sample it sees; one decision row each, dropped or kept."""
    component = stage.component
    samples = rows.kept_with(store, component, stage.position)
    reference = {role: rows.kept(store, (role,), stage.position) for role in component.needs}
    decided = component.decide(samples, reference, context)
    _expect_ids(stage, decided, samples, exact=False)
    label = stage.name.split(":", 1)[1]
    decisions = samples.select("sample_id", "source").join(decided, on="sample_id", how="left", maintain_order="left")
    decisions = decisions.with_columns(pl.col("kept").fill_null(value=True), pl.lit(label).alias("step"))
    return {"decisions": decisions}


def score(job: Job, store: Store, stage: Stage, context: Context) -> Tables:
    """Let a scorer score every kept sample of its roles; one that `needs` other roles is handed their rows too."""
    component = stage.component
    samples = rows.kept_with(store, component, stage.position)
    reference = {role: rows.kept(store, (role,), stage.position) for role in getattr(component, "needs", ())}
    scored = component.score(samples, context, reference) if reference else component.score(samples, context)
    _expect_ids(stage, scored.scores, samples, exact=True)
    tables = {"scores": scored.scores}
    if scored.verdicts is not None:
        _expect_ids(stage, scored.verdicts, samples, exact=True)
        tables["verdicts"] = scored.verdicts
    if scored.quality is not None:
        tables["quality"] = scored.quality
    return tables


def cells(job: Job, store: Store, stage: Stage, context: Context) -> Tables:
    """Embed the kept samples, cut the space into cells, and state how well the pool covers each target."""
    from mixers import cells as mixing
    from mixers.coverage_numbers import coverage

    space = stage.component
    samples = rows.kept(store, ("generalist", "specialist", "eval"))
    vectors = rows.vectors(context)(space.encoder, samples)
    is_target = (samples["role"] != "generalist").to_numpy()
    assigned = mixing.assign(vectors, samples["sample_id"].to_list(), is_target, space.cells, space.seed)
    frame = samples.select("sample_id", pl.lit(space.name).alias("space"), pl.Series("cell", assigned, dtype=pl.Int32))
    covered = coverage(samples.with_columns(frame["cell"]), vectors, space.cells, space.seed)
    return {"cells": frame, "coverage": covered}


def mix(job: Job, store: Store, stage: Stage, context: Context) -> Tables:
    """Draw one blend and export it to `blends/<name>@<seed>/`."""
    from mixers.export import export

    mixer = stage.component
    space = space_of(job, mixer)
    names = [ref for (ref,) in store.query("SELECT blend FROM store.blends").iter_rows()]
    like = getattr(mixer, "like", None)
    earlier = {ref: rows.blend_of(store, ref) for ref in names if like is not None and ref.split("@")[0] == like}
    pool = rows.pool(store, None if space is None else space.name, context)
    _expect_rows(store, mixer, pool.samples)
    blend = mixer.blend(pool, stage.seed, earlier)
    _tell(blend, mixer, context)
    tables = blend_tables(pool.samples, blend)
    export(blend, tables.pop("text"), context.root / "blends" / blend.ref)
    return tables


def _expect_rows(store: Store, mixer: Any, samples: pl.DataFrame) -> None:  # noqa: ANN401 - any mixer
    """Raise UserError, with the funnel, where a recipe is to draw from generalist rows and none is left."""
    if getattr(mixer, "rows", None) == 0 or getattr(mixer, "like", None) is not None:
        return
    if "generalist" in samples["role"] or not store.query("FROM store.sources WHERE role = 'generalist'").height:
        return
    read, rejected = store.query(
        "SELECT sum(rows), sum(rejects) FROM store.sources WHERE role = 'generalist'",
    ).row(0)
    dropped = store.query(
        "SELECT step, reason, count(*) FROM store.decisions JOIN store.samples USING (sample_id)"
        " WHERE NOT kept AND role = 'generalist' GROUP BY ALL ORDER BY min(store.decisions.stage), 3 DESC, 2"
    )
    parts = [
        f"{read} read",
        f"{rejected} rejected",
        *(f"{n} dropped by {step} ({why})" for step, why, n in dropped.rows()),
    ]
    raise UserError(
        f"blend '{mixer.name}' has no generalist row to draw from",
        value="; ".join(parts),
        remedy="see which rows and why with: SELECT * FROM funnel; loosen the step that drops them",
    )


def _tell(blend: Blend, mixer: Any, context: Context) -> None:  # noqa: ANN401 - any mixer
    """Say how often rows are repeated; raise UserError where all rows that pass a recipe's gate are none."""
    drawn = blend.members.filter(pl.col("role") == "generalist")
    if drawn.is_empty() and getattr(mixer, "rows", None) == "all":
        what = f"blend '{mixer.name}' draws all generalist rows that pass, and none passes"
        raise UserError(what, value=mixer.where, remedy="loosen `where`, or write rows: 0 for none")
    most = int(drawn["repeats"].max() or 0)  # type: ignore[arg-type]
    if most > 1:
        total = int(drawn["repeats"].sum())
        context.say(f"{blend.ref}: {total:,} generalist rows from {drawn.height:,}: each is shown up to {most} times")


def blend_tables(samples: pl.DataFrame, blend: Blend) -> Tables:
    """Return the rows that record a blend of `rows.scored` samples, and under `text` its members' for the export."""
    text = samples.join(blend.members.select("sample_id"), on="sample_id", how="semi", maintain_order="left")
    sizes = blend.members.join(text.select("sample_id", "n_tokens"), on="sample_id", how="left")
    head = {
        "blend": blend.ref,
        "recipe_name": blend.name,
        "content_id": blend.content_id,
        "recipe": canonical_json(dict(blend.recipe)),
        "seed": blend.seed,
        "n_rows": int(blend.members["repeats"].sum()),
        "n_samples": blend.members.height,
        "n_tokens": int((sizes["repeats"] * sizes["n_tokens"]).sum()),
        "created_at": utc(),
    }
    named = pl.lit(blend.ref).alias("blend")
    return {
        "blends": pl.DataFrame([head]),
        "members": blend.members.with_columns(named),
        "strata": blend.strata.with_columns(named),
        "text": text,
    }


WORK: Final[Mapping[str, Callable[[Job, Store, Stage, Context], Tables]]] = {
    "read": read,
    "step": step,
    "score": score,
    "cells": cells,
    "mix": mix,
}
"""Kind of stage -> the function that does its work."""


def _expect_ids(stage: Stage, answer: pl.DataFrame, samples: pl.DataFrame, *, exact: bool) -> None:
    ids: Any = answer["sample_id"]
    if ids.n_unique() != answer.height:
        raise ConservationError(f"stage {stage.name} answered twice for a sample")
    stray = answer.join(samples.select("sample_id"), on="sample_id", how="anti").height
    if stray or (exact and answer.height != samples.height):
        raise ConservationError(
            f"stage {stage.name} was given {samples.height} samples and answered for {answer.height},"
            f" {stray} of them not among those given"
        )
