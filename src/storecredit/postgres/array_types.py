"""PostgreSQL's own arrays, told to the driver by us.

asyncpg 0.32 has the elements of arrays built in, of the arrays almost none: each connection asks
the server for each that it meets, by a recursive query over the catalogs. That is more work than
most of our statements, and is done by each connection anew.
"""

from typing import Any, Final

import asyncpg

# By name: the array's OID, and that of what is in it. Both stand in PostgreSQL's pg_type.dat, the
# same in each version; `tests/postgres/test_array_types.py` asks the server.
OIDS: Final = {
    "bool": (1000, 16),
    "bytea": (1001, 17),
    "int2": (1005, 21),
    "int4": (1007, 23),
    "text": (1009, 25),
    "int8": (1016, 20),
    "timestamptz": (1185, 1184),
    "interval": (1187, 1186),
    "numeric": (1231, 1700),
    "uuid": (2951, 2950),
    "jsonb": (3807, 3802),
}


def _as_asked_for(name: str, array: int, element: int) -> dict[str, Any]:
    """What asyncpg reads of an answer to its question about an array."""
    return {
        "oid": array,
        "ns": "pg_catalog",
        "name": f"_{name}",
        "elemtype": element,
        "elemtype_name": name,
        "elemdelim": ",",
        "range_subtype": None,
        "attrtypoids": None,
        "basetype": None,
    }


_ANSWERS: Final = tuple(_as_asked_for(name, *oids) for name, oids in OIDS.items())


def make_known(connection: asyncpg.Connection) -> None:
    """Let a connection know them; what it knows already stays as it is."""
    settings: Any = connection.get_settings()
    settings.register_data_types(_ANSWERS)
