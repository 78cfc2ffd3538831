"""Foreign implementations behind `LinearScheme`: for tests, interop and benchmarks."""
