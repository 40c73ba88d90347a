"""Trials: what changes when something is put into images, after the detectors have measured.

`asking` stamps the triggers that `carriers` were estimated from and asks the networks, and
`explaining` says in words what came of it; `planting` plants known poison and looks for it.
"""
