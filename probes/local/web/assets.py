"""The page's own files and plotly's script, each under an address that names its content, so that browsers may keep it for ever."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

PLOTLY: Final = "plotly.js"
FOREVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file in memory: its bytes, media type, and the first digits of its hash."""

    content: bytes
    media: str
    tag: str


@cache
def assets() -> dict[str, Asset]:
    """Every file of ``static/`` by name."""
    found = {}
    for path in files("probes.local.web").joinpath("static").iterdir():
        content = path.read_bytes()
        media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        found[path.name] = Asset(content, media, hashlib.sha256(content).hexdigest()[:10])
    return found


@cache
def plotly() -> Path:
    """Plotly's script inside the installed wheel; the package itself is not imported, which would cost seconds."""
    spec = find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


@cache
def address(name: str) -> str:
    """Where a page finds the file: ``/static/page.css?v=…``. Raises KeyError for a file that is not there."""
    return f"/static/{name}?v={version('plotly') if name == PLOTLY else assets()[name].tag}"


async def static(request: Request) -> Response:
    """``GET /static/{name}``: a name of the list and nothing else, so that no path leads out."""
    name = request.path_params["name"]
    cached = {"cache-control": FOREVER if request.query_params.get("v") else "no-cache"}
    if name == PLOTLY:
        return FileResponse(plotly(), media_type="text/javascript", headers=cached)
    asset = assets().get(name)
    if asset is None:
        raise HTTPException(404)
    return Response(asset.content, media_type=asset.media, headers=cached)
