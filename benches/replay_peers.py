#!/usr/bin/env python3
"""Replays one table with tailrace and with other engines, from the same files, and prints how they compare.

    cargo bench -- archive /var/tmp/history
    replay_peers.py --archive /var/tmp/history --binary target/release/tailrace

Every way writes the image at one time (nine tenths through the history, unless --share says otherwise) into a Parquet file
with zstd, in a process of its own, on --threads threads; the ways take turns, and the medians of --rounds rounds are
printed. Every result has to have as many items and as many bytes of images as the others, or nothing is printed.

The engines are asked as favourably as this history allows: it has one shard, so that the sequence number alone orders the
changes, and its numbers fit into 64 bits. Needs duckdb, polars and datafusion from PyPI; what is absent is left out.
"""

import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

TABLE = "orders"


def files(archive):
    """The segments of changes, as they were captured."""
    return sorted(glob.glob(f"{archive}/**/raw/dt=*/*.parquet", recursive=True))


def measured(result):
    """Items and bytes of images of a result."""
    import pyarrow.parquet as pq
    import pyarrow.compute as pc

    images = pq.read_table(result, columns=["image"]).column("image").cast("large_string")
    return len(images), pc.sum(pc.binary_length(images)).as_py() or 0


def duckdb_with(query):
    def run(archive, at, out, threads):
        import duckdb

        base = duckdb.connect(config={"threads": threads, "memory_limit": "12GB", "preserve_insertion_order": False})
        source = f"read_parquet({files(archive)!r}, hive_partitioning=false)"
        return timed(lambda: base.execute(
            f"COPY ({query.format(source=source, at=at)}) TO '{out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"))
    return run


ARG_MAX = """
    SELECT image FROM (
        SELECT arg_max(new_image, sequence) AS image, arg_max(kind, sequence) AS last
        FROM {source} WHERE cut_at <= '{at}' GROUP BY key_hash
    ) WHERE last <> 'REMOVE'"""

LATE = """
    SELECT new_image AS image FROM {source} JOIN (
        SELECT max(sequence) AS sequence FROM {source} WHERE cut_at <= '{at}' GROUP BY key_hash
    ) USING (sequence) WHERE kind <> 'REMOVE'"""


def polars(archive, at, out, threads):
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    import polars as pl

    order = pl.col("sequence").cast(pl.UInt64)
    frame = pl.scan_parquet(files(archive), hive_partitioning=False)
    frame = frame.filter(pl.col("cut_at") <= pl.lit(at).str.to_datetime(time_unit="us", time_zone="UTC"))
    frame = frame.group_by("key_hash").agg(
        pl.col("new_image").get(order.arg_max()).alias("image"), pl.col("kind").get(order.arg_max()).alias("last"))
    frame = frame.filter(pl.col("last") != "REMOVE").select("image")
    return timed(lambda: frame.sink_parquet(out, compression="zstd", compression_level=1))


def datafusion(archive, at, out, threads):
    from datafusion import ParquetWriterOptions, SessionConfig, SessionContext

    context = SessionContext(SessionConfig().with_target_partitions(threads))
    folder = os.path.dirname(os.path.dirname(files(archive)[0]))
    context.register_parquet("changes", folder)
    query = f"""
        SELECT image FROM (
            SELECT last_value(new_image ORDER BY sequence) AS image, last_value(kind ORDER BY sequence) AS last
            FROM changes WHERE cut_at <= TIMESTAMP '{at}' GROUP BY key_hash
        ) WHERE last <> 'REMOVE'"""
    frame = context.sql(query)
    return timed(lambda: frame.write_parquet_with_options(out, ParquetWriterOptions(compression="zstd(1)")))


def timed(work):
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


ENGINES = {
    "duckdb late join": duckdb_with(LATE),
    "polars arg_max": polars,
    "datafusion last_value": datafusion,
    "duckdb arg_max": duckdb_with(ARG_MAX),
}


def tailrace(binary, archive, at, out, threads):
    """The whole process."""
    command = [binary, "--archive", archive, "replay", "--table", TABLE, "--at", at, "--into", f"file:{out}", "--quiet"]
    return timed(lambda: subprocess.run(pinned(command, threads), check=True, stdout=subprocess.DEVNULL))


def pinned(command, threads):
    return ["taskset", "-c", f"0-{threads - 1}", *command]


def child(arguments, name, out):
    """Runs one way in a process of its own; its time, its peak of memory, and what it gave."""
    command = [sys.executable, os.path.abspath(__file__), "--one", name, "--out", out, *sys.argv[1:]]
    done = subprocess.run(pinned(command, arguments.threads), check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def one(arguments):
    """What the child does."""
    import resource

    at, name, out = time_of(arguments), arguments.one, arguments.out
    if name in ENGINES:
        taken = ENGINES[name](arguments.archive, at, out, arguments.threads)
        who = resource.RUSAGE_SELF
    else:
        taken = tailrace(dict(binaries(arguments))[name], arguments.archive, at, out, arguments.threads)
        who = resource.RUSAGE_CHILDREN
    print(json.dumps({"seconds": taken, "mib": resource.getrusage(who).ru_maxrss / 1024}))


def time_of(arguments):
    """The second at this share of the history."""
    import pyarrow.parquet as pq

    def bounds(path):
        metadata = pq.ParquetFile(path).metadata
        names = [metadata.schema.column(at).name for at in range(metadata.num_columns)]
        return metadata.row_group(0).column(names.index("cut_at")).statistics

    every = [bounds(path) for path in (files(arguments.archive)[0], files(arguments.archive)[-1])]
    first, last = every[0].min, every[1].max
    at = first + (last - first) * arguments.share
    return at.replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")


def binaries(arguments):
    return [(f"tailrace ({path})" if len(arguments.binary) > 1 else "tailrace", path) for path in arguments.binary]


def present(name):
    try:
        __import__(name.split()[0])
        return True
    except ImportError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", required=True)
    parser.add_argument("--binary", action="append", required=True, help="may be given several times")
    parser.add_argument("--share", type=float, default=0.9)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without", action="append", default=[], help="leave out ways whose names hold this")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        return one(arguments)
    ways = [name for name, _ in binaries(arguments)] + [name for name in ENGINES if present(name)]
    ways = [name for name in ways if not any(word in name for word in arguments.without)]
    taken, given = {name: [] for name in ways}, {}
    for _ in range(arguments.rounds):
        for name in ways:
            with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(arguments.archive))) as folder:
                out = f"{folder}/out.parquet"
                taken[name].append(child(arguments, name, out))
                # DataFusion makes a folder of it.
                given[name] = measured(out)
    if len(set(given.values())) != 1:
        sys.exit(f"the ways do not agree on items and bytes: {given}")
    items, image_bytes = next(iter(given.values()))
    print(f"image at {time_of(arguments)}: {items} items, {image_bytes} bytes; {arguments.threads} threads, "
          f"medians of {arguments.rounds}")
    median = {name: statistics.median(run["seconds"] for run in runs) for name, runs in taken.items()}
    for name, runs in taken.items():
        peak = max(run["mib"] for run in runs)
        print(f"{name:40} {median[name]:8.2f} s {peak:8.0f} MiB   {median[name] / median[ways[0]]:6.2f} x the first")


if __name__ == "__main__":
    main()
