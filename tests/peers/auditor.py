"""All that the page lets a reader check of one table, from entry 0: spans against rows, seals, the image chain, folds, bases."""

import collections

import canonical
import folds
import log
import replayer
import segments
import timing
from moments import Refused, rfc3339, second


def by_shard(rows):
    """Rows of every shard by sequence; a change that stands twice is refused."""
    found = collections.defaultdict(dict)
    for row in rows:
        epoch, _, sequence = row.position
        if sequence in found[epoch, row.shard]:
            raise Refused(f"change {sequence} of {row.shard} stands twice")
        found[epoch, row.shard][sequence] = row
    return {key: [rows[s] for s in sorted(rows)] for key, rows in found.items()}


def span(manifest, n, paths, said, floor, cut, rows):
    """One span against its rows."""
    where = f"entry {n}: a span of {said['shard']}"
    if len(rows) != said["rows"]:
        raise Refused(f"{where} claims {said['rows']} rows, {len(rows)} are there")
    if not rows:
        return
    if rows[-1].position[2] != int(said["through"]):
        raise Refused(f"{where} does not end at its last row")
    shard = manifest.shards[said["epoch"], said["shard"]]
    at = max(cut, floor + 1)
    for row in rows:
        if row.path in manifest.raw_names and row.path not in paths:
            raise Refused(f"{where}: a row lies in {row.path}, which another entry names")
        if row.position[1] != shard.rank:
            raise Refused(f"{where}: a row has rank {row.position[1]}, its shard {shard.rank}")
        if row.cut_at < at:
            raise Refused(f"{where}: cut_at falls, or is at or below the floor")
        at = row.cut_at
    if at != second(said["cut"]):
        raise Refused(f"{where} has another cut than its last row")
    unknown = sorted({row.cut_at for row in rows if row.kind == "UNKNOWN"})
    if unknown != [second(each) for each in said.get("unknown", [])]:
        raise Refused(f"{where} has other unknown seconds than its rows")
    late = timing.late([(row.changed_at, row.cut_at) for row in rows], manifest.epochs[said["epoch"]]["floor"])
    if late != [(second(i["from"]), second(i["to"])) for i in said.get("late", [])]:
        raise Refused(f"{where} has other late intervals than its rows")


def lineage(manifest, shards):
    """A child's first row comes after its parent's last."""
    for (epoch, name), rows in shards.items():
        shard = manifest.shards.get((epoch, name))
        if shard is None:
            raise Refused(f"rows of {name}, which is not in the log")
        if rows[0].position[2] < shard.start:
            raise Refused(f"a row of {name} lies before its start")
        parent = manifest.shards.get((epoch, shard.parent))
        if parent and rows[0].position[2] <= parent.through:
            raise Refused(f"a row of {name} does not lie behind its parent's last")


def seals(manifest, rows):
    """Heads hold the last change of each key and day, rest all earlier ones; a key lies in one file of each; no reference to nothing."""
    versions, files = collections.defaultdict(list), {}
    for row in rows:
        meta = manifest.segments[row.path]
        if meta["tier"] == "raw":
            continue
        day = (meta["dt"], row.key)
        versions[day].append((row.position, meta["tier"], row))
        if files.setdefault((*day, meta["tier"]), row.path) != row.path:
            raise Refused(f"{row.key} straddles {row.path} and another file")
    for (day, key), found in versions.items():
        found.sort(key=lambda each: each[0])
        if [tier for _, tier, _ in found] != ["rest"] * (len(found) - 1) + ["heads"]:
            raise Refused(f"{day}: heads do not hold just the last change of {key}")
        before = None
        for _, _, row in found:
            if row.by_version_before:
                segments.old_image(row, before)
            before = row


def image_chain(table):
    """Every old image is the new image of the version before, unless a gap lies between."""
    for key, rows in table.keys().items():
        for before, row in zip(rows, rows[1:]):
            if row.kind != "INSERT" and row.old_digest is None:
                continue
            if before.new_digest != row.old_digest and not table.gap_in(before.cut_at - 1, row.cut_at):
                raise Refused(f"{key}: the old image of {row.position} is not the new image of the version before")


def bases(table):
    """Each base gives what an older one and the changes since give."""
    manifest = table.manifest
    for base in manifest.bases:
        at = base.complete_at
        older = [b for b in manifest.bases if (b.complete_at, b.n) < (at, base.n)]
        counts = lambda row: row.cut_at <= at
        images = []
        for each in [base] + ([replayer.newest(older)] if older else []):
            if table.gap_in(each.fence, at):
                continue
            image = replayer.forward(table, each, counts, at)
            images.append({key: canonical.plain_item(item) for key, item in image.items()})
        if len(images) == 2 and images[0] != images[1]:
            raise Refused(f"the base of entry {base.n} is not what the archive says of {rfc3339(at)}")


def packs(table):
    """Every pack holds the very bytes of its slots."""
    slots = log.slots(table.archive, table.folder)
    for name in table.archive.names(f"{table.folder}/pack"):
        first, _, last = name.removesuffix(".zst").partition("-")
        part = log.unpack(table.archive.get(f"{table.folder}/pack/{name}"), int(first))
        if part is None or [s.blob for s in part] != [s.blob for s in slots[int(first):int(last) + 1]]:
            raise Refused(f"{name} does not hold the entries that its name says")


def check(table):
    """Refuses what is wrong; returns the number of rows."""
    manifest = table.manifest
    if manifest.stopped:
        raise Refused(manifest.stopped)
    rows = list(table.rows())
    manifest.raw_names = {path for path, meta in manifest.segments.items() if meta["tier"] == "raw"}
    shards = by_shard(rows)
    claimed = 0
    for n, paths, said, floor, cut in manifest.spans:
        after, through = int(said["after"]), int(said["through"])
        inside = [r for r in shards.get((said["epoch"], said["shard"]), []) if after < r.position[2] <= through]
        span(manifest, n, paths, said, floor, cut, inside)
        claimed += said["rows"]
    if claimed != len(rows):
        raise Refused(f"{len(rows)} rows are stored, spans claim {claimed}")
    lineage(manifest, shards)
    seals(manifest, rows)
    image_chain(table)
    bases(table)
    folds.compare(table.archive, table.folder)
    packs(table)
    return claimed
