"""Probing: the search for groups of samples that low-level views predict from one another."""
