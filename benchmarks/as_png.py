"""Write a Parquet dataset again with every image as PNG: the bench then measures lossless images.

    python benchmarks/as_png.py train.parquet png.parquet
    auditor bench png.parquet --suite standard --profile fast

An attack keeps the format of what it poisons, and JPEG removes some triggers (CTRL hides in chroma
that JPEG stores at half of the resolution). The pixels are those that the source decodes to.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from auditor.attacks.encoding import FORMATS

ROWS = 5_000


def as_png(image: dict[str, object]) -> dict[str, object]:
    """The ``bytes`` and ``path`` of one image, as PNG."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(image["bytes"]), formats=FORMATS) as opened:  # type: ignore[arg-type]
        opened.save(buffer, "PNG")
    path = image["path"]
    return {"bytes": buffer.getvalue(), "path": path and str(Path(str(path)).with_suffix(".png"))}


def main(source: Path, out: Path) -> None:
    """Copy ``source`` to ``out``, a few rows at a time."""
    with pq.ParquetFile(source) as read, pq.ParquetWriter(out, read.schema_arrow) as written:
        place = read.schema_arrow.get_field_index("image")
        field = read.schema_arrow.field(place)
        for batch in read.iter_batches(ROWS):
            images = [as_png(image) for image in batch.column(place).to_pylist()]
            columns = batch.columns
            columns[place] = pa.array(images, field.type)
            written.write_batch(pa.record_batch(columns, schema=read.schema_arrow))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: as_png.py SOURCE.parquet OUT.parquet")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
