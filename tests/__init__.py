"""Tests mirror the package; `tests.fakes` is what the demo and the benchmark use too."""
