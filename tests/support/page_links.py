"""What a page refers to."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path


class Links(HTMLParser):
    """Whatever a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object"):
            self.found.append(tag)
        linked = [value or "" for name, value in attrs if name in ("src", "href")]
        self.found += [value for value in linked if not value.startswith("data:")]
        self.pictures += tag == "img"


def links(page: Path) -> Links:
    found = Links()
    found.feed(page.read_text())
    return found
