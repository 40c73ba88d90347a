"""The poisoned copy: read block by block, encoded again alike, written beside its truth."""
