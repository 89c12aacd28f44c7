"""What the pages of this room share: style and axes."""

SHARED = __name__
"""The package whose style comes before a page's own."""
