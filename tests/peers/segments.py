"""Segments, read with pyarrow and checked against what the log says of them (`schemas/README.md` §3–§5)."""

import functools
import hashlib
import io
import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

import canonical
from moments import Newer, Refused, day_of, parse, second
from shape import document

DIGESTED = ("epoch", "shard_id", "sequence", "kind", "changed_at", "cut_at", "key_hash", "new_image", "old_digest")
TIMES = ("changed_at", "cut_at")
TYPES = {
    "fixed16": pa.binary(16), "string": pa.string(), "timestamp_us_utc": pa.timestamp("us", "UTC"),
    "u32": pa.uint32(), "i64": pa.int64(),
}


@functools.cache
def schema(name):
    """The columns of `segment` or `base`, in table order: (name, type, nullable)."""
    return [(c["name"], TYPES[c["type"]], c["nullable"]) for c in document(f"{name}.v1.json")["columns"]]


def arrow_schema(name):
    """The Arrow schema of `segment` or `base`, with its field ids."""
    fields = zip(schema(name), document(f"{name}.v1.json")["columns"])
    return pa.schema([pa.field(n, t, null, {b"PARQUET:field_id": str(c["field_id"]).encode()}) for (n, t, null), c in fields])


def names_of(name):
    return [column for column, _, _ in schema(name)]


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
    new_digest: bytes | None = None
    changed_at: int = 0
    path: str = ""

    @property
    def by_version_before(self):
        """Whether its old image is the version before it (form 3 of §3)."""
        return self.old_digest is not None and self.old_image is None and self.old_delta is None


def fetch(archive, folder, meta):
    """A segment's bytes, if they are what was committed."""
    blob = archive.get(f"{folder}/{meta['path']}")
    if blob is None:
        raise Refused(f"{meta['path']} is LOST: the log names it and it is not there")
    if len(blob) != meta["bytes"] or hashlib.sha256(blob).hexdigest() != meta["sha256"]:
        raise Refused(f"{meta['path']} is not what was committed")
    return blob


def footer(blob):
    """The footer facts of a segment, by their names without `tailrace.`."""
    facts = pq.ParquetFile(io.BytesIO(blob)).metadata.metadata or {}
    return {k.decode()[9:]: v.decode() for k, v in facts.items() if k.startswith(b"tailrace.")}


def check_footer(meta, facts):
    """All facts are there; format, tier and day are the entry's."""
    path = meta["path"]
    missing = {name[9:] for name in document("segment.v1.json")["footer"]} - set(facts)
    if missing:
        raise Refused(f"{path}: its footer does not say {sorted(missing)[0]}")
    if facts["format"] != "1":
        raise Newer(f"{path} has format {facts['format']}")
    if (facts["tier"], facts["dt"]) != (meta["tier"], meta["dt"]):
        raise Refused(f"{path}: its footer says another tier or day than the log")


def columns(blob, kind, meta):
    """The known columns of a segment as lists; timestamps as µs since 1970. A column that this format does not know is left out."""
    path = meta["path"]
    try:
        table = pq.read_table(io.BytesIO(blob))
        facts = footer(blob)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as why:
        raise Refused(f"{path} is no Parquet: {why}") from None
    check_footer(meta, facts)
    data = {}
    for name, type_, nullable in schema(kind):
        if name not in table.column_names:
            raise Refused(f"{path} lacks the column {name}")
        column = table[name]
        if column.type != type_:
            raise Refused(f"{path}: {name} is {column.type}, not {type_}")
        if column.null_count and not nullable:
            raise Refused(f"{path}: {name} is null")
        data[name] = (column.cast("int64") if name in TIMES else column).to_pylist()
    return data


def row_digest(data, names):
    rows = zip(*(data[name] for name in names))
    return sum(canonical.h128(canonical.fields(row)) for row in rows) % canonical.MODULUS


def tree(entries):
    """The Merkle tree hash of RFC 6962."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    middle = 1 << (len(entries) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + tree(entries[:middle]) + tree(entries[middle:])).digest()


def rows_root(data, names):
    """The root over the rows as they are stored, all columns in table order."""
    rows = zip(*(data[name] for name in names))
    return tree([hashlib.sha256(canonical.fields(row)).digest() for row in rows]).hex()


def order(data, kind):
    """What rows are sorted by: nulls first, texts by their bytes."""
    none_first = lambda value: (value is not None, value.encode() if isinstance(value, str) else value or b"")
    keys = ("key_hash", "pk", "sk")
    rest = ("epoch", "shard_rank", "sequence") if kind == "segment" else ()
    return [(*map(none_first, row[:3]), *row[3:]) for row in zip(*(data[n] for n in keys + rest))]


def check_meta(meta, data, kind):
    """What the entry says of a segment."""
    path, names = meta["path"], names_of(kind)
    if len(data["key_hash"]) != meta["rows"]:
        raise Refused(f"{path} has {len(data['key_hash'])} rows, the log says {meta['rows']}")
    if f"{row_digest(data, DIGESTED if kind == 'segment' else names):032x}" != meta["row_digest"]:
        raise Refused(f"{path} has another row digest than the log says")
    if "rows_root" in meta and rows_root(data, names) != meta["rows_root"]:
        raise Refused(f"{path} has another rows_root than the log says")
    sorted_by = order(data, kind)
    if sorted_by != sorted(sorted_by):
        raise Refused(f"{path} is not sorted")
    if len(set(sorted_by)) != len(sorted_by):
        raise Refused(f"{path} holds a row twice")
    hashes = [h for h in data["key_hash"] if h is not None]
    bounds = dict(min_key_hash=min(hashes).hex(), max_key_hash=max(hashes).hex()) if hashes else {}
    if kind == "segment" and data["cut_at"]:
        bounds |= dict(min_cut_at=min(data["cut_at"]) // 10**6, max_cut_at=max(data["cut_at"]) // 10**6)
    for name in ("min_key_hash", "max_key_hash", "min_cut_at", "max_cut_at"):
        said = meta.get(name)
        if said is not None and (second(said) if name.endswith("cut_at") else said) != bounds.get(name):
            raise Refused(f"{path} has another {name} than the log says")


def check_key(path, hash_, pk, sk, keys):
    types = [key["type"] for key in keys]
    if hash_ is None and pk is None and sk is None:
        return
    if pk is None or (sk is None) != (len(types) == 1):
        raise Refused(f"{path} holds half a key")
    try:
        parts = [(type_, text) for type_, text in zip(types, (pk, sk))]
        texts_are_canonical = all(type_ != "N" or canonical.number(text) == text for type_, text in parts)
    except ValueError:
        texts_are_canonical = False
    if not texts_are_canonical or canonical.key_hash(*parts) != hash_:
        raise Refused(f"{path} holds a key that fails its hash")


def image_key(path, image, keys):
    """The (pk, sk) that an image holds."""
    try:
        held = [image[key["name"]][key["type"]] for key in keys]
        texts = [canonical.number(text) if key["type"] == "N" else text for key, text in zip(keys, held)]
    except (KeyError, TypeError, ValueError):
        raise Refused(f"{path} holds an image without its key") from None
    return texts[0], texts[1] if len(texts) > 1 else None


def digest_of(path, text):
    try:
        return canonical.image_digest(parse(text.encode())).to_bytes(16, "big")
    except (ValueError, AttributeError, TypeError) as why:
        raise Refused(f"{path} holds an image that is none: {why}") from None


def check_images(meta, keys, key, kind, new, new_digest, old, delta, old_digest):
    """The forms of an image pair (§3)."""
    path = meta["path"]
    if kind == "UNKNOWN":
        if new is None or any(x is not None for x in (new_digest, old, delta, old_digest)):
            raise Refused(f"{path} holds an UNKNOWN row with images")
        return
    if kind not in ("INSERT", "MODIFY", "REMOVE"):
        raise Refused(f"{path} holds a row of kind {kind!r}")
    if (new is None) != (kind == "REMOVE") or (new is None) != (new_digest is None):
        raise Refused(f"{path} holds a {kind} with a wrong new image")
    if new is not None and digest_of(path, new) != new_digest:
        raise Refused(f"{path} holds an image that fails its digest")
    if old is not None and delta is not None or (old is not None or delta is not None) and old_digest is None or delta is not None and new is None:
        raise Refused(f"{path} holds an old image in a form that does not exist")
    if kind == "INSERT" and old_digest is not None:
        raise Refused(f"{path} holds an INSERT with an old image")
    if old is not None and digest_of(path, old) != old_digest:
        raise Refused(f"{path} holds an old image that fails its digest")
    if delta is not None:
        try:
            before = apply_delta(new, delta)
        except (ValueError, KeyError, TypeError) as why:
            raise Refused(f"{path} holds a difference that is none: {why}") from None
        if canonical.image_digest(before).to_bytes(16, "big") != old_digest:
            raise Refused(f"{path} holds an old image that fails its digest")
    images = [json.loads(text) for text in (new, old) if text is not None] + ([before] if delta is not None else [])
    if any(image_key(path, each, keys) != key for each in images):
        raise Refused(f"{path} holds an image of another key")
    if old_digest is not None and old is None and delta is None and meta["tier"] == "raw":
        raise Refused(f"{path} holds an old image by reference in a raw segment")


def check_changes(meta, data, keys):
    """What every row of a segment of changes must satisfy; `keys` is the key schema by epoch."""
    path = meta["path"]
    for hash_, pk, sk, epoch, kind in zip(*(data[n] for n in ("key_hash", "pk", "sk", "epoch", "kind"))):
        if hash_ is None and kind != "UNKNOWN":
            raise Refused(f"{path} holds a row without a key")
        if epoch not in keys:
            raise Refused(f"{path} holds a row of an epoch that is not in the log")
        check_key(path, hash_, pk, sk, keys[epoch])
    images = ("kind", "new_image", "new_digest", "old_image", "old_delta", "old_digest")
    for epoch, pk, sk, *row in zip(*(data[n] for n in ("epoch", "pk", "sk") + images)):
        check_images(meta, keys[epoch], (pk, sk), *row)
    for cut, sequence in zip(data["cut_at"], data["sequence"]):
        if cut % 1_000_000:
            raise Refused(f"{path} holds a cut_at that is no whole second")
        if day_of(cut // 1_000_000) != meta["dt"]:
            raise Refused(f"{path} holds a row of another day")
        if len(sequence) != 40 or not (sequence.isascii() and sequence.isdigit()):
            raise Refused(f"{path} holds a sequence number that is not padded to 40 digits")


def check_bucket(meta, hashes, bits):
    for hash_ in hashes:
        bucket = 0 if hash_ is None else int.from_bytes(hash_, "big") >> 128 - bits
        if bucket != meta["bucket"]:
            raise Refused(f"{meta['path']} holds a key of another bucket")


def changes(archive, folder, meta, keys, bits=None):
    """The rows of a segment of changes."""
    data = columns(fetch(archive, folder, meta), "segment", meta)
    check_meta(meta, data, "segment")
    check_changes(meta, data, keys)
    if bits is not None:
        check_bucket(meta, data["key_hash"], bits)
    names = ("pk", "sk", "epoch", "shard_rank", "sequence", "shard_id", "kind", "cut_at")
    images = ("new_image", "old_image", "old_delta", "old_digest", "new_digest", "changed_at")
    for pk, sk, epoch, rank, sequence, shard, kind, cut, *rest in zip(*(data[n] for n in names + images)):
        yield Row((pk, sk), (epoch, rank, int(sequence)), shard, kind, cut // 1_000_000, *rest, meta["path"])


def base_rows(archive, folder, meta, keys, bits=None):
    """(key, image text) of a base segment."""
    data = columns(fetch(archive, folder, meta), "base", meta)
    check_meta(meta, data, "base")
    if bits is not None:
        check_bucket(meta, data["key_hash"], bits)
    for hash_, pk, sk, image, digest in zip(*(data[n] for n in ("key_hash", "pk", "sk", "image", "image_digest"))):
        check_key(meta["path"], hash_, pk, sk, keys)
        if digest_of(meta["path"], image) != digest:
            raise Refused(f"{meta['path']} holds an image that fails its digest")
        if image_key(meta["path"], json.loads(image), keys) != (pk, sk):
            raise Refused(f"{meta['path']} holds an image of another key")
        yield (pk, sk), image


def apply_delta(new, delta):
    """OldImage from NewImage and the difference."""
    delta = parse(delta.encode())
    if set(delta) != {"set", "drop"}:
        raise ValueError("a difference has `set` and `drop`")
    image = parse(new.encode())
    if not set(delta["drop"]) <= set(image):
        raise ValueError("`drop` names what the new image lacks")
    return {k: v for k, v in image.items() if k not in delta["drop"]} | delta["set"]


def old_image(row, before):
    """The image before a change, as a dict, or None; `before` is the previous version of its key."""
    if row.old_image is not None:
        return json.loads(row.old_image)
    if row.old_delta is not None:
        return apply_delta(row.new_image, row.old_delta)
    if row.old_digest is None:
        return None
    if before is None or before.new_image is None or day_of(before.cut_at) != day_of(row.cut_at):
        raise Refused(f"{row.key}: the old image of {row.position} should be the version before, which is not there")
    image = json.loads(before.new_image)
    if canonical.image_digest(image).to_bytes(16, "big") != row.old_digest:
        raise Refused(f"{row.key}: the version before {row.position} fails the old digest")
    return image
