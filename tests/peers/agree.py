#!/usr/bin/env python3
"""Holds the binary against the independent replayer on archives that are there already.

    agree.py --binary target/debug/tailrace --archive FOLDER... --table orders [--times 60] [--seed 1]

All that the page lets a reader check is checked, then both are asked for the image at random seconds: they give the same
items, or both refuse. Each key's history by the binary has to be the changes that the replayer finds.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

import canonical
import replayer
from log import Refused, rfc3339

OUTSIDE, GAP = 11, 12


class Differ(Exception):
    """The two do not agree."""


def tailrace(options, *arguments):
    command = [options.binary, "--archive", options.archive, *arguments, "--table", options.table]
    return subprocess.run(command, capture_output=True, text=True)


def ours(options, at, folder):
    """{key: image} at a second, or None where it is refused."""
    out = os.path.join(folder, f"{at}.jsonl")
    done = tailrace(options, "replay", "--at", rfc3339(at), "--into", f"file:{out}")
    if done.returncode in (OUTSIDE, GAP):
        return None
    if done.returncode:
        raise Differ(f"the binary failed at {rfc3339(at)}: {done.stderr}")
    with open(out, encoding="utf-8") as lines:
        items = [json.loads(line)["Item"] for line in lines]
    return sorted(canonical.plain_item(item) for item in items)


def theirs(table, at):
    try:
        image, _ = replayer.image_at(table, at)
    except Refused:
        return None
    return sorted(canonical.plain_item(item) for item in image.values())


def histories(options, table):
    """Every key's changes, by position."""
    keys = table.keys()
    for (pk, sk), rows in keys.items():
        sort = ["--sk", sk] if sk is not None else []
        done = tailrace(options, "history", "--json", f"--pk={pk}", *sort)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        found = [(line["kind"], int(line["sequence"])) for line in lines if line["type"] == "version"]
        expected = [(row.kind, row.position[2]) for row in rows]
        if done.returncode or found != expected:
            raise Differ(f"the history of {pk} {sk} is {found}, not {expected}: {done.stderr}")
    return len(keys)


def moments(table, draw, count):
    """Random seconds: half of them beside changes and the borders of gaps, as most of a log may be silence."""
    seconds = [row.cut_at for found in table.keys().values() for row in found]
    borders = seconds + [edge for gap in table.manifest.gaps for edge in (gap.from_cut, gap.to_cut)]
    if not seconds:
        return set()
    beside = {draw.choice(borders) + draw.randint(-1, 1) for _ in range(count // 2)}
    return beside | {draw.randint(min(seconds) - 60, max(seconds) + 60) for _ in range(count - count // 2)}


def compare(options, archive):
    """Images that are equal, refused by both, and histories; what differs is raised."""
    options.archive = archive
    table = replayer.Table(archive, options.table)
    rows = replayer.check(table)
    equal, refused = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for at in moments(table, random.Random(options.seed), options.times):
            mine, other = ours(options, at, folder), theirs(table, at)
            if mine != other:
                raise Differ(f"at {rfc3339(at)}: {mine and len(mine)} items by the binary, {other and len(other)} by the replayer")
            equal, refused = equal + (mine is not None), refused + (mine is None)
    keys = histories(options, table)
    tiers = sorted({meta["tier"] for meta in table.manifest.segments.values()} | ({"base"} if table.manifest.bases else set()))
    print(f"{archive}: {rows} rows in {', '.join(tiers)}: {equal} images equal, {refused} refused by both, {keys} histories equal")
    return equal


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["--binary", "--table"]:
        parser.add_argument(name, required=True)
    parser.add_argument("--archive", nargs="+", required=True, dest="archives")
    parser.add_argument("--times", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    equal = [compare(options, archive) for archive in options.archives]
    print(f"{len(equal)} archives, {sum(equal)} images equal, in {sum(map(bool, equal))} of them")
    if not sum(equal):
        raise Differ("nothing was compared")


if __name__ == "__main__":
    try:
        main()
    except (Differ, Refused) as failure:
        sys.exit(f"agree.py: {failure}")
