"""`python -m vfl_bench` is `vfl-bench`."""

from vfl_bench.cli import main

main()
