"""The digest index against a dictionary."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.features.digests import DigestIndex, digest_prefixes

# Few first bytes and a long tail: prefixes collide often, whole digests seldom.
DIGESTS = st.tuples(
    st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\x80" + b"\0" * 7]),
    st.binary(min_size=24, max_size=24),
).map(b"".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(DIGESTS, min_size=1, unique=True), st.lists(DIGESTS))
def test_finds_what_a_dictionary_finds(stored: list[bytes], asked: list[bytes]) -> None:
    every = np.frombuffer(b"".join(stored), np.uint8).reshape(-1, 32)
    ordered = every[np.argsort(digest_prefixes(every), kind="stable")]
    expected = {row.tobytes(): place for place, row in enumerate(ordered)}
    with TemporaryDirectory() as folder:
        DigestIndex.write(Path(folder), ordered)
        index = DigestIndex.open(Path(folder))
        for digest in (*stored, *asked):
            assert index.find(digest) == expected.get(digest, -1)


def test_prefixes_read_big_endian() -> None:
    digest = np.zeros((1, 32), np.uint8)
    digest[0, 7] = 1
    assert digest_prefixes(digest).tolist() == [1]
