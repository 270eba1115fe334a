#!/usr/bin/env python3
"""An independent replayer: the image of a table at a second or a sequence number, from `schemas/` alone.

    replayer.py ARCHIVE TABLE --at 2026-11-22T10:00:00Z [--count | --digest]
    replayer.py ARCHIVE TABLE --at-sequence 000000000000000000042
    replayer.py ARCHIVE TABLE --check            every committed segment against the log, every row once

Prints one JSON line per item, sorted by key; the last line on stderr says from where the answer comes.
Exit 0, or 1 with a reason when the archive does not allow the answer.
"""

import argparse
import collections
import hashlib
import json
import sys

import canonical
import segments
from log import Refused, read, rfc3339, second
from objects import find_table, open_archive


class Table:
    """One table of an archive: its folded log, and its rows by key."""

    def __init__(self, url, name):
        self.archive = open_archive(url)
        self.folder = find_table(self.archive, name)
        self.manifest = read(self.archive, self.folder)
        self._keys = None

    def keys(self):
        """All committed changes by key, each list in order of position. UNKNOWN rows belong to no key: they are gaps."""
        if self._keys is None:
            found = collections.defaultdict(list)
            for meta in self.manifest.segments.values():
                for row in segments.changes(self.archive, self.folder, meta):
                    if row.kind != "UNKNOWN":
                        found[row.key].append(row)
            for rows in found.values():
                rows.sort(key=lambda row: row.position)
            self._keys = found
        return self._keys

    def base(self, base):
        """A base's images (JSON text) by key."""
        return {
            key: image for meta in base.segments for key, image in segments.base_rows(self.archive, self.folder, meta)
        }

    def gap_in(self, after, through):
        return next((g for g in self.manifest.all_gaps() if g.meets(after, through)), None)


def after_image(row):
    return None if row.kind == "REMOVE" else json.loads(row.new_image)


def forward(table, base, counts, until):
    """The base, superseded by the last change of each key that `counts`; refuses when a gap meets (fence, until]."""
    gap = table.gap_in(base.fence, until)
    if gap:
        raise Refused(f"gap {gap.id} ({gap.reason}) meets the time between the base and the point asked for")
    image = {key: json.loads(text) for key, text in table.base(base).items()}
    for key, rows in table.keys().items():
        last = next((row for row in reversed(rows) if base.fence < row.cut_at and counts(row)), None)
        if last:
            image[key] = after_image(last)
    return {key: item for key, item in image.items() if item is not None}


def backward_key(table, rows, base_image, base, at):
    """One key's image at `at` from what lies around it; refuses when nothing says what it was."""
    last = next((row for row in reversed(rows) if row.cut_at <= at), None)
    if last and not table.gap_in(last.cut_at - 1, at):
        return after_image(last)
    place = next((i for i, row in enumerate(rows) if at < row.cut_at <= base.complete_at), None)
    if place is not None:
        row = rows[place]
        if table.gap_in(at, row.cut_at):
            raise Refused(f"{row.key} is unknown at that time: a gap lies before its next change")
        if row.kind == "INSERT":
            return None
        image = segments.old_image(row, rows[place - 1] if place else None)
        if image is None:
            raise Refused(f"{row.key} is unknown at that time: its old image was not sent")
        return image
    if table.gap_in(at, base.complete_at):
        raise Refused("a gap lies between that time and the base after it")
    return base_image


def image_at(table, at):
    """({key: image}, how) at the second `at`."""
    closed = table.manifest.closed_through
    if closed is None or at > closed:
        raise Refused(f"{rfc3339(at)} is after closed_through ({closed and rfc3339(closed)}): more may arrive")
    before = [b for b in table.manifest.bases if b.complete_at <= at]
    if before:
        base = max(before, key=lambda b: (b.complete_at, b.n))
        if not table.gap_in(base.fence, at):
            return forward(table, base, lambda row: row.cut_at <= at, at), f"forward from the {base.kind} base of entry {base.n}"
    later = [b for b in table.manifest.bases if b.complete_at > at]
    if not later:
        raise Refused("no base serves that time: keys that never changed are unknown")
    base = min(later, key=lambda b: (b.complete_at, b.n))
    stored = {key: json.loads(text) for key, text in table.base(base).items()}
    keys = table.keys()
    found = {k: backward_key(table, keys.get(k, []), stored.get(k), base, at) for k in set(keys) | set(stored)}
    return {k: v for k, v in found.items() if v is not None}, f"backward to the {base.kind} base of entry {base.n}"


def ancestors(manifest, epoch, shard):
    """The shards above `shard` in its lineage."""
    found, parent = set(), manifest.shards[epoch, shard].parent
    while parent is not None and (epoch, parent) in manifest.shards and parent not in found:
        found.add(parent)
        parent = manifest.shards[epoch, parent].parent
    return found


def image_at_sequence(table, sequence):
    """({key: image}, how) after the change with that sequence number in the newest epoch."""
    manifest = table.manifest
    epoch = max(manifest.epochs)
    edge = [r for rows in table.keys().values() for r in rows if r.position[0] == epoch and r.position[2] == sequence]
    if len(edge) != 1:
        raise Refused(f"{len(edge)} changes of epoch {epoch} have sequence number {sequence}")
    edge, above = edge[0], ancestors(manifest, epoch, edge[0].shard)

    def counts(row):
        if row.cut_at != edge.cut_at:
            return row.cut_at < edge.cut_at
        return row.shard in above or row.shard == edge.shard and row.position[2] <= sequence

    bases = [b for b in manifest.bases if b.complete_at < edge.cut_at]
    if not bases:
        raise Refused("no base lies before that change")
    base = max(bases, key=lambda b: (b.complete_at, b.n))
    return forward(table, base, counts, edge.cut_at), f"forward from the {base.kind} base of entry {base.n}"


def check(table):
    """Every committed row lies once in the span that claims it; returns the number of rows."""
    manifest, seen = table.manifest, collections.Counter()
    for meta in manifest.segments.values():
        for row in segments.changes(table.archive, table.folder, meta):
            seen[row.position[0], row.shard, row.position[2]] += 1
    twice = [key for key, count in seen.items() if count > 1]
    if twice:
        raise Refused(f"{len(twice)} changes stand twice, the first is {twice[0]}")
    by_shard = collections.defaultdict(list)
    for epoch, shard, sequence in seen:
        by_shard[epoch, shard].append(sequence)
    claimed = 0
    for n, _, span in manifest.spans:
        inside = [s for s in by_shard[span["epoch"], span["shard"]] if int(span["after"]) < s <= int(span["through"])]
        if len(inside) != span["rows"]:
            raise Refused(f"entry {n}: a span of {span['shard']} claims {span['rows']} rows, {len(inside)} are there")
        claimed += span["rows"]
    if claimed != len(seen):
        raise Refused(f"{len(seen)} rows are stored, spans claim {claimed}")
    for base in manifest.bases:
        table.base(base)
    return claimed


def line(key, image):
    return json.dumps({"pk": key[0], "sk": key[1], "image": image}, ensure_ascii=False, separators=(",", ":"))


def digest(image):
    """One number for a whole image: equal images have equal digests whatever their order."""
    lines = (f"{json.dumps(key)} {canonical.plain_item(item)}\n" for key, item in image.items())
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def show(image, how, options):
    if options.count:
        print(len(image))
    elif options.digest:
        print(digest(image))
    else:
        for key in sorted(image, key=lambda key: (key[0], key[1] or "")):
            print(line(key, image[key]))
    print(f"{len(image)} items, {how}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive")
    parser.add_argument("table")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--at", type=second)
    what.add_argument("--at-sequence", type=int)
    what.add_argument("--check", action="store_true")
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--digest", action="store_true")
    options = parser.parse_args()
    try:
        table = Table(options.archive, options.table)
        if options.check:
            print(f"{check(table)} rows, each once")
        elif options.at is not None:
            show(*image_at(table, options.at), options)
        else:
            show(*image_at_sequence(table, options.at_sequence), options)
    except Refused as refusal:
        sys.exit(f"refused: {refusal}")


if __name__ == "__main__":
    main()
