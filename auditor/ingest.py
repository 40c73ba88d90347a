"""Read a dataset once: the ledger of its samples and the stored views, shard by shard."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa

from auditor.engines import WorkerPool
from auditor.errors import InternalError, UsageError
from auditor.features import N_FEATURES
from auditor.features.store import FeatureStore, view_columns
from auditor.interfaces import Progress
from auditor.readers import READERS, Catalog, Columns, Listing
from auditor.readers.inventory import take_inventory
from auditor.readers.moments import EARLIEST, LATEST
from auditor.records import Coverage
from auditor.tables import INVENTORY, MEASURES, SAMPLES

MEASURED = (
    "width", "height", "mode", "format", "perceptual_hash", "luma_mean", "luma_deviation",
    "encoder", "software", "trailing", "payload", "text_bytes", "icc_bytes", "credentials",
    "located", "thumbnail", "scaling",
)  # fmt: skip
"""What a stored sample's row says, beside its views."""

SAID = ("said_label", "said_source", "said_time")
"""What a worker read from the file itself, where the listing did not know it."""


MAX_DECLARED = 10_000
"""Declared classes up to which those without a sample are kept, so that class numbers are the
dataset's own; ImageNet-21k has more, and a hostile declaration may have millions."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The samples table with its measures, and the views of the scanned rows in row order."""

    samples: pl.DataFrame
    views: Mapping[str, np.ndarray]
    class_names: tuple[str, ...]
    fingerprint: str

    @property
    def scanned(self) -> pl.DataFrame:
        """The rows that the views belong to."""
        return self.samples.filter(pl.col("status") == "scanned")


def open_catalog(listing: Listing, columns: Columns, pool: WorkerPool) -> Catalog:
    """Ask every reader for what it finds and make one catalog of it."""
    found: list[Catalog] = []
    not_samples = Counter(listing.skipped)
    for discover in READERS:
        catalog = discover(listing, columns, pool.run)
        left = tuple(file for file in listing.files if file[0] not in catalog.claimed)
        listing = replace(listing, files=left)
        not_samples.update(catalog.not_samples)
        found.append(catalog)
    _require_tables(columns, found)
    formats = [catalog.format for catalog in found if catalog.shards or catalog.refused]
    return Catalog(
        format="+".join(formats) or "none",
        shards=tuple(shard for catalog in found for shard in catalog.shards),
        refused=(*listing.refused, *(item for catalog in found for item in catalog.refused)),
        not_samples=dict(sorted(not_samples.items())),
        class_names=next((catalog.class_names for catalog in found if catalog.class_names), ()),
    )


def inventory(listing: Listing, catalog: Catalog, pool: WorkerPool) -> pl.DataFrame:
    """The files that are no samples, as isolated workers saw them (``tables.INVENTORY``)."""
    found = take_inventory(listing, catalog, pool.imap)
    return found.select(pl.col(name).cast(kind) for name, kind in INVENTORY.items())


def _require_tables(columns: Columns, found: Sequence[Catalog]) -> None:
    asked = {"--image": columns.image, "--label": columns.label, "--source": columns.source}
    for option, name in asked.items():
        if name is not None and not any(catalog.n_tables for catalog in found):
            raise UsageError(
                f"{option} {name!r}: this dataset has no table with columns, but folders of files; "
                "leave the option away"
            )


def ingest(catalog: Catalog, pool: WorkerPool, store: FeatureStore, progress: Progress) -> Ledger:
    """Read every shard; views go to disk as they come, only ledger columns stay in memory."""
    frames: list[pl.DataFrame] = []
    done, total = 0, catalog.n_samples
    paths = {name: store.scratch / f"{name}.raw" for name in ("pixels", "texture")}
    with ExitStack() as stack:
        files = {name: stack.enter_context(path.open("wb")) for name, path in paths.items()}
        replies = pool.imap(shard.task for shard in catalog.shards)
        for shard, reply in zip(catalog.shards, replies, strict=True):
            frames.append(_absorb(shard.known, reply, store, files))
            done += reply.num_rows
            progress(done, total)
    frames.append(_refused_frame(catalog))
    samples, names = _number_classes(pl.concat(frames), catalog.class_names)
    n_scanned = samples.filter(pl.col("status") == "scanned").height
    views = {
        "pixels": _map(paths["pixels"], np.dtype(np.uint8), (n_scanned, 32, 32, 3)),
        "texture": _map(paths["texture"], np.dtype(np.float32), (n_scanned, N_FEATURES)),
    }
    return Ledger(samples, views, names, fingerprint(samples))


def _absorb(
    known: pl.DataFrame, reply: pa.Table, store: FeatureStore, files: Mapping[str, BinaryIO]
) -> pl.DataFrame:
    """One shard's rows: what the listing knew, what the worker said, what is stored."""
    if reply.num_rows != known.height:
        raise InternalError(
            f"worker: answered {reply.num_rows} samples of a shard of {known.height}; "
            "please report it"
        )
    pack = (reply.schema.metadata or {}).get(b"pack")
    fresh = store.add(pack) if pack is not None else None
    stored_at = reply["known"].to_numpy()
    fresh_at = reply["decoded"].to_numpy()
    scanned = np.flatnonzero((stored_at >= 0) | (fresh_at >= 0))
    views = _gather(store, stored_at[scanned], fresh, fresh_at[scanned])
    said = pl.DataFrame(
        {
            "sha256": [None if d is None else d.hex() for d in reply["sha256"].to_pylist()],
            "n_bytes": reply["n_bytes"].to_numpy(zero_copy_only=False)
            if reply["n_bytes"].null_count == 0
            else reply["n_bytes"].to_pylist(),
            "said_label": reply["label"].to_pylist(),
            "said_source": reply["source"].to_pylist(),
            "said_time": reply["time"].to_pylist(),
            "promised_format": reply["promised_format"].to_pylist(),
            "refusal": reply["refusal"].to_pylist(),
            "detail": reply["detail"].to_pylist(),
        },
        schema={
            "sha256": pl.String, "n_bytes": pl.UInt64, "said_label": pl.String,
            "said_source": pl.String, "said_time": pl.Int64, "promised_format": pl.String,
            "refusal": pl.String, "detail": pl.String,
        },
    )  # fmt: skip
    frame = pl.concat([known, said], how="horizontal").with_columns(
        label=pl.coalesce("label", "said_label"),
        source=pl.coalesce("source", "said_source"),
        time=_moments(pl.coalesce("time", "said_time")),
        status=pl.when(pl.col("refusal").is_null())
        .then(pl.lit("scanned"))
        .otherwise(pl.lit("refused")),
        place=pl.int_range(pl.len(), dtype=pl.Int64),
    )
    if views is None:
        empty = {name: pl.lit(None, dtype=kind) for name, kind in _measured_schema().items()}
        return frame.with_columns(**empty).drop("place", *SAID)
    pixels, texture = view_columns(views)
    files["pixels"].write(np.ascontiguousarray(pixels).data)
    files["texture"].write(texture.data)
    measured = pl.DataFrame(pl.from_arrow(views.select(list(MEASURED)))).cast(_measured_schema())  # type: ignore[arg-type]
    measured = measured.with_columns(place=pl.Series(scanned, dtype=pl.Int64))
    joined = frame.join(measured, on="place", how="left", maintain_order="left")
    return joined.drop("place", *SAID)


def _moments(microseconds: pl.Expr) -> pl.Expr:
    """Times, checked once more: a worker's reply is believed in nothing."""
    valid = microseconds.is_between(EARLIEST, LATEST, closed="left")
    return pl.when(valid).then(microseconds).cast(pl.Datetime("us"))


def _measured_schema() -> dict[str, type[pl.DataType]]:
    every = {**SAMPLES, **MEASURES}
    return {name: every[name] for name in MEASURED}


def _gather(
    store: FeatureStore, stored_at: np.ndarray, fresh: pa.Table | None, fresh_at: np.ndarray
) -> pa.Table | None:
    """The scanned samples' stored rows in shard order, from packs old and new."""
    old = np.flatnonzero(stored_at >= 0)
    new = np.flatnonzero(stored_at < 0)
    pieces = []
    if len(old):
        pieces.append(store.stored(stored_at[old]))
    if len(new) and fresh is not None:
        pieces.append(fresh.take(pa.array(fresh_at[new])))
    if not pieces:
        return None
    order = np.argsort(np.concatenate([old, new]), kind="stable")
    return pa.concat_tables(pieces).take(pa.array(order)).combine_chunks()


def _refused_frame(catalog: Catalog) -> pl.DataFrame:
    """Rows for what the readers refused before a worker saw it."""
    items = sorted(catalog.refused, key=lambda item: (item.uri, item.reason))
    schema: dict[str, type[pl.DataType]] = {
        "uri": pl.String, "record": pl.UInt64, "label": pl.String, "split": pl.String,
        "source": pl.String, "time": pl.Datetime, "sha256": pl.String, "n_bytes": pl.UInt64,
        "promised_format": pl.String, "refusal": pl.String, "detail": pl.String,
        "status": pl.String, **_measured_schema(),
    }  # fmt: skip
    data: dict[str, Sequence[object]] = {name: [None] * len(items) for name in schema}
    data["uri"] = [item.uri for item in items]
    data["label"] = [item.label for item in items]
    data["split"] = [item.split for item in items]
    data["refusal"] = [item.reason for item in items]
    data["detail"] = [item.detail for item in items]
    data["status"] = ["refused"] * len(items)
    return pl.DataFrame(data, schema=schema)


def _number_classes(
    samples: pl.DataFrame, declared: tuple[str, ...]
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Turn class names into 0…K−1: the declared order, then numbers by value, then by name."""
    found = set(samples["label"].drop_nulls().unique().to_list())
    extra = sorted(found - set(declared), key=class_order)
    if len(declared) > MAX_DECLARED:
        declared = tuple(name for name in declared if name in found)
    names = tuple(dict.fromkeys((*declared, *extra)))
    numbers = pl.DataFrame(
        {"class_name": list(names), "number": range(len(names))},
        schema={"class_name": pl.String, "number": pl.Int64},
    )
    table = samples.rename({"label": "class_name"}).join(
        numbers, on="class_name", how="left", maintain_order="left"
    )
    table = table.rename({"number": "label"}).with_columns(
        row=pl.int_range(pl.len(), dtype=pl.UInt64)
    )
    return table.select(*SAMPLES, *MEASURES), names


def class_order(name: str) -> tuple[int, int, str]:
    """Sort key of class names: numbers by their value, before all other names."""
    is_number = name.isascii() and name.lstrip("-").isdigit() and len(name) < 19
    return (0, int(name), name) if is_number else (1, 0, name)


def _map(path: Path, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> np.ndarray:
    if shape[0] == 0:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)


def fingerprint(samples: pl.DataFrame) -> str:
    """sha256 over path, record, bytes, label and split of every sample, in canonical order.

    Each field goes in behind its length, so that no two datasets share a serialisation.
    """
    fields = ["uri", "record", "sha256", "refusal", "class_name", "split"]
    texts = [pl.col(name).cast(pl.String) for name in fields]
    line = pl.concat_str(
        [
            pl.when(text.is_null())
            .then(pl.lit("-"))
            .otherwise(pl.format("{}:{}", text.str.len_bytes(), text))
            for text in texts
        ],
        separator=",",
    )
    ordered = samples.sort("uri", "record", "sha256", "class_name", nulls_last=True).select(
        line=line
    )
    digest = hashlib.sha256()
    for piece in _slices(ordered, 65536):
        digest.update("\n".join(piece["line"].to_list()).encode("utf-8") + b"\n")
    return digest.hexdigest()


def _slices(frame: pl.DataFrame, size: int) -> Iterator[pl.DataFrame]:
    for start in range(0, frame.height, size):
        yield frame.slice(start, size)


def coverage(samples: pl.DataFrame, catalog: Catalog) -> Coverage:
    """Count what was scanned and refused; ``discovered = scanned + refused``."""
    reasons = samples.filter(pl.col("status") == "refused")["refusal"]
    counts = sorted(Counter(reasons.to_list()).items())
    return Coverage(
        discovered=samples.height,
        scanned=samples.height - len(reasons),
        refused=len(reasons),
        by_reason=dict(counts),
        not_samples=catalog.not_samples,
    )
