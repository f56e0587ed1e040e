"""A link to a store's portal, as the store or the operator asks for it and is given it."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from storecredit.operator.sign_ins import (
    LINK_SECONDS,
    LINK_SECONDS_MAX,
    PORTAL_SECONDS,
    PORTAL_SECONDS_MAX,
    Link,
)
from storecredit.web.http.bodies import Body
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import said

SECONDS_MIN: Final = 60
EXAMPLE: Final[dict[str, Any]] = {"expires_in_seconds": 300, "sign_in_seconds": 3600}


class PortalSessionBody(Body, frozen=True):
    """How long the link can be used, and how long whoever uses it stays signed in."""

    expires_in_seconds: Annotated[int, msgspec.Meta(ge=SECONDS_MIN, le=LINK_SECONDS_MAX)] = (
        LINK_SECONDS
    )
    sign_in_seconds: Annotated[int, msgspec.Meta(ge=SECONDS_MIN, le=PORTAL_SECONDS_MAX)] = (
        PORTAL_SECONDS
    )


class PortalSessionView(msgspec.Struct, frozen=True):
    """A link that signs one browser in to the store's portal."""

    url: Annotated[str, said("Works once. Whoever has it can use it: it is shown this once.")]
    expires_at: Annotated[datetime, said("Until when it can be used.")]


def portal_session_view(link: Link, link_base: str) -> PortalSessionView:
    """A new link below the address that links handed out begin with."""
    return PortalSessionView(link_base + link.path, utc(link.expires_at))
