"""The style and the script of the pages, under addresses that change with what is in them."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from litestar import Response, get
from litestar.params import FromPath

from storecredit.web.http.envelope import not_found

ASSETS: Final = "/assets"
_FOLDER: Final = Path(__file__).with_name("assets")
_MEDIA_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_HASH_CHARACTERS: Final = 12
_HEADERS: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@cache
def _content(name: str) -> bytes | None:
    path = _FOLDER / name
    is_ours = path.parent == _FOLDER and path.suffix in _MEDIA_TYPES and path.is_file()
    return path.read_bytes() if is_ours else None


@cache
def asset_address(name: str) -> str:
    """Where a file of `assets/` is; a browser may keep what it gets there for ever."""
    content = _content(name)
    assert content is not None, f"there is no asset {name}"
    return f"{ASSETS}/{name}?v={sha256(content).hexdigest()[:_HASH_CHARACTERS]}"


@get(f"{ASSETS}/{{name:str}}", include_in_schema=False)
async def asset(name: FromPath[str]) -> Response[bytes]:
    """One of the files; the hash in the address is there for browsers' caches alone."""
    if len(name) > len(max(_names(), key=len)) or name not in _names():
        raise not_found("file")
    content = _content(name)
    assert content is not None, "it was listed"
    return Response(content, headers=_HEADERS, media_type=_MEDIA_TYPES[Path(name).suffix])


@cache
def _names() -> frozenset[str]:
    return frozenset(each.name for each in _FOLDER.iterdir() if each.suffix in _MEDIA_TYPES)
