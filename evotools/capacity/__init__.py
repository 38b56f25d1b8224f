"""What hardware a load needs, and what load hardware carries: exact sums over named coefficients."""
