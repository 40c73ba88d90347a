"""Readers: what a dataset holds, and how a worker gets at each sample's bytes."""

from auditor.readers import image_folder, parquet
from auditor.readers.catalog import Catalog, Columns
from auditor.readers.sampling import subsample
from auditor.readers.walk import Listing, walk

READERS = (image_folder.discover, parquet.discover)
"""Each claims its own kind of files from the listing; a dataset may hold several kinds."""

__all__ = ["READERS", "Catalog", "Columns", "Listing", "subsample", "walk"]
