"""All pages for people in one app: each part of them adds its routes here."""

from fastapi import FastAPI

from safeweave.web import operations, portal, signing_in, workbench
from safeweave.web.api.answering import add_api
from safeweave.web.asked import Site
from safeweave.web.pages import Routes, pages_app

PARTS: list[Routes] = [signing_in.routes, *portal.PARTS, *workbench.PARTS, *operations.PARTS]

signing_in.homes.update(dict.fromkeys(workbench.EXAMINERS, workbench.HOME))


def people_app(site: Site) -> FastAPI:
    """The app with every page, ready to be mounted behind the doors."""
    return pages_app(site, PARTS, add_api)
