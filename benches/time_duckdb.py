"""Times statements in DuckDB over the live Parquet files of a Delta table.

In: {"table": folder, "queries": {name: sql over "spans"}} as JSON on stdin.
Out: {name: median milliseconds of 10 turns, after 3 to warm up} as JSON on stdout.
"""

import json
import statistics
import sys
import time

import duckdb
from deltalake import DeltaTable


def main():
    asked = json.load(sys.stdin)
    files = DeltaTable(asked["table"]).file_uris()
    database = duckdb.connect()
    database.execute("SET enable_object_cache = true")
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    database.execute(f"CREATE VIEW spans AS SELECT * FROM read_parquet([{listed}])")
    times = {}
    for name, sql in asked["queries"].items():
        taken = []
        for turn in range(13):
            begin = time.perf_counter()
            database.execute(sql).fetchall()
            if turn >= 3:
                taken.append((time.perf_counter() - begin) * 1000)
        times[name] = statistics.median(taken)
    json.dump(times, sys.stdout)


main()
