"""Judge a dataset against what was accepted before: baselines and suppressions."""
