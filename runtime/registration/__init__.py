"""Watching the registration while driving: is it still right, and if not, following it or saying so."""
