"""Judging: rules over evidence, and one tale of what they found.

`ruleset` reads the rules, `judge` asks them, `fusion` adds who the flagged samples come from,
`folding` tells findings on the same samples as one, `blind_spots` says what could not be seen.
"""
