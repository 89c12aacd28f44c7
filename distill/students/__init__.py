"""The networks that can be distilled, one file per family."""
