"""`GET /metrics`: what Prometheus reads."""

from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST

from storecredit.web.parts import Parts


@get("/metrics", summary="Prometheus metrics", tags=["health"], include_in_schema=False)
async def metrics(parts: NamedDependency[Parts]) -> Response[bytes]:
    """The service's metrics in Prometheus' text format; those of the database while it answers."""
    # The framework adds the character set to text of any kind; said twice, the header is broken.
    media_type = CONTENT_TYPE_LATEST.removesuffix("; charset=utf-8")
    return Response(parts.metrics.exposition(await parts.gauges.read()), media_type=media_type)
