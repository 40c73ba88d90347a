"""Which half of the data a sample is held out of: decided by its content, never by its place.

A sample's key is a keyed hash of its pixels, so the folds, and the order in which the network meets
the samples, stay the same when files are listed, renamed or sharded in another order. Equal images
share a fold: else a network would be trained on the very image that it is later asked about.
"""

from __future__ import annotations

import hashlib

import numpy as np

N_FOLDS = 2


def content_keys(pixels: np.ndarray, seed: int) -> np.ndarray:
    """Hash every image with the seed as the key.

    Args:
        pixels: (N, 32, 32, 3) uint8, may be memory-mapped.
        seed: any integer.

    Returns:
        (N,) uint64 (64-bit BLAKE2b, RFC 7693).
    """
    key = str(seed).encode()
    keys = np.empty(len(pixels), np.uint64)
    for row, image in enumerate(pixels):
        digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8, key=key).digest()
        keys[row] = int.from_bytes(digest, "little")
    return keys


def assign_folds(keys: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Split each class evenly over the folds, equal images together.

    Args:
        keys: (N,) uint64 content keys.
        labels: (N,) int64 in 0…K−1, or −1 without a label.

    Returns:
        (N,) int8 in 0…N_FOLDS−1: the fold in which a sample is held out; 0 without a label.
    """
    order = np.lexsort((labels, keys))
    ordered = labels[order]
    first = np.ones(len(order), bool)
    first[1:] = keys[order][1:] != keys[order][:-1]
    group = np.cumsum(first) - 1
    leader = ordered[first]
    by_class = np.argsort(leader, kind="stable")
    starts = np.searchsorted(leader[by_class], leader[by_class])
    rank = np.empty(len(leader), np.int64)
    rank[by_class] = np.arange(len(leader)) - starts
    # The class number shifts the turn, so that classes of one sample do not all meet in one fold.
    turn = (rank + leader) % N_FOLDS
    folds = np.empty(len(order), np.int8)
    folds[order] = turn[group]
    folds[labels < 0] = 0
    return folds


def training_rows(keys: np.ndarray, labels: np.ndarray, folds: np.ndarray, fold: int) -> np.ndarray:
    """Rows that the network of ``fold`` learns from, in an order set by content.

    Returns:
        (M,) int64 indices: labelled and held out elsewhere.
    """
    rows = np.flatnonzero((folds != fold) & (labels >= 0))
    ordered: np.ndarray = rows[np.lexsort((labels[rows], keys[rows]))]
    return ordered
