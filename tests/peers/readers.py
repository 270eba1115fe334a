#!/usr/bin/env python3
"""pyarrow and DuckDB read every committed Parquet object of a table and agree on each row.

    readers.py ARCHIVE TABLE

Objects are copied into a temporary folder as they lie in the archive, so that both read the same bytes and
the globs that the format allows can be tried as well.
"""

import os
import sys
import tempfile

import duckdb
import pyarrow.parquet as pq

import segments
from log import Refused, read
from objects import find_table, open_archive


def comparable(rows):
    return sorted((tuple(bytes(v) if isinstance(v, (bytes, bytearray)) else v for v in row) for row in rows), key=repr)


def agree(path, meta):
    """Both readers give the same rows; returns their number. Times are compared as µs: a zone is how they are shown."""
    table = pq.read_table(path, partitioning=None)
    names = ", ".join(f'epoch_us("{name}")' if name in segments.TIMES else f'"{name}"' for name in table.column_names)
    theirs = duckdb.sql(f"SELECT {names} FROM read_parquet('{path}', hive_partitioning = false)").fetchall()
    ours = list(zip(*((table[name].cast("int64") if name in segments.TIMES else table[name]).to_pylist() for name in table.column_names)))
    if comparable(ours) != comparable(theirs):
        raise Refused(f"pyarrow and DuckDB disagree on {meta['path']}")
    if len(ours) != meta["rows"]:
        raise Refused(f"{meta['path']} has {len(ours)} rows, the log says {meta['rows']}")
    return len(ours)


def by_glob(root, expected):
    """What a reader with globs alone sees: every change once, raw copies of lost commits folded away."""
    query = f"""SELECT count(*) FROM (SELECT DISTINCT epoch, shard_id, sequence
                FROM read_parquet('{root}/raw/*/*.parquet', hive_partitioning = true))"""
    (seen,) = duckdb.sql(query).fetchone()
    if seen != expected:
        raise Refused(f"by glob there are {seen} changes, {expected} are committed")


def main():
    archive = open_archive(sys.argv[1])
    folder = find_table(archive, sys.argv[2])
    manifest = read(archive, folder)
    metas = list(manifest.segments.values()) + [m for base in manifest.bases for m in base.segments]
    rows = {}
    with tempfile.TemporaryDirectory() as root:
        for meta in metas:
            path = os.path.join(root, meta["path"])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(segments.fetch(archive, folder, meta))
            rows[meta["tier"]] = rows.get(meta["tier"], 0) + agree(path, meta)
        if rows.get("raw") and not manifest.sealed:
            by_glob(root, rows["raw"])
    told = ", ".join(f"{tier} {count}" for tier, count in sorted(rows.items())) or "nothing to read"
    print(f"{len(metas)} objects: pyarrow and DuckDB agree on every row ({told})")


if __name__ == "__main__":
    try:
        main()
    except Refused as refusal:
        sys.exit(f"refused: {refusal}")
