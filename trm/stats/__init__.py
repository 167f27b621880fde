"""Statistics, pure and each with its source: intervals, comparisons, P(best), rank correlation, Pareto fronts."""
