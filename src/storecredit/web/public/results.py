"""`GET /results/{token}`: result images, by signed links."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath

from storecredit.web.http.envelope import ErrorCode, not_found
from storecredit.web.http.openapi import public_errors
from storecredit.web.parts import Parts


@get(
    "/results/{token:str}",
    summary="Fetch a result image",
    tags=["results"],
    operation_id="getResult",
    responses={
        200: ResponseSpec(
            bytes,
            description="The image; its Content-Type says whether PNG, JPEG or WebP",
            # The one media type under which client generators keep bytes as they are.
            media_type="application/octet-stream",
            generate_examples=False,
        ),
        **public_errors(ErrorCode.NOT_FOUND),
    },
)
async def result(parts: NamedDependency[Parts], token: FromPath[str]) -> Response[bytes]:
    """The image behind a signed link, until the link or the result's retention is over."""
    key = parts.result_links.verify(token)
    image = await parts.results.load(key) if key is not None else None
    if image is None:
        raise not_found("result, or its link has expired: read the generation for a new link")
    return Response(
        image.content,
        media_type=image.media_type,
        headers={"Cache-Control": "private", "X-Content-Type-Options": "nosniff"},
    )
