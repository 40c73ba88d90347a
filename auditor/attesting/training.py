"""Torch datasets behind the guard: every sample is checked as it is read, in every worker."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from auditor.attesting.differing import GuardError
from auditor.attesting.guard import Guard
from auditor.attesting.samples import NO_RECORD
from auditor.attesting.shards import Rows
from auditor.errors import UsageError
from auditor.readers.decode import FORMATS

if TYPE_CHECKING:
    Base = Dataset[Any]
else:
    Base = Dataset


class GuardedDataset(Base):
    """The attested samples as (image, label): see `Guard.dataset`.

    Attributes:
        guard: what reads and checks.
        classes: the class names, in the order of the labels.
        targets: (N,) int64, the labels.
    """

    def __init__(
        self, guard: Guard, transform: Callable[[Any], Any] | None, split: str | None
    ) -> None:
        samples = guard.samples
        chosen = ~samples.refused
        if split is not None:
            if split not in samples.splits:
                known = ", ".join(samples.splits) or "none"
                raise UsageError(f"split {split!r}: not in this dataset; it has {known}")
            chosen &= samples.split == samples.splits.index(split)
        self.guard = guard
        self.classes = samples.classes
        self.transform = transform
        self._index = np.flatnonzero(chosen)
        self.targets = samples.label[self._index]
        self._rows: dict[str, Rows] = {}
        # Once here, and not once in each worker: an unchanged file is recognised there.
        rows = np.unique(samples.place[self._index[samples.record[self._index] != NO_RECORD]])
        for uri in samples.paths.take(rows).to_pylist():
            Rows(guard, uri)

    def __getstate__(self) -> dict[str, Any]:
        """Without open files: each worker opens its own."""
        return {**self.__dict__, "_rows": {}}

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, place: int) -> tuple[Any, int]:
        """The image and label of one sample.

        Raises:
            GuardError: it is not what was scanned.
            IndexError: there is no such sample.
        """
        image = decode(self.data(place))
        if self.transform is not None:
            image = self.transform(image)
        return image, int(self.targets[place])

    def data(self, place: int) -> bytes:
        """The encoded bytes of one sample, checked.

        Raises:
            GuardError: it is not what was scanned.
            IndexError: there is no such sample.
        """
        index = int(self._index[place])
        if self.guard.samples.record[index] == NO_RECORD:
            return self.guard.read_index(index)
        uri = self.guard.samples.path(index)
        if uri not in self._rows:
            self._rows[uri] = Rows(self.guard, uri)
        return self._rows[uri].image(index)


def decode(data: bytes) -> Image.Image:
    """Decode checked bytes as RGB, from the formats that a scan decodes."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return image.convert("RGB")


class WrappedDataset(Base):
    """A user's own dataset behind the guard: see `wrap`."""

    def __init__(self, guard: Guard, dataset: Any, index: np.ndarray, owned: bool) -> None:
        self.guard = guard
        self.dataset = dataset
        self._index = index
        self._owned = owned

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, place: int) -> Any:
        """What the user's dataset makes of one checked sample.

        Raises:
            GuardError: it is not what was scanned.
        """
        index = int(self._index[place])
        data = self.guard.read_index(index)
        if not self._owned:
            item = self.dataset[place]
            # It read the file itself: what it read lies between two checks of the same bytes.
            self.guard.read_index(index)
            return item
        image: Any = decode(data)
        target: Any = self.dataset.samples[place][1]
        transform = getattr(self.dataset, "transform", None)
        target_transform = getattr(self.dataset, "target_transform", None)
        image = image if transform is None else transform(image)
        return image, target if target_transform is None else target_transform(target)


def wrap(
    guard: Guard,
    dataset: Any,
    path_of: Callable[[int], str | Path] | None = None,
    label_of: Callable[[int], str] | None = None,
) -> WrappedDataset:
    """Put the guard around a user's own dataset.

    A dataset like torchvision's ``ImageFolder`` (``samples`` of (path, class number), ``classes``)
    needs nothing else: its samples and labels are compared with the attested ones now, and its
    transforms get images decoded from checked bytes. For any other dataset, ``path_of`` tells the
    file of a place; the dataset still reads that file itself, and the guard checks it before and
    after.

    Args:
        guard: the guard.
        dataset: a map-style dataset.
        path_of: place → file; None for an ``ImageFolder``-like dataset.
        label_of: place → class name, compared with the attested one; None compares none where
            ``path_of`` is given.

    Raises:
        GuardError: a sample was not scanned, or has another label than the attested one.
        UsageError: the dataset does not say where its samples come from.
    """
    samples = getattr(dataset, "samples", None) or getattr(dataset, "imgs", None)
    owned = path_of is None
    if path_of is None:
        classes = getattr(dataset, "classes", None)
        if not samples or classes is None:
            raise UsageError(
                f"dataset of type {type(dataset).__name__}: has no samples and classes as "
                "ImageFolder has; say where a sample comes from with path_of=…"
            )
        found = samples
        path_of = lambda place: found[place][0]  # noqa: E731
        label_of = label_of or (lambda place: classes[found[place][1]])
    index = np.array([guard.find(path_of(place)) for place in range(len(dataset))], np.int64)
    if label_of is not None:
        for place, at in enumerate(index.tolist()):
            _require_label(guard, at, label_of(place))
    return WrappedDataset(guard, dataset, index, owned)


def _require_label(guard: Guard, index: int, label: str) -> None:
    attested = guard.samples.class_name(index)
    if label != attested:
        raise GuardError(
            f"sample {guard.samples.name(index)}: has the label {label!r}, it was scanned with the "
            f"label {attested!r}; do not train on it"
        )
