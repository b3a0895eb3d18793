"""What a run would do, and what it would re-use and why, with exact counts where they are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from manifests import labels
from manifests.component import Context
from manifests.jobs import rows, searching
from manifests.jobs.stages import AGAIN, FAILED, Stage, artefact, data_stages, space_of, training_stages
from manifests.jobs.training import base_identity
from manifests.store import FILE, Manifest

if TYPE_CHECKING:
    from manifests.jobs.spec import Job
    from mixers.blend import Blend

RUN: Final = "run"
REUSE: Final = "re-use"
GONE: Final = "its files are gone"
_TRAINS: Final = ("train", "search")


@dataclass(frozen=True)
class PlanRow:
    """One stage: `action` is run or re-use, `count` how much of `unit` (None when not known yet), `why` the reason."""

    stage: str
    action: str
    count: int | None
    unit: str
    why: str
    at_most: bool = False


@dataclass(frozen=True)
class Plan:
    """The stages of a job in order, with what a run would do with each."""

    rows: tuple[PlanRow, ...]

    def frame(self) -> pl.DataFrame:
        """Return one row a stage: stage, action, count (NULL when unknown), unit, why."""
        columns = {
            "stage": [r.stage for r in self.rows],
            "action": [r.action for r in self.rows],
            "count": [r.count for r in self.rows],
            "unit": [("at most " if r.at_most else "") + r.unit for r in self.rows],
            "why": [r.why for r in self.rows],
        }
        kinds = {"stage": pl.String, "action": pl.String, "count": pl.Int64, "unit": pl.String, "why": pl.String}
        return pl.DataFrame(columns, schema=kinds)

    def totals(self) -> dict[str, int]:
        """Return how many stages would run and be re-used, and the calls and steps still to make."""
        todo = [r for r in self.rows if r.action == RUN]
        return {
            "run": len(todo),
            "re-use": len(self.rows) - len(todo),
            "judge calls": sum(r.count or 0 for r in todo if r.unit == "calls"),
            "training steps": sum(r.count or 0 for r in todo if r.unit == "steps" and r.stage.startswith(_TRAINS)),
        }


class _Published:
    """The published copy as a `rows.State`; an absent manifest holds nothing."""

    def __init__(self, manifest: Manifest | None) -> None:
        self._manifest = manifest

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pl.DataFrame:
        """Return the rows of a query over the published copy, which must be there."""
        assert self._manifest is not None  # noqa: S101 - only asked for stages found in the manifest
        return self._manifest.sql(sql, parameters)

    @property
    def there(self) -> bool:
        """Whether there is a manifest."""
        return self._manifest is not None

    def keys(self) -> dict[str, str]:
        """Return the key of every stage that the manifest holds."""
        if self._manifest is None:
            return {}
        return dict(self._manifest.sql("SELECT stage, key FROM stages").iter_rows())


def plan(job: Job) -> Plan:
    """Return what `run` would do, from the job, its files and the published manifest; nothing is written."""
    exists = (job.manifest / FILE).exists()
    manifest = Manifest(job.manifest) if exists else None
    try:
        return _Planner(job, _Published(manifest)).plan()
    finally:
        if manifest is not None:
            manifest.close()


class _Planner:
    def __init__(self, job: Job, state: _Published) -> None:
        self.job, self.state, self.have = job, state, state.keys()
        self.fresh = True  # every data stage so far is in the manifest
        self.pooled = True  # and so is all that blends are drawn from
        self.drawn: dict[str, Blend] = {}

    def plan(self) -> Plan:
        """Return the rows of the plan, data stages first."""
        data = data_stages(self.job, labels.digest_for(self.state if self.state.there else None, self.job.curate))
        found = [self._data_row(stage) for stage in data]
        if self.job.train is not None:
            found += self._training_rows(data)
        return Plan(tuple(found))

    def _data_row(self, stage: Stage) -> PlanRow:
        reused = self.have.get(stage.name) == stage.key and self._there(stage)
        count, unit, at_most = self._count(stage, reused=reused)
        gone = not reused and self.have.get(stage.name) == stage.key
        if not reused:
            self.fresh = False
            self.pooled = self.pooled and stage.kind == "mix"
        why = (GONE if gone else self._why(stage)) + self._repeats(stage)
        return PlanRow(stage.name, REUSE if reused else RUN, count, unit, why, at_most)

    def _draw(self, stage: Stage) -> Blend:
        """Draw a blend from the pool in the manifest, for its counts; raise what a run would raise."""
        mixer, space = stage.component, space_of(self.job, stage.component)
        like = getattr(mixer, "like", None)
        earlier = {name: blend for name, blend in self.drawn.items() if blend.name == like}
        ref = f"{like}@{stage.seed}"
        if like is not None and ref not in earlier:
            earlier[ref] = rows.blend_of(self.state, ref)
        pool = rows.pool(self.state, None if space is None else space.name, Context(self.job.manifest))
        blend: Blend = mixer.blend(pool, stage.seed, earlier)
        self.drawn[blend.ref] = blend
        return blend

    def _repeats(self, stage: Stage) -> str:
        """Return which strata of a blend to be drawn are shown more than once, and how often."""
        blend = self.drawn.get(stage.name.removeprefix("mix:"))
        if blend is None:
            return ""
        again = blend.strata.filter((pl.col("repeats") > 1) & (pl.col("samples") > 0))
        shown = [f"{n}: {t / s:.2f} epochs" for n, t, s in again.select("stratum", "taken", "samples").iter_rows()]
        more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
        return f"; repeats {', '.join(shown[:5])}{more}" if shown else ""

    def _there(self, stage: Stage) -> bool:
        folder = artefact(stage, self.job.manifest)
        return folder is None or folder.is_dir()

    def _why(self, stage: Stage) -> str:
        held = self.have.get(stage.name)
        if held == stage.key:
            return "same key in the manifest"
        if held == FAILED:
            return "it failed the last time"
        return "not in the manifest" if held is None else "its spec or its inputs changed"

    def _count(self, stage: Stage, *, reused: bool) -> tuple[int | None, str, bool]:
        if stage.kind == "read":
            return self._rows(stage.component, reused=reused)
        if stage.kind in {"step", "score", "cells"}:
            return self._seen(stage, reused=reused)
        if stage.kind == "mix":
            held = self.state.query("SELECT n_rows FROM blends WHERE blend = ?", [stage.name[4:]]) if reused else None
            asked = getattr(stage.component, "rows", None)
            if held is not None and held.height:
                return int(held["n_rows"][0]), "rows", False
            if getattr(stage.component, "embeds", False) and not rows.cache(Context(self.job.manifest)).exists():
                self.pooled = False  # a plan embeds nothing
            if self.pooled:
                return int(self._draw(stage).members["repeats"].sum()), "rows", False
            return (asked if isinstance(asked, int) else None), "generalist rows", False
        return getattr(stage.component, "steps", None), "steps", False

    def _rows(self, source: Any, *, reused: bool) -> tuple[int | None, str, bool]:  # noqa: ANN401 - a Source
        """Rows of a source: exact once read, and before where the whole file is read."""
        if reused:
            found = self.state.query("SELECT rows FROM sources WHERE source = ?", [source.name])
            return int(found.item()), "rows", False
        counted = source.count(self.job.data, (self.job.root, self.job.data))
        return counted, "rows", bool(source.select or source.limit)

    def _seen(self, stage: Stage, *, reused: bool) -> tuple[int | None, str, bool]:
        """Rows a step or scorer sees or calls a judge makes: exact once what comes before it is in the manifest."""
        component = stage.component
        roles = getattr(component, "roles", ("generalist", "specialist", "eval"))
        unit = "calls" if stage.kind == "score" and _asks(component) else "rows"
        if not self.fresh:
            counts = [
                s.count(self.job.data, (self.job.root, self.job.data)) for s in self.job.sources if s.role in roles
            ]
            known = [c for c in counts if c is not None]
            return (sum(known) if len(known) == len(counts) else None), unit, True
        if stage.kind == "score":
            if reused:
                return 0, unit, False
            samples = rows.kept_with(self.state, component, stage.position)
            return component.pending(samples, Context(self.job.manifest)), unit, False
        if reused:
            column = "SELECT count(*) FROM store.decisions WHERE stage = ?"
            table = column if stage.kind == "step" else column.replace("decisions", "cells")
            return int(self.state.query(table, [stage.name]).item()), unit, False
        return rows.kept(self.state, roles, stage.position).height, unit, False

    def _training_rows(self, data: list[Stage]) -> list[PlanRow]:
        from trainers.search import Chosen

        refs = [stage.name.split(":", 1)[1] for stage in data if stage.kind == "mix"]
        content: dict[str, str] = {}
        if all(self.have.get(s.name) == s.key for s in data if s.kind == "mix"):
            content = dict(self.state.query("SELECT blend, content_id FROM blends").iter_rows()) if refs else {}
        made = all(self.have.get(s.name) == s.key and self._there(s) for s in data if s.kind == "base")
        base = base_identity(self.job, data) if made else None
        unknown = "its blend is not drawn yet" if not content else "its base is not made yet" if base is None else ""
        held = {ref: content.get(ref, "") for ref in refs}
        if self.job.search is None:
            return self._followers(training_stages(self.job, data, held, base or ""), unknown)
        search = searching.Searching(self.job, data, held, base or "")
        most, measure = searching.most(self.job)
        name, warning = f"search:{self.job.search.kind}", searching.warning(self.job)
        if unknown:
            return [PlanRow(name, RUN, most, measure, "; ".join(filter(None, (unknown, warning))), at_most=True)]
        found = search.walk(self.state, lambda stages: searching.present(stages, self.have))
        if isinstance(found, Chosen):
            return self._followers(search.stages(), "")
        open_stages = search.of(found)
        done = self._followers([s for s in search.stages() if s.kind == "train" and s not in open_stages], "")
        known = self._followers(open_stages, "")
        spent = sum(row.count or 0 for row in done) + sum(row.count or 0 for row in known if row.unit == measure)
        rest = max(0, most - spent)
        why = "; ".join(filter(None, ("what it asks next follows from these results", warning)))
        return [*done, *known, PlanRow(name, RUN, rest, measure, why, at_most=True)]

    def _followers(self, stages: list[Stage], unknown: str) -> list[PlanRow]:
        """Return the rows of stages that follow the blends; `unknown` says why their keys are not known yet."""
        changed = {stage.name for stage in stages if unknown or self.have.get(stage.name) != stage.key}
        measured = {s.parent.removesuffix(AGAIN) for s in stages if s.kind == "measure" and s.name in changed}
        lost = {s.name for s in stages if s.kind == "train" and s.parent in measured and not self._there(s)} - changed
        found = []
        for stage in stages:
            count, unit = self._training_count(stage)
            if stage.kind == "compare" and stage.name not in changed and changed | lost:
                found.append(PlanRow(stage.name, RUN, count, unit, "a run is still to be measured"))
                continue
            action = RUN if stage.name in changed | lost else REUSE
            why = GONE if stage.name in lost else unknown or self._why(stage)
            found.append(PlanRow(stage.name, action, count, unit, why))
        return found

    def _training_count(self, stage: Stage) -> tuple[int | None, str]:
        if stage.kind == "train":
            return self._budget(stage)
        if stage.kind == "search":
            return 0, searching.most(self.job)[1]
        if hasattr(stage.component, "read"):
            return None, "examples"
        if stage.kind == "measure":
            reads = {s.name for s in self.job.sources if s.role == "eval"}
            if all(f"read:{name}" in self.have for name in reads) and self.fresh:
                return rows.eval_rows(self.state, stage.component).height, "examples"
            return stage.component.limit, "examples"
        return len(self.job.compare) or None, "pairs"

    def _budget(self, stage: Stage) -> tuple[int | None, str]:
        """Return a run's budget, in its own unit; None steps where the trainer decides itself."""
        from trainers.budget import budgets

        given = budgets(stage.component)
        if self.job.search is not None:
            return searching.reach(stage, given[0].amount), given[0].unit
        return (given[0].amount, given[0].unit) if given else (None, "steps")


def _asks(scorer: Any) -> bool:  # noqa: ANN401 - a Scorer
    """Return whether a scorer asks a language model, whose answers cost something."""
    from curate.step import JUDGES

    return any(table is JUDGES for table in getattr(scorer, "nested", {}).values())
