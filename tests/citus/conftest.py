"""A database on a Citus cluster for each test: copied on every node from a migrated one.

`STORECREDIT_TEST_CITUS_URL` names the coordinator, by a superuser who may log in to each node.
The first bucket is on the coordinator, the others are on its workers.
"""

import asyncio
import os
from collections.abc import Iterator
from uuid import uuid4

import pytest

from storecredit.postgres.schema.schema_version import fingerprint
from tests.citus.cluster import Cluster
from tests.e2e.conftest import Serving, Storecredit, new_storecredit

__all__ = ("new_storecredit",)

CITUS_URL = os.environ.get("STORECREDIT_TEST_CITUS_URL")
BUCKET_COUNT = 3
OPERATOR = "operator-token-of-a-test"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where there is no cluster, say so; there is one reason, and no other."""
    reason = "no Citus cluster: STORECREDIT_TEST_CITUS_URL names no coordinator"
    for item in items:
        if "tests/citus/" not in item.path.as_posix():
            continue
        # Three servers do the work of one, and the first test has the template made.
        item.add_marker(pytest.mark.timeout(600))
        if CITUS_URL is None:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster that the tests were given."""
    assert CITUS_URL is not None, "else all is skipped"
    found = asyncio.run(Cluster.of(CITUS_URL))
    assert found is not None, "it is to name a cluster's coordinator"
    return found


@pytest.fixture(scope="session")
def citus_template(cluster: Cluster) -> Iterator[str]:
    """The name of a database of several buckets, on each node."""
    name = f"storecredit_citus_{fingerprint()[:12]}_{uuid4().hex[:8]}"
    asyncio.run(cluster.made(name, BUCKET_COUNT))
    yield name
    asyncio.run(cluster.on_all(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@pytest.fixture
def citus_url(cluster: Cluster, citus_template: str) -> Iterator[str]:
    """A superuser's URL of a fresh database, on the coordinator."""
    name = f"test_{uuid4().hex}"
    asyncio.run(cluster.copied(citus_template, name))
    yield cluster.url_of(name)
    asyncio.run(cluster.on_all(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@pytest.fixture
def serving(new_storecredit: Storecredit, citus_url: str) -> Serving:
    """The API against the coordinator; without a worker, so that what is created stays."""
    return new_storecredit.serve(
        "--no-worker", STORECREDIT_ADMIN_TOKEN=OPERATOR, STORECREDIT_DATABASE_URL=citus_url
    )
