"""The views of a study: who is among the best, what it cost, and its curves."""

from __future__ import annotations

import pytest

from manifests.report_results import leaderboard
from manifests.store import Manifest, Store
from tests.manifests.sample_manifest import RECIPES, SEEDS, write


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = write(tmp_path_factory.mktemp("study"))
    with Manifest(root) as manifest:
        yield manifest


def test_the_best_recipe_and_those_not_told_from_it_are_among_the_best(study):
    found = study.sql("FROM best_sets ORDER BY task, metric, behind, blend")
    assert found.height == study.sql("FROM leaderboard").height
    for row in found.to_dicts():
        assert row["behind"] >= 0
        pair = study.sql("FROM compare(?, ?)", [row["blend"], row["best"]]).to_dicts()
        pair = [one for one in pair if (one["task"], one["metric"]) == (row["task"], row["metric"])]
        if row["blend"] == row["best"]:
            assert (row["behind"], row["among_best"], row["p_value"]) == (0.0, True, None)
        elif pair:
            assert row["among_best"] == (pair[0]["verdict"] == "cannot tell")
            assert row["p_value"] == pair[0]["p_value"]
        else:
            assert row["among_best"] is None
    assert {True, False, None} <= set(found["among_best"].to_list())


def test_costs_have_six_floating_point_operations_per_parameter_and_token(study):
    for row in study.sql("FROM costs").to_dicts():
        assert row["flops"] == 6.0 * row["parameters"] * row["tokens"]
        assert row["tokens_per_cpu_second"] == pytest.approx(row["tokens"] / row["cpu_seconds"])
        assert row["run"] == f"{row['recipe_name']}@{row['seed']}"


def test_a_learning_curve_is_the_logged_losses_with_the_tokens_by_then(study):
    found = study.sql("FROM learning_curve WHERE run = 'filtered-100@0' ORDER BY step").to_dicts()
    run = study.sql("FROM runs WHERE run = 'filtered-100@0'").to_dicts()[0]
    assert [(row["step"], row["tokens"]) for row in found] == [
        (step, pytest.approx(run["tokens"] * step / run["steps"])) for step in (50, 100, 200)
    ]
    assert study.sql("SELECT count(DISTINCT run) AS n FROM learning_curve")["n"][0] == len(RECIPES) * len(SEEDS)


def test_a_ratio_curve_has_a_point_per_recipe_with_its_rows_of_each_role(study):
    counted = study.sql(
        "SELECT b.recipe_name AS blend, avg(g) AS generalist, avg(n - g) AS specialist FROM (SELECT blend,"
        " sum(n_rows) AS n, sum(n_rows) FILTER (WHERE role = 'generalist') AS g FROM composition GROUP BY blend)"
        " JOIN blends b USING (blend) GROUP BY 1"
    )
    held = {row["blend"]: (row["generalist"], row["specialist"]) for row in counted.to_dicts()}
    board = study.sql("FROM leaderboard")
    found = study.sql("FROM ratio_curve")
    assert found.height == board.height
    for row in found.to_dicts():
        assert (row["generalist_rows"], row["specialist_rows"]) == pytest.approx(held[row["blend"]])
        assert 0 <= row["generalist_share"] <= 1


def test_the_leaderboard_shows_seeds_measured_beside_seeds_planned(study, tmp_path):
    board = study.sql("FROM leaderboard")
    assert set(board["n_planned"]) == {len(SEEDS)}
    with Store(write(tmp_path, "mix")) as store:
        store._connection.execute(
            "INSERT INTO store.leaderboard VALUES ('compare', 'filtered-100', 't', 'm', 0.5, 0.4, 0.6, 9, 1),"
            " ('compare', 'majority', 't', 'm', 0.5, 0.4, 0.6, 9, 1)"
        )
        found = dict(store.query("SELECT blend, n_planned FROM leaderboard").iter_rows())
    assert found == {"filtered-100": len(SEEDS), "majority": 1}


def test_the_report_says_how_many_of_the_planned_seeds_a_mean_is_over(study, tmp_path):
    assert f"{len(SEEDS)} seeds." in text_of(leaderboard(study))
    root = write(tmp_path)
    with Store(root) as store:
        store._connection.execute("UPDATE store.leaderboard SET n_seeds = 1 WHERE blend = 'filtered-100'")
        store.publish()
    with Manifest(root) as manifest:
        assert f">1 of {len(SEEDS)}<" in text_of(leaderboard(manifest))
    with Store(root) as store:
        store._connection.execute("UPDATE store.leaderboard SET n_seeds = 1")
        store.publish()
    with Manifest(root) as manifest:
        assert f"1 of {len(SEEDS)} seeds." in text_of(leaderboard(manifest))


def text_of(html) -> str:
    return str(html)
