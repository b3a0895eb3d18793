"""Paths of a job stay in its folders, whatever they are made of."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests.errors import UserError
from manifests.jobs.paths import Roots, beside, confine


@pytest.fixture
def roots(tmp_path):
    for name in ("job/sub", "data/model", "other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "job" / "here.txt").write_text("x")
    (tmp_path / "data" / "there.txt").write_text("x")
    (tmp_path / "data" / "here.txt").write_text("x")
    (tmp_path / "other" / "secret.txt").write_text("x")
    (tmp_path / "job" / "link").symlink_to(tmp_path / "other")
    (tmp_path / "job" / "loop").symlink_to(tmp_path / "job" / "loop")
    (tmp_path / "job" / "within").symlink_to(tmp_path / "data")
    return Roots(tmp_path / "job", tmp_path / "data")


def test_the_data_folder_comes_first_then_the_job_s(roots):
    assert roots.existing("here.txt") == roots.data / "here.txt"
    assert roots.existing("there.txt") == roots.data / "there.txt"
    assert roots.existing("sub") == roots.root / "sub"


def test_links_may_stay_inside_but_not_lead_out(roots):
    assert roots.existing("within/there.txt") == roots.data / "there.txt"
    with pytest.raises(UserError, match="outside"):
        roots.existing("link/secret.txt")


@pytest.mark.parametrize(
    "given", ["", "~", "~root/x", "a\x00b", "../other/secret.txt", "/etc/passwd", "sub/../../other", "loop"]
)
def test_what_is_no_path_inside_is_refused(roots, given):
    with pytest.raises(UserError) as caught:
        roots.existing(given)
    assert caught.value.value == given


def test_a_name_too_long_for_the_file_system_is_refused_in_words(roots):
    with pytest.raises(UserError, match="not a usable path"):
        roots.existing("x" * 300)


def test_an_absent_file_suggests_the_nearest(roots):
    with pytest.raises(UserError, match=r"did you mean 'there\.txt'\?"):
        roots.existing("ther.txt")


@pytest.mark.parametrize("given", ["Qwen/Qwen3-8B", "gpt2", "org/name@main"])
def test_a_hub_id_is_left_as_it_is(roots, given):
    assert roots.model(given) == given


def test_a_model_may_lie_anywhere_when_its_path_is_absolute(roots, tmp_path):
    assert roots.model("model") == str(roots.data / "model")
    assert roots.model(str(tmp_path / "other")) == str(tmp_path / "other")
    for absent in ("./model2", "a/b/c", "~/model"):
        with pytest.raises(UserError):
            roots.model(absent)


def test_a_packaged_name_is_left_as_it_is_and_a_text_file_found(roots):
    assert roots.text("verdict") == "verdict"
    assert roots.text("here.txt") == str(roots.data / "here.txt")
    with pytest.raises(UserError):
        roots.text("/etc/hosts.txt")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.lists(st.sampled_from(["..", ".", "a", "link", "within", "sub", "", "~", "etc", "/"]), max_size=8).map("/".join)
)
def test_whatever_is_accepted_is_inside(roots, given):
    try:
        found = confine(given, roots.root, (roots.root, roots.data))
    except UserError:
        return
    assert found.resolve() == found
    assert found.is_relative_to(roots.root) or found.is_relative_to(roots.data)


def test_names_beside_a_file_are_relative_and_of_its_sort(roots):
    assert beside(roots.data / "x", roots.data) == ["here.txt", "there.txt"]
    assert beside(roots.data / "x", roots.data, folders=True) == ["model"]
    assert beside(Path("/no/such/folder/x"), roots.data) == []
