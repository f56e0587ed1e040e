"""`/console/settings`: the settings as they are in force."""

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.operator.settings_in_force import settings_in_force
from storecredit.web.pages.rendering import page
from storecredit.web.parts import Parts


@get("/settings")
async def settings_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Response[str]:
    """Every setting of the process that answers; of a secret only whether there is one."""
    return page(request, "settings.html", settings=settings_in_force(parts.settings))
