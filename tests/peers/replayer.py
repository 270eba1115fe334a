#!/usr/bin/env python3
"""An independent replayer: the image of a table at a second or a sequence number, from `schemas/` alone.

    replayer.py ARCHIVE TABLE --at 2026-11-22T10:00:00Z [--proven] [--accept-gap 42.0] [--count | --digest]
    replayer.py ARCHIVE TABLE --at-sequence 000000000000000000042
    replayer.py ARCHIVE TABLE --check            everything that the page lets a reader check, from entry 0

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

    def __init__(self, url, name, by="entries", accepted=()):
        self.archive = open_archive(url)
        self.folder = find_table(self.archive, name)
        self.manifest = read(self.archive, self.folder, by)
        self.accepted = set(accepted)
        self._keys = None

    def key_schema(self):
        """The key schema by epoch."""
        return {epoch: facts["keys"] for epoch, facts in self.manifest.epochs.items()}

    def rows(self):
        """All committed changes, segment by segment."""
        keys, bits = self.key_schema(), self.manifest.bits
        for path, meta in self.manifest.segments.items():
            yield from segments.changes(self.archive, self.folder, meta, keys, bits.get(path))

    def keys(self):
        """All committed changes by key, each list in order of position. UNKNOWN rows belong to no key: they are gaps."""
        if self._keys is None:
            found = collections.defaultdict(list)
            for row in self.rows():
                if row.kind != "UNKNOWN":
                    found[row.key].append(row)
            for rows in found.values():
                rows.sort(key=lambda row: row.position)
            self._keys = found
        return self._keys

    def base(self, base):
        """A base's images (JSON text) by key."""
        keys, bits, found = self.key_schema()[max(self.manifest.epochs)], self.manifest.bits, {}
        for meta in base.segments:
            for key, image in segments.base_rows(self.archive, self.folder, meta, keys, bits.get(meta["path"])):
                if key in found:
                    raise Refused(f"{meta['path']} holds {key}, which the base has already")
                found[key] = image
        return found

    def gap_in(self, after, through):
        gaps = (g for g in self.manifest.all_gaps() if g.id not in self.accepted)
        return next((g for g in gaps if g.meets(after, through)), None)

    def final(self, at, proven=False):
        """Refuses a second after which more may arrive."""
        name = "proven_through" if proven else "closed_through"
        limit = getattr(self.manifest, name)
        if limit is None or at > limit:
            stopped = f"; {self.manifest.stopped}" if self.manifest.stopped else ""
            raise Refused(f"{rfc3339(at)} is after {name} ({limit and rfc3339(limit)}): more may arrive{stopped}")

    def label(self, at):
        """What is said with an answer: rows or gaps came to light after it was final."""
        said = ", labelled late" if any(start <= at < end for start, end in self.manifest.late) else ""
        return said + (f", the log is served only up to its fault: {self.manifest.stopped}" if self.manifest.stopped else "")


def after_image(row):
    return None if row.kind == "REMOVE" else json.loads(row.new_image)


def newest(bases):
    return max(bases, key=lambda b: (b.complete_at, b.n))


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


def backward(table, base, at):
    """The image at `at` from what lies between it and the first base after it."""
    for epoch, facts in table.manifest.epochs.items():
        ends = table.manifest.borders.get(epoch, float("inf"))
        if facts["view_type"] == "NEW_IMAGE" and at < ends and facts["floor"] < base.complete_at:
            raise Refused("no base serves that time forward, and the stream carries no old images")
    stored = {key: json.loads(text) for key, text in table.base(base).items()}
    keys = table.keys()
    found = {k: backward_key(table, keys.get(k, []), stored.get(k), base, at) for k in set(keys) | set(stored)}
    if table.gap_in(at, base.complete_at):
        # Keys that nobody here has heard of may have lived and died in the gap.
        raise Refused("a gap lies between that time and the base after it")
    return {k: v for k, v in found.items() if v is not None}


def image_at(table, at, proven=False):
    """({key: image}, how) at the second `at`."""
    table.final(at, proven)
    before = [b for b in table.manifest.bases if b.complete_at <= at]
    if before:
        base = newest(before)
        if not table.gap_in(base.fence, at):
            image = forward(table, base, lambda row: row.cut_at <= at, at)
            return image, f"forward from the {base.kind} base of entry {base.n}{table.label(at)}"
    later = [b for b in table.manifest.bases if b.complete_at > at]
    if not later:
        raise Refused("no base serves that time: keys that never changed are unknown")
    first = min(b.complete_at for b in later)
    base = newest(b for b in later if b.complete_at == first)
    return backward(table, base, at), f"backward to the {base.kind} base of entry {base.n}{table.label(at)}"


def ancestors(manifest, epoch, shard):
    """The shards above `shard` in its lineage."""
    found, parent = set(), manifest.shards[epoch, shard].parent
    while parent is not None and (epoch, parent) in manifest.shards and parent not in found:
        found.add(parent)
        parent = manifest.shards[epoch, parent].parent
    return found


def image_at_sequence(table, sequence, inclusive=True):
    """({key: image}, how) after (or just before) the change with that sequence number in the newest epoch."""
    manifest = table.manifest
    epoch = max(manifest.epochs)
    edge = [r for rows in table.keys().values() for r in rows if r.position[0] == epoch and r.position[2] == sequence]
    if len(edge) != 1:
        raise Refused(f"{len(edge)} changes of epoch {epoch} have sequence number {sequence}")
    edge, above = edge[0], ancestors(manifest, epoch, edge[0].shard)
    table.final(edge.cut_at - 1)

    def counts(row):
        if row.cut_at != edge.cut_at:
            return row.cut_at < edge.cut_at
        own = row.shard == edge.shard and (row.position[2] < sequence or inclusive and row.position[2] == sequence)
        return row.position[0] == epoch and (row.shard in above or own)

    bases = [b for b in manifest.bases if b.complete_at < edge.cut_at]
    if not bases:
        raise Refused("no base lies before that change")
    base = newest(bases)
    return forward(table, base, counts, edge.cut_at), f"forward from the {base.kind} base of entry {base.n}{table.label(edge.cut_at)}"


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


def check(table):
    """Checks all that can be checked; returns the number of rows."""
    import auditor

    return auditor.check(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive")
    parser.add_argument("table")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--at", type=second)
    what.add_argument("--at-sequence", type=int)
    what.add_argument("--before-sequence", type=int)
    what.add_argument("--check", action="store_true")
    parser.add_argument("--by", choices=["entries", "folds", "packs"], default="entries", help="how the log is opened")
    parser.add_argument("--proven", action="store_true")
    parser.add_argument("--accept-gap", action="append", default=[])
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--digest", action="store_true")
    options = parser.parse_args()
    try:
        table = Table(options.archive, options.table, options.by, options.accept_gap)
        if options.check:
            print(f"{check(table)} rows, each once")
        elif options.at is not None:
            show(*image_at(table, options.at, options.proven), options)
        elif options.at_sequence is not None:
            show(*image_at_sequence(table, options.at_sequence), options)
        else:
            show(*image_at_sequence(table, options.before_sequence, inclusive=False), options)
    except Refused as refusal:
        sys.exit(f"refused: {refusal}")


if __name__ == "__main__":
    main()
