"""The engine of a Ray cluster, against a stand-in for Ray: what is in flight, what fails, what is cancelled."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from manifests.cluster import Tasks
from manifests.engine import Ray
from manifests.errors import Interrupted, UserError
from tests.manifests.test_engine import fail_at_three, square


class RayError(Exception):
    """As ray's own."""


class RayTaskError(RayError):
    """As ray's own: it carries what the function raised."""

    def __init__(self, cause):
        self.cause = cause


class FakeRay:
    """Stands in for the module `ray`: tasks end when they are waited for, or fail as told."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, failure=None):
        self.failure, self.cancelled, self.flying, self.most, self.options_given = failure, [], 0, 0, {}

    def is_initialized(self):
        return True

    def put(self, value):
        return value

    def remote(self, function):
        self.function = function
        return self

    def options(self, **given):
        self.options_given = given
        outer = self

        class Task:
            def remote(self, function, part):
                outer.flying += 1
                outer.most = max(outer.most, outer.flying)
                return (outer.function, function, part)

        return Task()

    def wait(self, references, timeout):
        return (references, []) if self.failure != "never" else ([], references)

    def get(self, reference):
        self.flying -= 1
        if isinstance(self.failure, Exception):
            raise self.failure
        call, function, part = reference
        try:
            return call(function, part)
        except UserError as error:
            raise self.exceptions.RayTaskError(error) from error

    def cancel(self, reference, force):
        self.cancelled.append(reference[2])

    def cluster_resources(self):
        return {"CPU": 3.0}


def tasks(monkeypatch, failure=None, workers=None, stopping=lambda: False):
    ray = FakeRay(failure)
    monkeypatch.setattr("manifests.cluster._import_ray", lambda: ray)
    return ray, Tasks("auto", workers, stopping)


@pytest.mark.parametrize(("workers", "window"), [(None, 6), (2, 4)])
def test_a_cluster_has_two_parts_in_flight_for_each_core(monkeypatch, workers, window):
    ray, engine = tasks(monkeypatch, workers=workers)
    assert list(engine.map(square, range(20))) == [n * n for n in range(20)]
    assert ray.most == window
    assert ray.options_given == {"max_retries": 2, "num_cpus": 1}


def test_the_tasks_of_a_cluster_take_the_gpus_that_the_job_gives_them(monkeypatch):
    ray = FakeRay()
    monkeypatch.setattr("manifests.cluster._import_ray", lambda: ray)
    with Ray(gpus=2).open() as engine:
        assert list(engine.map(square, [3])) == [9]
    assert ray.options_given == {"max_retries": 2, "num_cpus": 1, "num_gpus": 2}


def test_a_cluster_s_error_is_the_function_s_and_what_is_in_flight_is_cancelled(monkeypatch):
    ray, engine = tasks(monkeypatch, workers=2)
    with pytest.raises(UserError, match="three is not to be had"):
        list(engine.map(fail_at_three, range(10)))
    assert ray.cancelled == [4, 5, 6]


@pytest.mark.parametrize("failure", [RayError("node lost\nmore"), ConnectionError("node lost")])
def test_a_task_that_a_cluster_gives_up_is_a_user_error(monkeypatch, failure):
    _, engine = tasks(monkeypatch, failure)
    with pytest.raises(UserError, match=r"failed for good \(node lost\)"):
        list(engine.map(square, range(3)))


def test_a_cluster_stops_when_it_is_asked_to(monkeypatch):
    ray, engine = tasks(monkeypatch, "never", workers=1, stopping=lambda: True)
    with pytest.raises(Interrupted):
        list(engine.map(square, range(5)))
    assert ray.cancelled == [0, 1]
