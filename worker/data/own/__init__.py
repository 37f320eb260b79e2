"""A site's own files as arrays: CSV, NPZ, LIBSVM, Parquet, folders of images."""

from gradwire.worker.data.own.formats import format_of
from gradwire.worker.data.own.schema import Schema, schema_of
from gradwire.worker.data.own.schema_file import read_schema, to_toml
from gradwire.worker.data.own.tables import FirstSchema, first_schema, read_table

__all__ = [
    "FirstSchema",
    "Schema",
    "first_schema",
    "format_of",
    "read_schema",
    "read_table",
    "schema_of",
    "to_toml",
]
