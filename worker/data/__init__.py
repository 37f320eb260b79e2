"""Public data sets as float32 matrices: embedded, from the folder GRADWIRE_DATA, cached, or downloaded."""

from gradwire.worker.data.dataset import Dataset, DatasetInfo
from gradwire.worker.data.store import available, fetch, load

__all__ = ["Dataset", "DatasetInfo", "available", "fetch", "load"]
