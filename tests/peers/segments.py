"""Segments, read with pyarrow and checked against what the log says of them (`schemas/README.md` §3–§5)."""

import hashlib
import io
import json
from dataclasses import dataclass

import pyarrow.parquet as pq

import canonical
from log import Refused

DIGESTED = ("epoch", "shard_id", "sequence", "kind", "changed_at", "cut_at", "key_hash", "new_image", "old_digest")


@dataclass
class Row:
    """One change."""

    key: tuple
    position: tuple
    shard: str
    kind: str
    cut_at: int
    new_image: str | None
    old_image: str | None
    old_delta: str | None
    old_digest: bytes | None


def table_of(blob):
    return pq.read_table(io.BytesIO(blob))


def fetch(archive, folder, meta):
    """A segment's bytes, if they are what was committed."""
    blob = archive.get(f"{folder}/{meta['path']}")
    if blob is None:
        raise Refused(f"{meta['path']} is LOST: the log names it and it is not there")
    if len(blob) != meta["bytes"] or hashlib.sha256(blob).hexdigest() != meta["sha256"]:
        raise Refused(f"{meta['path']} is not what was committed")
    return blob


def micros(column):
    return column.cast("int64").to_pylist()


def columns(blob):
    """All columns of a segment as lists; timestamps as µs since 1970."""
    table = table_of(blob)
    times = ("changed_at", "cut_at")
    return {n: micros(table[n]) if n in times else table[n].to_pylist() for n in table.column_names}


def row_digest(data, names):
    rows = zip(*(data[name] for name in names))
    return sum(canonical.h128(canonical.fields(row)) for row in rows) % canonical.MODULUS


def check_meta(meta, data, names):
    count = len(next(iter(data.values())))
    if count != meta["rows"]:
        raise Refused(f"{meta['path']} has {count} rows, the log says {meta['rows']}")
    if f"{row_digest(data, names):032x}" != meta["row_digest"]:
        raise Refused(f"{meta['path']} has another row digest than the log says")


def check_changes(meta, data):
    """What every row of a segment of changes must satisfy."""
    for kind, new, digest in zip(data["kind"], data["new_image"], data["new_digest"]):
        if kind != "UNKNOWN" and new is not None:
            if canonical.image_digest(json.loads(new)).to_bytes(16, "big") != digest:
                raise Refused(f"{meta['path']} holds an image that fails its digest")
    for cut in data["cut_at"]:
        if cut % 1_000_000:
            raise Refused(f"{meta['path']} holds a cut_at that is no whole second")
    none_first = lambda text: (text is not None, text or "")
    order = [
        (h or b"", none_first(p), none_first(s), *rest)
        for h, p, s, *rest in zip(*(data[n] for n in ("key_hash", "pk", "sk", "epoch", "shard_rank", "sequence")))
    ]
    as_bytes = [(h, (p[0], p[1].encode()), (s[0], s[1].encode()), *rest) for h, p, s, *rest in order]
    if as_bytes != sorted(as_bytes):
        raise Refused(f"{meta['path']} is not sorted")


def changes(archive, folder, meta):
    """The rows of a segment of changes."""
    data = columns(fetch(archive, folder, meta))
    check_meta(meta, data, DIGESTED)
    check_changes(meta, data)
    names = ("pk", "sk", "epoch", "shard_rank", "sequence", "shard_id", "kind", "cut_at")
    images = ("new_image", "old_image", "old_delta", "old_digest")
    for pk, sk, epoch, rank, sequence, shard, kind, cut, *rest in zip(*(data[n] for n in names + images)):
        yield Row((pk, sk), (epoch, rank, int(sequence)), shard, kind, cut // 1_000_000, *rest)


def base_rows(archive, folder, meta):
    """(key, image text) of a base segment."""
    data = columns(fetch(archive, folder, meta))
    check_meta(meta, data, list(data))
    for pk, sk, image, digest in zip(data["pk"], data["sk"], data["image"], data["image_digest"]):
        if canonical.image_digest(json.loads(image)).to_bytes(16, "big") != digest:
            raise Refused(f"{meta['path']} holds an image that fails its digest")
        yield (pk, sk), image


def old_image(row, before):
    """The image before a change, as a dict, or None; `before` is the previous version of its key in the same sealed day."""
    if row.old_image is not None:
        return json.loads(row.old_image)
    if row.old_delta is not None:
        delta = json.loads(row.old_delta)
        kept = {k: v for k, v in json.loads(row.new_image).items() if k not in delta["drop"]}
        return kept | delta["set"]
    if row.old_digest is None:
        return None
    if before is None or before.new_image is None:
        raise Refused(f"{row.key}: the old image of {row.position} should be the version before, which is not there")
    image = json.loads(before.new_image)
    if canonical.image_digest(image).to_bytes(16, "big") != row.old_digest:
        raise Refused(f"{row.key}: the version before {row.position} fails the old digest")
    return image
