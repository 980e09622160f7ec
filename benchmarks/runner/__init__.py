"""What the benchmarks share: environments of the peers, jobs, memory, results, tables."""
