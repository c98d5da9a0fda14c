"""gpuzarr beside its peers on the same stores, one operation at a time: `python -m benchmarks --help`."""
