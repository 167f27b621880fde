"""The CPU's own kernels: C++ compiled once a machine, with the matrix products that torch brings."""
