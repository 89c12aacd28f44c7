"""From run records to pages that people decide from."""
