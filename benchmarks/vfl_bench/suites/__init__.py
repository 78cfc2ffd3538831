"""What `vfl-bench crypto` measures: one suite a file, each a generator of `Work`."""
