"""A primary and a standby for each test, with a store in them; made once, and copied.

Of the embedded server's version alone: it is the service that is tested here.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storecredit.postgres.listener import Listener
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.stores.api_keys import CHANNEL, ApiKeys
from storecredit.stores.stores import Stores
from tests.conftest import roomy_memory
from tests.e2e.conftest import Storecredit, storecredit_in
from tests.postgres.replication.callers import CREDITS, Shop
from tests.postgres.replication.nodes import DATABASE, Node, Pair, make_cluster


@dataclass(frozen=True, slots=True)
class Base:
    """A migrated cluster at rest, to copy, and who is in it."""

    node: Node
    shop: Shop


@pytest.fixture(scope="session")
def base() -> Iterator[Base]:
    directory = Path(tempfile.mkdtemp(prefix="storecredit-pair-", dir=roomy_memory()))
    node = make_cluster(directory / "base")
    try:
        node.start()
        shop = asyncio.run(_fill(node))
        node.stop()
        yield Base(node, shop)
    finally:
        node.end()
        shutil.rmtree(directory, ignore_errors=True)


async def _fill(node: Node) -> Shop:
    await node.make_database(DATABASE)
    await migrate(node.url)
    database = await Database.open(node.url)
    try:
        made = await Stores(database).create(
            name="Hats",
            shop_domain="hats.example",
            tier="unlimited",
            credit_count=CREDITS,
            request_id="opening",
        )
        keys = ApiKeys(database, Listener(database, CHANNEL))
        issued = await keys.create(made.store_id)
        assert issued is not None
        await keys.close()
    finally:
        await database.close()
    return Shop(made.store_id, issued.key)


@pytest.fixture
def pair(base: Base) -> Iterator[Pair]:
    """Both run, and the standby follows; synchronously once a test says so."""
    directory = Path(tempfile.mkdtemp(prefix="storecredit-pair-", dir=roomy_memory()))
    directory.chmod(0o755)
    started = Pair.start(base.node, directory)
    yield started
    started.end()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def shop(base: Base) -> Shop:
    return base.shop


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Storecredit]:
    """The command line, as processes."""
    with storecredit_in(tmp_path) as started:
        yield started
