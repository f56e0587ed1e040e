"""One application per module here, over one database, as in `tests/web/credits`."""

import pytest

from tests.web.credits.conftest import (
    admin,
    api,
    database,
    log,
    module_log,
    operator,
    rows,
    service,
    settings,
    store,
)
from tests.web.doors import Operator, StoreClient
from tests.web.webhooks.hooks import Hooks

__all__ = [
    "admin",
    "api",
    "database",
    "log",
    "module_log",
    "operator",
    "rows",
    "service",
    "settings",
    "store",
]


@pytest.fixture(params=["a store's own", "a store's, by the operator", "the operator's own"])
def hooks(request: pytest.FixtureRequest, operator: Operator, store: StoreClient) -> Hooks:
    """Each set of doors in turn: that all of them do what they do for a store, some tests see."""
    return {
        "a store's own": Hooks(store, "/api/v1/webhooks", store.store_id),
        "a store's, by the operator": Hooks(
            operator, f"/stores/{store.store_id}/webhooks", store.store_id
        ),
        "the operator's own": Hooks(operator, "/webhooks", None),
    }[request.param]


@pytest.fixture
def own(store: StoreClient) -> Hooks:
    """A store's own."""
    return Hooks(store, "/api/v1/webhooks", store.store_id)
