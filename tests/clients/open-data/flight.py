"""Asks a collector through Arrow Flight SQL with the ADBC driver. Argument: host:port of the API. Fails loudly."""

import sys

import adbc_driver_flightsql.dbapi as flight_sql


def refused(cursor, sql, expected):
    try:
        cursor.execute(sql)
        cursor.fetch_arrow_table()
    except Exception as error:
        assert expected in str(error), f"{sql}: {error}"
        return
    raise AssertionError(f"{sql} was answered")


def main():
    with flight_sql.connect(f"grpc://{sys.argv[1]}", autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name, count(*) AS n, avg(duration_nanos) AS mean FROM spans GROUP BY 1 ORDER BY 1")
        table = cursor.fetch_arrow_table()
        assert table.to_pydict()["name"] == ["fast", "slow"], table
        assert table.to_pydict()["n"] == [400, 100], table

        cursor.execute("SELECT service_name, kind, start_time, hex(trace_id) FROM spans")
        table = cursor.fetch_arrow_table()
        assert table.num_rows == 500, table
        assert str(table.schema.field("start_time").type) == "timestamp[ns, tz=UTC]", table.schema

        cursor.execute("SELECT count(*) AS n FROM spans WHERE name = $1 AND duration_nanos >= $2", ("slow", 5))
        assert cursor.fetchone()[0] == 100

        cursor.execute("SELECT value FROM generate_series(1, 50000)")
        assert cursor.fetch_arrow_table().num_rows == 50000

        objects = connection.adbc_get_objects(depth="tables").read_all().to_pylist()
        names = {
            table["table_name"]
            for catalog in objects
            for schema in catalog["catalog_db_schemas"]
            for table in schema["db_schema_tables"]
        }
        assert {"spans", "traces", "journeys", "metrics"} <= names, names
        schema = connection.adbc_get_table_schema("spans")
        assert "trace_id" in schema.names and "service_name" in schema.names, schema

        refused(cursor, "DROP TABLE spans", "only queries")
        refused(cursor, "SELECT nme FROM spans", "did you mean name?")
        refused(cursor, "SELECT value FROM generate_series(1, 1000000)", "more than 100000 rows")
        cursor.execute("SELECT 1 AS one")
        assert cursor.fetchone()[0] == 1
    print("ok")


main()
