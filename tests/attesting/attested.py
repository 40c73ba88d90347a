"""Small datasets, scanned and attested."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from signers import Pair
from tiny import encode, features, picture, pictures, structs, write_folder, write_parquet

from auditor.attesting.creating import attest
from auditor.attesting.signing import Credentials, open_signer
from auditor.scanning import scan


@dataclass(frozen=True, slots=True)
class Attested:
    """A dataset, its report, its attestation, and whose key signed it."""

    dataset: Path
    report: Path
    file: Path
    pair: Pair


def attested(home: Path, dataset: Path, pair: Pair) -> Attested:
    report, file = home / "report", home / "scan.jsonl"
    scan(dataset, profile="fast", workers=1, no_cache=True).save(report)
    attest(dataset, report, file, open_signer(Credentials(pair.private)))
    return Attested(dataset, report, file, pair)


def write_images(root: Path) -> Path:
    """Two classes by folder, in two splits, and a file that is no sample."""
    for place, split in enumerate(("train", "test")):
        write_folder(root / split, {"cat": 6, "dog": 6}, seed=100 * place)
    (root / "README.md").write_text("pictures\n")
    (root / "train" / "cat" / "link-target.txt").write_text("text\n")
    return root


def write_table(root: Path) -> Path:
    """One Parquet file of two row groups."""
    columns = {"image": structs(pictures(24)), "label": [i % 2 for i in range(24)],
               "note": [f"n{i}" for i in range(24)]}  # fmt: skip
    names = features({"label": ["cat", "dog"]})
    write_parquet(root / "train.parquet", columns, names, row_group_size=12)
    return root


def write_metadata(root: Path) -> Path:
    """Images in one folder and their labels in ``metadata.csv``."""
    lines = ["file_name,label"]
    (root / "images").mkdir(parents=True)
    for i in range(12):
        (root / "images" / f"{i}.png").write_bytes(encode(picture(i)))
        lines.append(f"images/{i}.png,{'cat' if i % 2 else 'dog'}")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root
