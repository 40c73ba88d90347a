"""The guard hands out attested bytes and nothing else."""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attested import Attested, write_images
from signers import Pair, write_key
from tampering import TAMPERINGS, Tampering
from tiny import encode, picture

import auditor
from auditor.attesting.creating import attest
from auditor.attesting.guard import Guard, GuardError
from auditor.attesting.opening import AttestationError
from auditor.attesting.signing import Credentials, open_signer
from auditor.errors import UsageError
from auditor.scanning import scan

Copy = Callable[..., Attested]


def opened(found: Attested, **options: Any) -> Guard:
    return auditor.guard(
        found.dataset, found.file, key=found.pair.public, **{"require": ["any"], **options}
    )


def read_all(found: Guard) -> int:
    """Read every sample as training does."""
    data = found.dataset()
    return sum(len(data.data(place)) for place in range(len(data)))


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda item: item.name)
def test_every_tampering_is_caught_and_named(copy: Copy, tampering: Tampering) -> None:
    found = copy(tampering.kind)
    tampering.do(found.dataset)
    with pytest.raises(GuardError) as caught:
        read_all(opened(found))
    assert tampering.names in str(caught.value)


IN_SAMPLES = {
    "a byte changed", "a byte changed, times put back", "the last byte changed", "a byte appended",
    "truncated", "emptied", "replaced by another picture", "encoded anew, same pixels", "removed",
    "renamed", "relabelled: moved to another class", "two samples of two classes exchanged",
    "two samples of one class exchanged", "moved to another split", "a class renamed",
    "a file replaced by a link", "a file replaced by a pipe", "a file replaced by a folder",
    "a row's picture changed", "a row's label changed", "two rows' pictures exchanged",
    "a row removed", "a row doubled", "rows reordered", "another column changed",
    "the names of the classes exchanged", "a byte of the file changed", "the shard renamed",
}  # fmt: skip


@pytest.mark.parametrize(
    "tampering",
    [item for item in TAMPERINGS if item.name in IN_SAMPLES],
    ids=lambda item: item.name,
)
def test_what_is_done_after_the_start_is_caught_on_reading(
    copy: Copy, tampering: Tampering
) -> None:
    found = copy(tampering.kind)
    guard = opened(found)
    tampering.do(found.dataset)
    with pytest.raises(GuardError):
        read_all(guard)


def test_at_least_twenty_ways() -> None:
    assert len(TAMPERINGS) >= 20
    assert {item.name for item in TAMPERINGS} >= IN_SAMPLES


@pytest.mark.parametrize("kind", ["images", "table", "metadata"])
def test_an_untouched_dataset_is_read(originals: dict[str, Attested], kind: str) -> None:
    found = originals[kind]
    guard = opened(found)
    data = guard.dataset()
    assert len(data) == 12 if kind == "metadata" else 24
    for place in range(len(data)):
        image, label = data[place]
        assert image.mode == "RGB"
        digest = hashlib.sha256(data.data(place)).digest()
        assert digest == guard.samples.digest[place].tobytes()
        assert label == guard.samples.label[place]
    assert sorted(guard.classes) == ["cat", "dog"]


def test_read_returns_the_files_bytes(originals: dict[str, Attested]) -> None:
    found = originals["images"]
    guard = opened(found)
    file = found.dataset / "train/cat/000.png"
    for path in ("train/cat/000.png", file, str(file), "train/dog/../cat/000.png"):
        assert guard.read(path) == file.read_bytes()


@pytest.mark.parametrize("path", ["../report/report.json", "/etc/passwd", "README.md", "absent.png",
                                  "train", "train/cat/\0"])  # fmt: skip
def test_nothing_else_is_read(originals: dict[str, Attested], path: str) -> None:
    with pytest.raises(GuardError):
        opened(originals["images"]).read(path)


def test_labels_and_splits_are_the_attested_ones(originals: dict[str, Attested]) -> None:
    guard = opened(originals["images"])
    train = guard.dataset(split="train")
    assert len(train) == 12
    assert [train.classes[train[i][1]] for i in range(12)] == ["cat"] * 6 + ["dog"] * 6
    with pytest.raises(UsageError, match="it has test, train"):
        guard.dataset(split="valid")


def test_a_transform_gets_the_picture(originals: dict[str, Attested]) -> None:
    data = opened(originals["table"]).dataset(lambda image: np.asarray(image).shape)
    assert data[0] == ((36, 40, 3), 0)


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.parametrize("kind", ["images", "table"])
def test_loaders_with_workers(originals: dict[str, Attested], kind: str, context: str) -> None:
    from torch.utils.data import DataLoader

    data = opened(originals[kind]).dataset(_total)
    loader = DataLoader(
        data, batch_size=5, shuffle=True, num_workers=1,
        multiprocessing_context=multiprocessing.get_context(context),
    )  # fmt: skip
    seen = np.concatenate([np.asarray(labels) for _, labels in loader])
    assert sorted(seen.tolist()) == [0] * 12 + [1] * 12


def _total(image: Any) -> int:
    return int(np.asarray(image).sum())


def test_a_worker_raises_the_guards_error(copy: Copy) -> None:
    from torch.utils.data import DataLoader

    found = copy("images")
    data = opened(found).dataset(_total)
    (found.dataset / "train/cat/000.png").write_bytes(encode(picture(999)))
    with pytest.raises(GuardError, match=r"train/cat/000\.png"):
        list(DataLoader(data, batch_size=4, num_workers=1))


def test_a_guard_can_be_pickled(originals: dict[str, Attested]) -> None:
    guard = opened(originals["images"])
    guard.read("train/cat/000.png")
    again = pickle.loads(pickle.dumps(guard))
    assert again.read("train/cat/000.png") == guard.read("train/cat/000.png")


def test_a_shard_is_checked_as_a_whole_and_cannot_change_any_more(copy: Copy) -> None:
    found = copy("table")
    guard = opened(found)
    shard = guard.open_shard("train.parquet")
    assert len(shard) == 24
    first = shard[13]
    (found.dataset / "train.parquet").write_bytes(b"nothing")
    assert shard[13] == first
    assert first["note"] == "n13"
    assert shard.table(["label"])["label"].to_pylist() == [i % 2 for i in range(24)]
    assert pickle.loads(pickle.dumps(shard))[13] == first
    with pytest.raises(IndexError):
        shard[24]
    with pytest.raises(GuardError, match=r"train\.parquet"):
        guard.open_shard("train.parquet")


def test_a_shard_that_is_too_large_or_unknown(copy: Copy) -> None:
    guard = opened(copy("table"))
    with pytest.raises(UsageError, match="held in memory"):
        guard.open_shard("train.parquet", max_bytes=10)
    with pytest.raises(GuardError, match="was not scanned"):
        guard.open_shard("other.parquet")


class Folder:
    """What torchvision's ImageFolder looks like."""

    def __init__(self, root: Path, transform: Callable[[Any], Any] | None = None) -> None:
        self.root = root
        self.classes = sorted(path.name for path in root.iterdir() if path.is_dir())
        number = {name: i for i, name in enumerate(self.classes)}
        self.samples = [(str(path), number[path.parent.name])
                        for path in sorted(root.glob("*/*.png"))]  # fmt: skip
        self.transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, place: int) -> tuple[str, int]:
        path, label = self.samples[place]
        return Path(path).name, label


def test_wrapping_a_folder_dataset(copy: Copy) -> None:
    found = copy("images")
    guard = opened(found)
    wrapped = guard.wrap(Folder(found.dataset / "train", _total))
    assert len(wrapped) == 12
    image, label = wrapped[0]
    assert (image, label) == (_total(picture(0)), 0)
    pickle.loads(pickle.dumps(wrapped))
    (found.dataset / "train/cat/000.png").write_bytes(encode(picture(999)))
    with pytest.raises(GuardError, match="bytes changed"):
        wrapped[0]


def test_wrapping_finds_other_labels_and_other_files(copy: Copy) -> None:
    found = copy("images")
    guard = opened(found)
    folder = Folder(found.dataset / "train")
    folder.samples[0] = (folder.samples[0][0], 1)
    with pytest.raises(GuardError, match=r"000\.png.*label 'dog'.*label 'cat'"):
        guard.wrap(folder)
    folder = Folder(found.dataset / "train")
    folder.samples.append((str(found.dataset / "train/cat/new.png"), 0))
    with pytest.raises(GuardError, match="was not scanned"):
        guard.wrap(folder)


def test_wrapping_any_dataset_that_names_its_files(copy: Copy) -> None:
    found = copy("images")
    guard = opened(found)
    folder = Folder(found.dataset / "train")
    paths = [path for path, _ in folder.samples]
    del folder.samples
    with pytest.raises(UsageError, match="path_of"):
        guard.wrap(folder)
    folder.samples = [(path, 0) for path in paths]
    wrapped = guard.wrap(folder, path_of=lambda place: paths[place])
    assert wrapped[3] == ("003.png", 0)
    with pytest.raises(GuardError, match="label 'dog'"):
        guard.wrap(folder, path_of=lambda place: paths[place], label_of=lambda place: "dog")


def test_a_plain_manifest_guards_too(originals: dict[str, Attested]) -> None:
    found = originals["images"]
    manifest = found.file.with_name(found.file.name + ".manifest")
    assert read_all(auditor.guard(found.dataset, manifest)) > 0
    with pytest.raises(UsageError, match="name whose signature you trust"):
        auditor.guard(found.dataset, found.file)


def test_a_changed_manifest_is_refused(copy: Copy) -> None:
    found = copy("images")
    manifest = found.file.with_name(found.file.name + ".manifest")
    manifest.write_bytes(manifest.read_bytes().replace(b'"label":"cat"', b'"label":"dog"', 1))
    with pytest.raises(UsageError):
        opened(found)
    manifest.unlink()
    with pytest.raises(UsageError, match="needs the attested manifest"):
        opened(found)


def test_a_manifest_of_another_dataset_is_refused(
    copy: Copy, originals: dict[str, Attested]
) -> None:
    found = copy("images")
    other = originals["table"].file
    with pytest.raises(AttestationError, match="another dataset"):
        opened(found, manifest=other.with_name(other.name + ".manifest"))


def test_the_guard_asks_for_a_good_and_recent_scan(
    originals: dict[str, Attested], tmp_path: Path
) -> None:
    found = originals["images"]
    with pytest.raises(AttestationError, match="badnets"):
        opened(found, require=["power:badnets<=50"])
    with pytest.raises(AttestationError, match="too old"):
        opened(found, max_age="0m")
    other = write_key(tmp_path, "other")
    stranger = Attested(found.dataset, found.report, found.file, other)
    with pytest.raises(AttestationError, match="another key"):
        opened(stranger)


def test_what_the_scan_refused_is_not_trained_on(tmp_path: Path, keys: Pair) -> None:
    data = write_images(tmp_path / "data")
    (data / "train/cat/broken.png").write_bytes(encode(picture(5))[:200])
    scan(data, profile="fast", workers=1, no_cache=True).save(tmp_path / "report")
    file = tmp_path / "scan.jsonl"
    attest(data, tmp_path / "report", file, open_signer(Credentials(keys.private)))
    guard = auditor.guard(data, file, key=keys.public, require=["any"])
    with pytest.raises(GuardError, match="could not read it"):
        guard.read("train/cat/broken.png")
    assert len(guard.dataset()) == 24
    with pytest.raises(AttestationError, match="verdict is 'incomplete'"):
        auditor.guard(data, file, key=keys.public)


def test_the_guard_loads_no_torch_before_a_torch_dataset(originals: dict[str, Attested]) -> None:
    found = originals["images"]
    code = (
        "import sys, auditor\n"
        f"g = auditor.guard({str(found.dataset)!r}, {str(found.file)!r}, "
        f"key={str(found.pair.public)!r}, require=['any'])\n"
        "g.read('train/cat/000.png')\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
