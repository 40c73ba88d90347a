"""Readers: what a dataset holds, and how a worker gets at each sample's bytes."""

from auditor.readers import image_folder, parquet
from auditor.readers.catalog import Catalog, Columns
from auditor.readers.sampling import subsample
from auditor.readers.walk import Listing, walk

READERS = (parquet.discover, image_folder.discover)
"""Each claims its own kind of files from the listing; a dataset may hold several kinds. Tables come
first: image files that a table names are its samples, and not found a second time."""

__all__ = ["READERS", "Catalog", "Columns", "Listing", "subsample", "walk"]
