"""The machine that a run is on: its versions at the start, and its temperatures, clocks and load through time."""
