"""Judging: rules over evidence, and one tale of what they found.

`ruleset` reads the rules, `matching` says where they fire and whom they name, `settling` lets a
clear group say who belongs to it, `judge` makes findings of it, `fusion` adds who the flagged
samples come from, `folding` tells findings on the same samples as one, `blind_spots` says what
could not be seen.
"""
