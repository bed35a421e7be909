"""The page `/docs`: the OpenAPI document to read and to try; nothing is fetched from elsewhere."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

PAGE = "/docs"
ASSETS = f"{PAGE}/assets"


def install(app: FastAPI) -> None:
    """Serve the page and what it needs. FastAPI's own needs a content delivery network."""
    app.mount(ASSETS, StaticFiles(packages=[("fastapi_offline", "static")]))
    app.add_route(PAGE, lambda _: _page(app), include_in_schema=False)


def _page(app: FastAPI) -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url=str(app.openapi_url),
        title=app.title,
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS}/favicon.png",
    )
