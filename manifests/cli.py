"""The command `blendsmith`: a thin call to the Python API for each of its commands."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from manifests import fault, output
from manifests.errors import EXIT_INTERRUPTED, EXIT_USER, BlendsmithError, UserError

if TYPE_CHECKING:
    from manifests.jobs.spec import Job

app = typer.Typer(
    name="blendsmith",
    help="Measure which blend of specialist and generalist instruction data makes a specialist model better.",
    epilog="Exit codes: 0 ok, 1 finished over the error budget, 2 user error, 3 manifest busy, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
judge_app = typer.Typer(help="Measure the judge itself.", no_args_is_help=True)
app.add_typer(judge_app, name="judge")

JobFile = Annotated[Path, typer.Argument(metavar="JOB", help="Job file (YAML).", show_default=False)]
Where = Annotated[
    Path, typer.Argument(metavar="M", help="Manifest folder, or its manifest.duckdb.", show_default=False)
]
Data = Annotated[Path | None, typer.Option("--data", help="Folder that source paths start from, instead of the job's.")]
Target = Annotated[Path | None, typer.Option("--manifest", help="Folder of the results, instead of the job's.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes that work at once; changes no result.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Folder for the demo's files.")] = Path(
        "blendsmith-demo"
    ),
    workers: Workers = 2,
) -> None:
    """Ask a real question on real rows: whether dropping what the judge flags helps a specialist."""
    from manifests.demo import demo as run_demo

    raise typer.Exit(run_demo(folder, workers=workers))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Folder to write into.")] = Path(),
) -> None:
    """Write a small job that runs as it is: job.yaml, its schema and a few rows."""
    from manifests.jobs.init import write

    for path in write(folder):
        output.line(str(path))


@app.command()
def validate(job: JobFile, data: Data = None, manifest: Target = None, as_json: Json = False) -> None:
    """Check a job file: every mistake, with its line."""
    loaded = _load(job, data, manifest)
    counts = {part: len(getattr(loaded, part)) for part in ("sources", "curate", "mix", "measure")}
    kinds = {"train": loaded.train.kind if loaded.train else None}
    output.facts(
        {"job": loaded.name, "manifest": str(loaded.manifest), "data": str(loaded.data), **counts, **kinds},
        as_json=as_json,
    )


@app.command()
def plan(job: JobFile, data: Data = None, manifest: Target = None, as_json: Json = False) -> None:
    """Say what `run` would do, with exact counts, what would be re-used, and why; change nothing."""
    from manifests.jobs.plan import plan as make

    made = make(_load(job, data, manifest))
    if as_json:
        output.value({"stages": made.frame().to_dicts(), "totals": made.totals()})
        return
    output.table(made.frame())
    output.facts(made.totals())


@app.command()
def run(
    job: JobFile,
    data: Data = None,
    manifest: Target = None,
    workers: Workers = 1,
    batch: Annotated[int, typer.Option("--batch", min=0, help="Rows handled at once; 0 leaves it to each part.")] = 0,
    error_budget: Annotated[
        float | None, typer.Option("--error-budget", min=0, max=1, help="Share of bad rows tolerated, 0 to 1.")
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", min=0, help="Most that a stage's calls to a model may cost.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring a job's manifest up to date; the same command again goes on where it stopped."""
    from manifests.jobs.progress import reporter
    from manifests.jobs.run import run as execute
    from manifests.report import refresh

    loaded = _load(job, data, manifest)
    if error_budget is not None:
        loaded = dataclasses.replace(loaded, error_budget=error_budget)
    outcome = execute(loaded, workers=workers, batch=batch, reporter=reporter(), max_cost=max_cost)
    page = refresh(loaded.manifest)
    if as_json:
        output.value({**dataclasses.asdict(outcome), "manifest": str(loaded.manifest)})
    else:
        output.line(f"{outcome.message} ({outcome.seconds:.1f} s)")
        output.line(f"manifest: {loaded.manifest}")
        output.line(f"report: {page}")
    raise typer.Exit(outcome.exit_code)


@app.command()
def status(manifest: Where, as_json: Json = False) -> None:
    """List the finished stages of a manifest, with seconds and rows."""
    from manifests.store import Manifest

    with Manifest(manifest) as opened:
        output.table(opened.status(), as_json=as_json)


@app.command()
def show(
    what: Annotated[Path, typer.Argument(metavar="JOB|M", help="Job file, or manifest folder.", show_default=False)],
    tokens: Annotated[bool, typer.Option("--tokens", help="Three rows as they are trained on, and counts.")] = False,
    data: Data = None,
    manifest: Target = None,
    as_json: Json = False,
) -> None:
    """Show rows as the model will see them, what is learnt marked, before anything is trained."""
    from manifests.jobs.preflight import of_job, of_manifest

    if not tokens:
        raise UserError(
            "show needs to know what to show", value=str(what), remedy=f"write: blendsmith show {what} --tokens"
        )
    found = of_job(_load(what, data, manifest)) if what.suffix in (".yaml", ".yml") else of_manifest(what)
    if as_json:
        output.value({**found.counts(), "shown": [dataclasses.asdict(row) for row in found.shown]})
        return
    for row in found.shown:
        cut = ", its prompt is cut" if row.truncated else ""
        output.line(f"--- {row.sample_id} ({row.role}): {row.n_tokens} tokens, {row.n_learnt} learnt{cut}")
        output.marked(row.prompt, row.learnt)
    output.facts(found.counts())


@app.command()
def advise(
    manifest: Where,
    past: Annotated[
        list[Path] | None, typer.Option("--history", help="A manifest with results; may be given several times.")
    ] = None,
    target: Annotated[str | None, typer.Option("--target", help="One target; without it all.")] = None,
    as_json: Json = False,
) -> None:
    """Say before training what generalist rows may gain a target, how sure that is, and which blends to try first."""
    from contextlib import ExitStack

    from manifests.store import Manifest
    from trainers.advise import advise as make

    with ExitStack() as stack:
        opened, *others = [stack.enter_context(Manifest(path)) for path in (manifest, *(past or ()))]
        output.table(make(opened, others, target), as_json=as_json)


@app.command()
def why(
    manifest: Where,
    sample: Annotated[str, typer.Argument(metavar="SAMPLE", help="Sample id, or its first digits.")],
    as_json: Json = False,
) -> None:
    """Tell all that happened to one sample: steps, scores, blends."""
    from manifests.store import Manifest

    with Manifest(manifest) as opened:
        output.table(opened.why(sample), as_json=as_json)


@app.command()
def sql(
    manifest: Where,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="SQL over the public views; '-' reads standard input.")],
    as_json: Json = False,
) -> None:
    """Run a SQL query over the views of a manifest, read-only."""
    from manifests.store import Manifest

    text = sys.stdin.read() if query == "-" else query
    with Manifest(manifest) as opened:
        output.table(opened.sql(text), as_json=as_json)


@app.command()
def report(manifest: Where) -> None:
    """Write report.html of a manifest again and print its path."""
    from manifests.report import report as write

    output.line(str(write(manifest)))


@app.command()
def export(
    manifest: Where,
    blend: Annotated[str, typer.Argument(metavar="BLEND", help="Blend NAME@SEED.")],
    folder: Annotated[
        Path | None, typer.Option("--to", help="Folder to write; left out: blends/BLEND, or exports/BLEND-FORMAT.")
    ] = None,
    layout: Annotated[
        str,
        typer.Option("--format", help="dataset, parquet, messages, sharegpt, alpaca, prompt-completion, mds or ids."),
    ] = "dataset",
    expand: Annotated[bool, typer.Option("--expand", help="Write a row as often as it is to be seen.")] = False,
    shard_rows: Annotated[int, typer.Option("--shard-rows", min=1, help="Most rows of one file.")] = 100_000,
) -> None:
    """Write a blend as a folder of files with a card, and print its path."""
    from manifests.exporting import export as write
    from manifests.store import Manifest

    with Manifest(manifest) as opened:
        output.line(str(write(opened, blend, folder, layout, expand=expand, shard_rows=shard_rows)))


@app.command()
def explore(
    manifest: Where,
    host: Annotated[str, typer.Option("--host", help="Address to serve the page on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port to serve it on; a free one when left out.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address and open no browser.")] = False,
    edit: Annotated[
        bool, typer.Option("--edit", help="Open the notebook itself, as a copy named explorer.py in this folder.")
    ] = False,
) -> None:
    """Explore a manifest in the browser: blends, coverage, samples, SQL; Ctrl-C ends it."""
    from manifests.explorer.launch import explore as serve

    serve(manifest, host=host, port=port, browser=not no_browser, edit=edit)


@judge_app.command("eval")
def judge_eval(
    manifest: Where,
    label: Annotated[
        str,
        typer.Option("--label", help="Key of the samples' meta: true where the row is wrong; `labels`: those by hand."),
    ],
    judge: Annotated[str | None, typer.Option("--judge", help="Name of the scorer, when there are several.")] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="Key of meta whose rows belong together, instead of the prompt.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", min=0, max=1, help="Least p_error called wrong; the judge's own.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the intervals and the folds.")] = 0,
    as_json: Json = False,
) -> None:
    """Compare a scorer's verdicts with labels, beside baselines, with intervals over prompts."""
    from manifests import judging
    from manifests.store import Manifest

    with Manifest(manifest) as opened:
        found = judging.evaluate(opened, label, judge=judge, group=group, threshold=threshold, seed=seed)
    if as_json:
        output.value(found)
        return
    output.table(judging.metrics_frame(found))
    output.table(judging.compared_frame(found))
    output.table(judging.told_frame(found))
    output.facts({name: item for name, item in found.items() if not isinstance(item, dict)})


@judge_app.command("review")
def judge_review(
    manifest: Where,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: .html, .csv or .jsonl.")],
    judge: Annotated[str | None, typer.Option("--judge", help="Name of the scorer, when there are several.")] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Rows to read.")] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draw.")] = 0,
    strategy: Annotated[str, typer.Option("--strategy", help="random, stratified or uncertain.")] = "random",
) -> None:
    """Write rows for a person to read: a page to open in a browser, or a table."""
    from manifests.review import review
    from manifests.store import Manifest

    with Manifest(manifest) as opened:
        drawn = review(opened, out, judge=judge, n=n, seed=seed, strategy=strategy)
    output.line(f"{out}: {drawn} rows to read")


@judge_app.command("import-labels")
def judge_import(
    manifest: Where,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Labels saved from a review: .csv, .jsonl or .json.")],
    by: Annotated[str, typer.Option("--by", help="Name of the person who read the rows.")],
    as_json: Json = False,
) -> None:
    """Put labels by hand into the manifest; a job that runs again keeps them."""
    from manifests.labelling import import_labels

    output.facts(import_labels(manifest, file, by), as_json=as_json)


@app.command("ls")
def list_manifests(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Folder to look in, with all below it.")] = Path(),
    as_json: Json = False,
) -> None:
    """List the manifests below a folder."""
    from manifests.doctor import listing

    output.table(listing(folder), as_json=as_json)


@app.command()
def schema() -> None:
    """Print the JSON schema of job files, for editors."""
    from manifests.jobs.json_schema import job_schema

    output.value(job_schema())


@app.command()
def doctor(
    manifest: Annotated[Path | None, typer.Argument(metavar="[M]", help="Manifest to check instead.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all of M and compare it with what was written.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the installation and the machine, or a manifest and its laws."""
    from manifests.doctor import examine, examine_manifest

    if verify and manifest is None:
        raise UserError("--verify needs a manifest", remedy="write: blendsmith doctor M --verify")
    found = examine() if manifest is None else examine_manifest(manifest, deep=verify)
    output.table(found, as_json=as_json)
    if "problem" in found["status"].to_list():
        raise typer.Exit(EXIT_USER)


def _load(job: Path, data: Path | None, manifest: Path | None) -> Job:
    from manifests.jobs.spec import load_job

    return load_job(job, data=data, manifest=manifest)


def main() -> None:
    """Run the command line: a user's mistake or a failing disk is a message and an exit code, a bug has a traceback."""
    try:
        app()
    except BlendsmithError as error:
        output.error(str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        if fault.interrupted(error):
            sys.exit(EXIT_INTERRUPTED)
        known = fault.told(error)
        if known is None:
            raise
        output.error(str(known))
        sys.exit(known.exit_code)
