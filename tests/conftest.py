# SPDX-License-Identifier: Apache-2.0
"""Fixtures of integration and end-to-end tests. A machine that cannot do something a test needs is a failure, not a skip."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from support.cluster import Cluster  # noqa: E402

_live = []  # clusters that run now: their logs belong to a failure


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for cluster in _live:
            for name, text in cluster.logs().items():
                report.sections.append((f"log of {name}", text))


def run_cluster(**kwargs):
    """For fixtures: yields a running cluster, then checks that no sanitizer has complained and nothing is left."""
    cluster = Cluster(**kwargs)
    with cluster:
        _live.append(cluster)
        try:
            yield cluster
            trouble = cluster.trouble()
        finally:
            _live.remove(cluster)
    trouble = trouble or []
    assert not trouble, "\n".join(trouble)


@pytest.fixture(scope="session")
def cluster():
    """Everything, with real machines; shared by the whole session."""
    yield from run_cluster()


@pytest.fixture(scope="session")
def databases():
    """PostgreSQL and Redis alone."""
    yield from run_cluster(daemons=())


@pytest.fixture
def api(cluster):
    return cluster.api()


@pytest.fixture(scope="module")
def shared_sandbox(cluster):
    """One sandbox for tests that do not disturb each other."""
    with cluster.api().create_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(cluster):
    with cluster.api().create_sandbox() as sandbox:
        yield sandbox
