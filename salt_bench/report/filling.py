"""Templates to text, and figures into pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from salt_bench.report import cells

TEMPLATES = Path(__file__).with_name("templates")


def fill(template: str, page: Mapping[str, Any]) -> str:
    """The text of a template; what goes into HTML is escaped. Raises where the template wants more than `page` has."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=".html" in template,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    made.filters |= {"markdown": cells.markdown, "plain": cells.escape}
    return made.get_template(template).render(page).rstrip("\n") + "\n"


def inline(name: str, svg: str) -> str:
    """The <svg> element alone, no wider than drawn at 1.5 px per point, with names of its own: many fit into one page."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r'width="([\d.]+)pt" height="[\d.]+pt"', _size, body, count=1)
    for before in (' id="', 'href="#', "url(#"):
        body = body.replace(before, f"{before}{name}-")
    return body


def _size(match: re.Match[str]) -> str:
    return f'style="max-width:{1.5 * float(match[1]):.0f}px"'
