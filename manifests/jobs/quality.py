"""What is measured of the scorers at the end of a job: against the truth in meta, and against labels by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from manifests import judging, labels, schema
from manifests.jobs.stages import Stage
from manifests.names import canonical_json, digest
from manifests.store import Manifest, StageRecord

if TYPE_CHECKING:
    from manifests.jobs.spec import Job
    from manifests.store import Store

VERSION: Final = 1
"""Raised when what is recorded changes."""
POSITION: Final = 900_000
"""After every stage of a job."""


def record(job: Job, store: Store, planned: Sequence[Stage]) -> int:
    """Write the stages `quality:SCORER`, whose rows are in the view `quality`, and return how many were written.

    A scorer is measured on the key of meta that its field `truth` names, and on the labels by hand of its rows once
    they hold both classes. A stage whose scorer, truth and labels are as before is left as it is; one that has nothing
    to measure any more is removed.
    """
    asked = {f"quality:{name}": (name, on, cut) for name, on, cut in _asked(job, store)}
    keys = {s.component.name: s.key for s in planned if s.kind == "score"}
    hand = labels.digest_of(store) if any(judging.BY_HAND in on for _, on, _ in asked.values()) else ""
    wanted = {
        stage: digest([VERSION, on, cut, keys.get(name), hand if judging.BY_HAND in on else ""])
        for stage, (name, on, cut) in asked.items()
    }
    have = {stage: key for stage, key in store.keys().items() if stage.startswith("quality:")}
    if have == wanted:
        return 0
    store.retire([stage for stage in have if wanted.get(stage) != have[stage]])
    with Manifest(job.manifest) as manifest:
        for place, (stage, (name, on, cut)) in enumerate(sorted(asked.items())):
            if have.get(stage) != wanted[stage]:
                prices = {c.name: c.judge.cost for c in job.curate if hasattr(c, "judge")}
                rows = [
                    judging.quality_frame(
                        judging.evaluate(manifest, label, judge=name, threshold=cut, price=prices.get(name))
                    )
                    for label in on
                ]
                spec = canonical_json({"scorer": name, "measured_on": on, "threshold": cut})
                done = StageRecord(stage, "quality", wanted[stage], spec, POSITION + place)
                store.commit(done, {"quality": pl.concat(rows) if rows else schema.frame([], schema.QUALITY)})
    store.publish()
    return sum(have.get(stage) != key for stage, key in wanted.items())


def _asked(job: Job, store: Store) -> Iterator[tuple[str, list[str], Any]]:
    """Yield (scorer, what it is measured on, its threshold or None) for each scorer with something to measure."""
    both = store.query(
        "SELECT v.judge FROM store.verdicts v JOIN store.labels l USING (sample_id) WHERE v.status = 'ok'"
        " GROUP BY 1 HAVING count(DISTINCT l.label) FILTER (WHERE l.label <> 'unsure') = 2"
    )["judge"].to_list()
    for component in job.curate:
        name = getattr(component, "name", None)
        on = [component.truth] if getattr(component, "truth", None) else []
        on += [judging.BY_HAND] if name in both else []
        if name is not None and on:
            yield name, on, getattr(component, "threshold", None)
