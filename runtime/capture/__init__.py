"""Where live frames come from, one file per kind of source."""
