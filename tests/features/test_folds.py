import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from auditor.features.folds import assign_folds, content_keys, training_rows


def images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def test_keys_follow_content_and_seed():
    pixels = images(4)
    pixels[3] = pixels[0]
    keys = content_keys(pixels, 1)
    assert keys[3] == keys[0]
    assert len(set(keys[:3].tolist())) == 3
    assert not np.isin(content_keys(pixels, 2), keys).any()


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_folds_follow_rows_and_split_classes_evenly(labels: list[int], seed: int):
    rng = np.random.default_rng(seed)
    given_labels = np.array(labels, np.int64)
    keys = rng.choice(2**40, len(labels), replace=False).astype(np.uint64)
    folds = assign_folds(keys, given_labels)
    order = rng.permutation(len(labels))
    assert (assign_folds(keys[order], given_labels[order]) == folds[order]).all()
    assert (folds[given_labels < 0] == 0).all()
    for label in range(4):
        mine = folds[given_labels == label]
        assert abs((mine == 0).sum() - (mine == 1).sum()) <= 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=40))
def test_equal_images_share_a_fold(samples: list[tuple[int, int]]):
    keys = np.array([key for key, _ in samples], np.uint64)
    labels = np.array([label for _, label in samples], np.int64)
    folds = assign_folds(keys, labels)
    for key in np.unique(keys):
        assert np.unique(folds[keys == key]).size == 1


def test_training_rows_are_the_labelled_rest_in_content_order():
    keys = np.array([5, 3, 9, 1], np.uint64)
    labels = np.array([0, 1, 0, -1])
    folds = np.array([0, 1, 1, 0], np.int8)
    assert training_rows(keys, labels, folds, 0).tolist() == [1, 2]
    assert training_rows(keys, labels, folds, 1).tolist() == [0]
