"""The run record while it comes about: ``run.jsonl``, a line a second, from which ``run.json`` is made at the end."""
