"""The doors of end users' apps, by path."""

from typing import Any

from litestar import Router

from storecredit.web.http.addresses import B2C
from storecredit.web.http.direct import DirectDoor
from storecredit.web.trpc import door


def trpc_routes() -> list[Any]:
    """`/api/trpc` and the types of what can be called there."""
    return [
        Router(
            B2C,
            route_handlers=[
                door.call,  # GET, POST /{procedures}, the names in procedures.py
                door.warm_up,  # HEAD /{anything}
            ],
        ),
        door.declared_types,  # GET /api/trpc.d.ts
    ]


def direct_trpc_routes() -> dict[tuple[str, str], DirectDoor]:
    """Those of them that are served without the framework, by method and path."""
    return {
        ("POST", f"{B2C}/generation.create"): DirectDoor(door.call_directly, f"{B2C}/{{path}}"),
        ("GET", f"{B2C}/generation.onEnd"): DirectDoor(door.call_directly, f"{B2C}/{{path}}"),
    }
