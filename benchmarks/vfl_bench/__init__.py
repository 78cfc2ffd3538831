"""Measures the engine beside its peers: same work, same run, key bits on every row."""
