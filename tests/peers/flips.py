#!/usr/bin/env python3
"""Flips random bytes of a stored archive, one at a time: `tailrace verify` must find each, and what reads the
object must refuse it.

    flips.py BINARY ARCHIVE_FOLDER TABLE [COUNT] [SEED]

The archive is a local folder (`end_to_end.py` without --s3 leaves one); each flipped byte is put back. Objects of
every kind take turns: entries, folds, packs, segments of changes and of bases.
"""

import collections
import json
import os
import random
import subprocess
import sys
import time

from log import read, rfc3339
from objects import find_table, open_archive

KINDS = ("log", "fold", "pack", "raw", "sealed", "base")
VERIFICATION_FAILED = 13


def objects_of(root, folder, manifest):
    """Committed objects by kind: what no entry names is no part of the archive."""
    named = set(manifest.segments) | {m["path"] for base in manifest.bases for m in base.segments}
    found = collections.defaultdict(list)
    for place, _, files in os.walk(os.path.join(root, folder)):
        for file in files:
            path = os.path.relpath(os.path.join(place, file), os.path.join(root, folder))
            kind = path.split(os.sep)[0]
            if kind in ("log", "fold", "pack") or path in named:
                found[kind].append(os.path.join(place, file))
    return {kind: sorted(paths) for kind, paths in found.items()}


def run(binary, archive, *arguments):
    done = subprocess.run([binary, *arguments, "--archive", archive], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


class Flipped:
    """A byte of a file, changed while the block runs."""

    def __init__(self, path, rng):
        with open(path, "rb") as file:
            self.blob = file.read()
        self.path, self.place, self.bit = path, rng.randrange(len(self.blob)), 1 << rng.randrange(8)

    def write(self, blob):
        os.chmod(self.path, 0o644)
        with open(self.path, "wb") as file:
            file.write(blob)

    def __enter__(self):
        changed = bytearray(self.blob)
        changed[self.place] ^= self.bit
        self.write(bytes(changed))
        return self

    def __exit__(self, *_):
        self.write(self.blob)


def main():
    binary, archive, table = sys.argv[1:4]
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 100
    seed = int(sys.argv[5]) if len(sys.argv) > 5 else random.SystemRandom().randrange(10**9)
    rng, began = random.Random(seed), time.monotonic()
    store = open_archive(archive)
    folder = find_table(store, table)
    manifest = read(store, folder)
    code, told = run(binary, archive, "verify")
    if code:
        sys.exit(f"the archive does not verify before anything is flipped: exit {code}\n{told}")
    kinds = {k: v for k, v in objects_of(archive, folder, manifest).items() if k in KINDS}
    tally = collections.Counter()
    at, out = rfc3339(manifest.closed_through), os.path.join(archive, "..", "flipped.jsonl")
    for i in range(count):
        kind = sorted(kinds)[i % len(kinds)]
        with Flipped(rng.choice(kinds[kind]), rng) as flip:
            where = f"{flip.path} byte {flip.place} bit {flip.bit} (seed {seed})"
            code, told = run(binary, archive, "verify")
            if code != VERIFICATION_FAILED:
                sys.exit(f"verify does not find {where}: exit {code}\n{told}")
            if kind in ("raw", "sealed") and i % 5 == 0:
                code, told = run(binary, archive, "replay", "--table", table, "--at", at, "--into", f"file:{out}")
                if code == 0:
                    sys.exit(f"replay reads {where}")
                if os.path.exists(out):
                    sys.exit(f"replay refuses {where}, and leaves a file")
                tally["replays refused"] += 1
        tally[kind] += 1
    code, told = run(binary, archive, "verify")
    if code:
        sys.exit(f"every byte was put back, and verify exits {code}\n{told}")
    print(json.dumps(dict(flips=count, seed=seed, seconds=round(time.monotonic() - began, 1), **tally)))


if __name__ == "__main__":
    main()
