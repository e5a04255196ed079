"""Reads the tables of a running collector with other people's programs and prints their answers as one JSON object.

Reads one JSON object from stdin:

    root      folder or URL of one tenant's tables
    options   settings of the object store for a URL, else empty
    queries   name -> [table, SQL that DuckDB and Polars both understand]

and prints {"versions": {table: version of its Delta log}, "answers": {reader: {query: rows}}}. Every query is asked of
the version in `versions`, whatever the collector commits meanwhile. Readers:

    delta-rs + DuckDB     DuckDB's SQL over the Arrow dataset of the Python package deltalake
    files + DuckDB        DuckDB's own Parquet reader over the file list of that version; on a folder only
    delta-rs + Polars     Polars' SQL over its own Delta reader
"""

import json
import sys

import duckdb
import polars
from deltalake import DeltaTable


def main():
    asked = json.load(sys.stdin)
    root, options, queries = asked["root"], asked["options"], asked["queries"]
    versions, answers = {}, {}
    for name, (table_name, sql) in queries.items():
        table = DeltaTable(f"{root}/{table_name}", version=versions.get(table_name), storage_options=options)
        versions[table_name] = table.version()

        database = duckdb.connect()
        database.register(table_name, table.to_pyarrow_dataset())
        answers.setdefault("delta-rs + DuckDB", {})[name] = database.execute(sql).fetchall()

        if "://" not in root:
            database = duckdb.connect()
            files = database.read_parquet(table.file_uris(), hive_partitioning=True)
            database.register(table_name, files)
            answers.setdefault("files + DuckDB", {})[name] = database.execute(sql).fetchall()

        frame = polars.scan_delta(f"{root}/{table_name}", version=table.version(), storage_options=options or None)
        frame = polars.SQLContext({table_name: frame}).execute(sql).collect()
        answers.setdefault("delta-rs + Polars", {})[name] = frame.rows()
    json.dump({"versions": versions, "answers": answers}, sys.stdout)


main()
