"""HTML files that need no network: how every room renders its pages."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

Filters = Mapping[str, Callable[..., Any]]
NO_FILTERS: Filters = {}


def render_page(
    packages: tuple[str, ...],
    template: str,
    values: Mapping[str, Any],
    *,
    script: str = "",
    images: bool = True,
    filters: Filters = NO_FILTERS,
) -> str:
    """One HTML file, which extends ``base.html``.

    Args:
        packages: whose ``templates`` folders hold its templates, found in that order, and each a ``style.css``.
        template: its name.
        values: what it shows.
        script: the only one that may run.
        images: it holds some, as data.
        filters: of the templates, also to be called as functions.
    """
    style = "".join((files(package) / "templates" / "style.css").read_text() for package in packages)
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, __name__)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    environment.globals.update(filters)
    ours = {
        "style": Markup(style),  # noqa: S704 - our own file
        "script": Markup(script),  # noqa: S704 - our own file
        "policy": _policy(style, script, images=images),
        "images": images,
    }
    return environment.get_template(template).render(**values, **ours)


def _policy(style: str, script: str, *, images: bool) -> str:
    """A content security policy: nothing is fetched, and no script runs but ours, whatever a name contains."""
    rules = ["default-src 'none'"]
    if images:
        rules.append("img-src data:")
    rules.append(f"style-src {_digest(style)}")
    if script:
        rules.append(f"script-src {_digest(script)}")
    return "; ".join(rules)


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
