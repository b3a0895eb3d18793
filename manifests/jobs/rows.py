"""What the components of a job are given: frames and rows read back from the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import polars as pl

from manifests import labels, schema
from manifests.predicate import score_column, select, verdict_column
from manifests.tasks import within

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from manifests.component import Context
    from manifests.store import Manifest
    from mixers.blend import Blend
    from mixers.mixer import Pool
    from trainers.trainer import Example, Row

_COLUMNS: Final = ", ".join(f"s.{name}" for name in schema.SAMPLES)
_DECIDED: Final = "store.decisions d JOIN store.stages g USING (stage) WHERE g.position < ?"
_END: Final = 2**31 - 1


class State(Protocol):
    """The manifest as a job sees it: the writer's work file or a published copy."""

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pl.DataFrame:
        """Return the rows of a query."""


@dataclass(frozen=True)
class Published:
    """A published manifest as a `State`."""

    manifest: Manifest

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pl.DataFrame:
        """Return the rows of a query over its published copy."""
        return self.manifest.sql(sql, parameters)


def kept(state: State, roles: Sequence[str], before: int = _END) -> pl.DataFrame:
    """Return the samples of `roles` that no step has dropped, `schema.SAMPLES` ordered by sample_id.

    Only steps at a position less than `before` count: those after a stage that is run again may still be there.
    """
    return state.query(
        f"SELECT {_COLUMNS} FROM store.samples s WHERE s.role IN (SELECT unnest(?)) AND s.sample_id NOT IN"  # noqa: S608
        f" (SELECT d.sample_id FROM {_DECIDED} AND NOT d.kept) ORDER BY s.sample_id",
        [list(roles), before],
    )


def kept_with(state: State, component: Any, before: int = _END) -> pl.DataFrame:  # noqa: ANN401 - a curate.Step or Scorer
    """Return the kept samples of a component's roles, with the values of the scorers that it reads; see `kept`.

    One whose `reads_verdicts` is true gets whole verdicts, see `_with_verdicts`. One whose `reads_remarks` is true also
    gets a list column `remarks`: the reasons that earlier steps gave when they kept the row, in alphabetical order. One
    whose `reads_labels` is true gets the columns of `labels.TRUTH`.
    """
    read = _with_verdicts if getattr(component, "reads_verdicts", False) else _with_scores
    frame = read(state, kept(state, component.roles, before), getattr(component, "reads", ()))
    if getattr(component, "reads_labels", False):
        frame = labels.beside(frame, state)
    if not getattr(component, "reads_remarks", False):
        return frame
    found = state.query(
        "SELECT d.sample_id, list_sort(list(DISTINCT d.reason)) AS remarks"  # noqa: S608
        f" FROM {_DECIDED} AND d.kept AND d.reason IS NOT NULL GROUP BY d.sample_id",
        [before],
    ).cast({"remarks": pl.List(pl.String)})
    frame = frame.join(found, on="sample_id", how="left", maintain_order="left")
    return frame.with_columns(pl.col("remarks").fill_null(pl.lit([], pl.List(pl.String))))


def _with_scores(state: State, frame: pl.DataFrame, scorers: Iterable[str]) -> pl.DataFrame:
    """Return the frame with a column of values per scorer, null where it gave none."""
    for scorer in scorers:
        values = state.query("SELECT sample_id, value FROM store.scores WHERE scorer = ?", [scorer])
        column = values.rename({"value": score_column(scorer)})
        frame = frame.join(column, on="sample_id", how="left", maintain_order="left")
    return frame


def _with_verdicts(state: State, frame: pl.DataFrame, scorers: Iterable[str]) -> pl.DataFrame:
    """Return the frame with a struct column `predicate.verdict_column` per scorer, null for a row that it did not see.

    Its fields: value, status and why of the score, and defect, claims, evidence and repair of the verdict, null where
    the scorer gives no verdicts.
    """
    for scorer in scorers:
        answers = state.query(
            "SELECT c.sample_id, c.value, c.status, c.why, v.defect, v.claims, v.evidence, v.repair FROM store.scores c"
            " LEFT JOIN store.verdicts v ON v.sample_id = c.sample_id AND v.judge = c.scorer WHERE c.scorer = ?",
            [scorer],
        )
        column = answers.select("sample_id", pl.struct(pl.exclude("sample_id")).alias(verdict_column(scorer)))
        frame = frame.join(column, on="sample_id", how="left", maintain_order="left")
    return frame


def scored(state: State) -> pl.DataFrame:
    """Return the kept generalist and specialist samples with every score as a column and `p_error`.

    `p_error` is that of the cascade (`kind: factuality`, the last where there are several), without one that of the
    last scorer of the job that gives verdicts; NULL where that one gave none.
    """
    frame = kept(state, ("generalist", "specialist"))
    licences = state.query("SELECT source, non_commercial FROM store.sources")
    frame = frame.join(licences, on="source", how="left", maintain_order="left")
    frame = _with_scores(state, frame, state.query("SELECT DISTINCT scorer FROM store.scores ORDER BY 1")["scorer"])
    judged = state.query(
        "SELECT sample_id, p_error FROM store.verdicts WHERE judge = (SELECT v.judge FROM store.verdicts v"
        " JOIN store.stages g USING (stage)"
        " ORDER BY regexp_matches(g.stage, '^score:[0-9]+-factuality$') DESC, g.position DESC LIMIT 1)"
    )
    return frame.join(judged, on="sample_id", how="left", maintain_order="left").sort("sample_id")


def vectors(context: Context) -> Callable[[str, pl.DataFrame], NDArray[np.float32]]:
    """Return the function from an encoder and samples to the unit vectors of their prompts, in order.

    Vectors are kept in the manifest folder's cache, which a cells stage of that encoder fills; see `curate.embed`.
    """

    def found(encoder: str, samples: pl.DataFrame) -> NDArray[np.float32]:
        """Return the vectors of the samples' prompts."""
        from curate.embed import encode

        return encode(samples["prompt"].to_list(), samples["content_id"].to_list(), encoder, cache(context), context)

    return found


def cache(context: Context) -> Path:
    """Return the file in which the vectors of a manifest folder are kept."""
    return context.root / "cache" / "embeddings.sqlite"


def pool(state: State, space: str | None, context: Context | None = None) -> Pool:
    """Return what a mixer sees; `space` names the coverage space whose cells it needs.

    Its vectors are looked up where `context` says, and computed when they are not there; without one it has none.
    """
    from mixers.mixer import Pool

    cells = state.query("SELECT sample_id, cell FROM store.cells WHERE space = ?", [space or ""])
    cells = cells.with_columns(pl.col("cell").cast(pl.Int32))
    samples = scored(state).join(cells, on="sample_id", how="left", maintain_order="left")
    target = kept(state, ("specialist", "eval")).join(cells, on="sample_id", how="left", maintain_order="left")
    lost = state.query(
        "SELECT s.source, s.task, s.licence, s.n_tokens FROM store.decisions d JOIN store.samples s USING (sample_id)"
        " WHERE s.role = 'generalist' AND NOT d.kept AND d.step LIKE '%-decontaminate'"
    )
    return Pool(
        samples,
        target,
        lambda predicate: select(samples, predicate),
        lost,
        None if context is None else vectors(context),
    )


def blend_of(state: State, ref: str) -> Blend:
    """Return a drawn blend from the store."""
    from mixers.blend import Blend

    head = state.query("SELECT recipe_name, recipe, seed FROM store.blends WHERE blend = ?", [ref]).row(0)
    members = state.query(
        f"SELECT {', '.join(schema.MEMBERS)} FROM blend_members WHERE blend = ? ORDER BY position",  # noqa: S608
        [ref],
    )
    strata = state.query(
        f"SELECT {', '.join(schema.STRATA)} FROM store.strata WHERE blend = ? ORDER BY stratum",  # noqa: S608
        [ref],
    )
    return Blend(name=head[0], recipe=json.loads(head[1]), seed=int(head[2]), members=members, strata=strata)


def training_rows(state: State, ref: str) -> tuple[Row, ...]:
    """Return the rows of a blend in training order, repeats expanded one after another round by round.

    In a staged order all rounds of one role come before those of the other.
    """
    from trainers.trainer import Row

    frame = state.query(
        "SELECT s.sample_id, m.weight, m.repeats, s.messages, m.role, b.recipe FROM store.members m"
        " JOIN store.blends b USING (blend) JOIN store.samples s USING (sample_no) WHERE m.blend = ?"
        " ORDER BY m.position",
        [ref],
    )
    staged = json.loads(frame["recipe"][0]).get("order", "mixed") != "mixed" if frame.height else False
    rows = [(Row(r[0], _turns(r[3]), float(r[1]), r[4]), int(r[2]), r[4] if staged else "") for r in frame.iter_rows()]
    most = max((repeats for _, repeats, _ in rows), default=0)
    stages = dict.fromkeys(at for _, _, at in rows)
    return tuple(
        row for stage in stages for turn in range(most) for row, repeats, at in rows if repeats > turn and at == stage
    )


def plain(samples: pl.DataFrame, role: str) -> tuple[Row, ...]:
    """Return samples as training rows of one role, each once."""
    from trainers.trainer import Row

    chosen = samples.select("sample_id", "messages").iter_rows()
    return tuple(Row(sample_id, _turns(messages), 1.0, role) for sample_id, messages in chosen)


def held_out(state: State, trainer: Any) -> tuple[Row, ...]:  # noqa: ANN401 - a trainers.Trainer
    """Return the kept rows of the source that a trainer's `validate` names, for validation alone."""
    from manifests.jobs.stages import held_out_source
    from trainers.trainer import HELD_OUT

    source = held_out_source(trainer)
    if source is None:
        return ()
    frame = kept(state, ("generalist", "specialist", "knowledge")).filter(pl.col("source") == source)
    return plain(frame, HELD_OUT)


def examples(state: State, task: Any) -> tuple[Example, ...]:  # noqa: ANN401 - a trainers.Task
    """Return the examples of a task: its eval rows, the first `limit` by the sampling key of seed 0.

    A task that reads logs has none.
    """
    from trainers.trainer import Example

    if hasattr(task, "read"):
        return ()
    frame = eval_rows(state, task)
    scores = _scores_of(state, getattr(task, "reads", ()))
    return tuple(
        Example(
            example_id=row["sample_id"],
            messages=_turns(row["messages"])[:-1],
            references=tuple(str(r) for r in meta.get("references") or [row["response"]]),
            choices=tuple(str(c) for c in meta.get("choices") or ()),
            source=str(meta.get("source") or row["prompt"]),
            scores=scores.get(row["sample_id"], ()),
        )
        for row in frame.iter_rows(named=True)
        for meta in [json.loads(row["meta"])]
    )


def _scores_of(state: State, scorers: Sequence[str]) -> dict[str, tuple[tuple[str, float], ...]]:
    """Return the (scorer, value) pairs of every sample that one of `scorers` gave a value."""
    if not scorers:
        return {}
    found: dict[str, tuple[tuple[str, float], ...]] = {}
    query = (
        "SELECT sample_id, scorer, value FROM store.scores WHERE value IS NOT NULL AND scorer IN (SELECT unnest(?))"
        " ORDER BY sample_id, scorer"
    )
    for sample, scorer, value in state.query(query, [list(scorers)]).iter_rows():
        found[sample] = (*found.get(sample, ()), (str(scorer), float(value)))
    return found


def answers(state: State, task: Any) -> tuple[Row, ...]:  # noqa: ANN401 - a trainers.Task
    """Return the kept specialist rows whose answers a majority counts: of the examples' tasks, or all without any."""
    from trainers.trainer import Row

    frame = kept(state, ("specialist",)).sort("sample_id")
    tasks = eval_rows(state, task)["task"].drop_nulls().unique().to_list()
    mine = frame.filter(pl.col("task").is_in(tasks))
    return tuple(Row(i, _turns(m)) for i, m in (mine if mine.height else frame).select("sample_id", "messages").rows())


def eval_rows(state: State, task: Any) -> pl.DataFrame:  # noqa: ANN401 - a trainers.Task
    """Return the eval samples that a task measures, ordered by the sampling key of seed 0."""
    from manifests.names import sampling_key

    frame = kept(state, ("eval",))
    chosen = pl.col("source") == task.source if task.source is not None else within(task.task)
    frame = frame.filter(chosen)
    order = sampling_key(frame["k64"].to_numpy(), 0, "limit")
    frame = frame.with_columns(pl.Series("order", order, dtype=pl.UInt64)).sort("order", "sample_id").drop("order")
    return frame if task.limit is None else frame.head(task.limit)


def texts(state: State, sources: Sequence[str]) -> tuple[str, ...]:
    """Return the text of the kept samples of `sources` (all generalist and specialist rows when empty), by id."""
    roles = ("generalist", "specialist", "knowledge") if sources else ("generalist", "specialist")
    frame = kept(state, roles)
    if sources:
        frame = frame.filter(pl.col("source").is_in(list(sources)))
    return tuple(f"{p}\n{r}" for p, r in frame.select("prompt", "response").iter_rows())


def _turns(messages: str) -> tuple[tuple[str, str], ...]:
    return tuple((m["role"], m["content"]) for m in json.loads(messages))
