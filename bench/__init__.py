"""Benchmarks: seeded workloads, compared within one run."""
