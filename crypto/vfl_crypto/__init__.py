"""Ciphers and the kernels under them."""
