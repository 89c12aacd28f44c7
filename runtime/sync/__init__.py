"""Two cameras, one stream: a thread for each, and pairs by exposure time."""
