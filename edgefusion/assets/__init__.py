"""The bundle that comes with the package."""
