"""Archives made by hand, entry by entry, so that a fault of the archiver cannot hide one of the independent reader.

What is written here is what the page asks for, to the last member, unless a test says otherwise. With TAILRACE set to a
`tailrace` binary, every archive whose log holds or fails is shown to it as well: both must judge alike.
"""

import contextlib
import copy
import hashlib
import json
import os
import struct
import subprocess
import tempfile
import unittest

import pyarrow as pa
import pyarrow.parquet as pq

import canonical
import folds
import log
import moments
import replayer
import segments

T0 = moments.second("2026-11-22T10:00:00Z")
DAY, NEXT_DAY = "2026-11-22", "2026-11-23"
DAY_END = moments.last_second(DAY) - T0
ORIGIN, TABLE_ID = "0123456789abcdef0123456789abcdef", "one"
FOLDER = f"tables/111122223333/eu-central-1/orders/{TABLE_ID}"
ARN = "arn:aws:dynamodb:eu-central-1:111122223333:table/orders"
KEYS = [dict(name="pk", type="S")]
NEED = dict(
    epoch_started="read", epoch_closed="read", segments="read", heartbeat="read", seal="read", base="read", void="read",
    definition="none", gap_acknowledged="none", coverage_ended="none")


def at(offset):
    return moments.rfc3339(T0 + offset)


def image(key, value):
    return json.dumps({"pk": {"S": key}, "v": {"N": value}}, separators=(",", ":"))


def digest(text):
    return None if text is None else canonical.image_digest(json.loads(text)).to_bytes(16, "big")


def change(sequence, kind, key, new, old, cut, shard="s", rank=0, epoch=1, **members):
    """One row as a dict; MODIFY keeps its old image as a difference, as capture does."""
    modify = kind == "MODIFY" and old is not None
    delta = {"set": {"v": json.loads(old)["v"]}, "drop": []} if modify else None
    return dict(
        key_hash=canonical.key_hash(("S", key)), pk=key, sk=None, kind=kind, changed_at=(T0 + cut) * 10**6,
        cut_at=(T0 + cut) * 10**6, epoch=epoch, shard_rank=rank, sequence=f"{sequence:040}", shard_id=shard, event_id=None,
        size_bytes=None, actor=None, new_image=new, old_image=None if modify else old,
        old_delta=delta and json.dumps(delta, separators=(",", ":")), new_digest=digest(new), old_digest=digest(old)) | members


def unknown(sequence, cut, **members):
    """A record that could not be decoded."""
    row = change(sequence, "INSERT", "x", '{"v":{"N":"1"}}', None, cut)
    return row | dict(kind="UNKNOWN", new_image='{"eventName":"ODD"}', new_digest=None, key_hash=None, pk=None) | members


def by_reference(row):
    """The row as a seal may keep it: its old image is the version before it."""
    return row | dict(old_image=None, old_delta=None)


def interval(start, end):
    return {"from": at(start), "to": at(end)}


def action(name, **members):
    return dict(action=name, need=NEED.get(name, "write"), **members)


class Archive:
    """Writes an archive, entry by entry."""

    def __init__(self, root):
        self.root, self.n, self.previous, self.now, self.writer, self.pointer = root, 0, None, 0, "w", None
        self.through, self.blobs = {}, []
        born = json.dumps(dict(format=1, origin=ORIGIN, created=at(-60), modes=dict(access_log="reported"))).encode()[:-1]
        self.put("archive.json", born + b',"sha256":"' + hashlib.sha256(born).hexdigest().encode() + b'"}\n')

    def put(self, path, blob):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(blob)

    # Objects.

    def segment(self, path, rows, tier, /, sort=True, change_table=None, **members):
        kind = "base" if tier == "base" else "segment"
        names = segments.names_of(kind)
        if sort:
            none_first = lambda text: (text is not None, (text or "").encode())
            rows = sorted(rows, key=lambda r: (r["key_hash"] or b"", none_first(r["pk"]), none_first(r["sk"]), r.get("epoch"), r.get("shard_rank"), r.get("sequence")))
        data = {name: [row[name] for row in rows] for name in names}
        dt = members.pop("dt", path.split("dt=")[1][:10] if "dt=" in path else DAY)
        facts = dict(format="1", origin=ORIGIN, table_arn=ARN, table_id=TABLE_ID, keys=json.dumps(KEYS), tier=tier, dt=dt, bucket_bits="0", writer="hand",
                     epochs=json.dumps(sorted({r["epoch"] for r in rows}) if kind == "segment" else []))
        table = pa.Table.from_pylist(rows, schema=segments.arrow_schema(kind).with_metadata({f"tailrace.{k}": v for k, v in facts.items()}))
        sink, table = pa.BufferOutputStream(), change_table(table) if change_table else table
        with pq.ParquetWriter(sink, table.schema, compression="zstd", use_dictionary=False, write_page_index=True, store_schema=False) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata(table.schema.metadata or {})
        blob = sink.getvalue().to_pybytes()
        self.put(f"{FOLDER}/{path}", blob)
        digested = segments.DIGESTED if kind == "segment" else names
        meta = dict(path=path, bytes=len(blob), sha256=hashlib.sha256(blob).hexdigest(), rows=len(rows),
                    row_digest=f"{segments.row_digest(data, digested):032x}", tier=tier, dt=dt)
        if tier != "raw":
            meta |= dict(bucket=int(path.split("bucket=")[1][:3]), rows_root=segments.rows_root(data, names))
        if kind == "segment" and rows:
            meta |= dict(min_cut_at=moments.rfc3339(min(data["cut_at"]) // 10**6), max_cut_at=moments.rfc3339(max(data["cut_at"]) // 10**6))
        hashes = [h for h in data["key_hash"] if h is not None]
        if hashes:
            meta |= dict(min_key_hash=min(hashes).hex(), max_key_hash=max(hashes).hex())
        return meta | members

    def base_segment(self, path, items, **members):
        rows = [dict(key_hash=canonical.key_hash(("S", k)), pk=k, sk=None, image=v, image_digest=digest(v)) for k, v in items.items()]
        return self.segment(path, rows, "base", **members)

    # Entries.

    def body(self, actions, **members):
        entry = dict(v=1, n=self.n, commit_id=f"c{self.n}", prev_sha256=self.previous, at=at(self.now), writer=dict(id=self.writer, build="hand"),
                     fold=self.pointer, actions=list(actions))
        return json.dumps(entry | members, separators=(",", ":"), ensure_ascii=False).encode()

    def put_entry(self, blob):
        self.put(f"{FOLDER}/log/{self.n:020}.entry", blob)
        self.blobs.append(blob)
        self.previous, self.n = hashlib.sha256(blob).hexdigest(), self.n + 1
        return self.n - 1

    def commit(self, *actions, **members):
        """One entry; returns its number."""
        body = self.body(actions, **members)
        return self.put_entry(body + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n")

    # Actions of one shard, most often.

    def epoch(self, floor=-1, epoch=1, created=0, **members):
        return action("epoch_started", epoch=epoch, stream_arn=f"{ARN}/stream/{epoch}", view_type="NEW_AND_OLD_IMAGES", keys=KEYS,
                      created=at(created), floor=at(floor)) | members

    def empty(self, floor=-1, **checked):
        checked = dict(table_created=at(floor + 1), stream_created=at(floor + 1), at=at(floor + 2), not_restored=True, no_replicas=True) | checked
        return action("base", kind="empty", fence=at(floor), complete_at=at(floor), checked=checked, segments=[])

    def opened(self, shard="s", start=1, floor=-1, cut=None, rank=0, epoch=1, **members):
        self.through[shard] = start - 1
        return action("shard_opened", epoch=epoch, shard=shard, rank=rank, start=str(start), floor=at(floor), cut=at(floor if cut is None else cut)) | members

    def awaited(self, shard, parent, start, floor):
        return action("shard_awaited", epoch=1, shard=shard, parent=parent, start=str(start), floor=at(floor))

    def closed(self, shard="s", epoch=1):
        return action("shard_closed", epoch=epoch, shard=shard, through=str(self.through[shard]))

    def released(self, shard="s", epoch=1):
        return action("shard_released", epoch=epoch, shard=shard)

    def beat(self, floor, shard="s", epoch=1):
        return action("heartbeat", epoch=epoch, shard=shard, through=str(self.through[shard]), floor=at(floor), settle=5)

    def start(self, empty_base=True, **members):
        self.commit(self.epoch(**members), *([self.empty()] if empty_base else []), self.opened())

    def rows(self, rows, /, path=None, shard="s", epoch=1, segment=None, **members):
        """A `segments` action: these rows, in one file, in one span."""
        day = moments.day_of(rows[0]["cut_at"] // 10**6)
        meta = self.segment(path or f"raw/dt={day}/{self.n}{shard}.parquet", rows, "raw", **(segment or {}))
        return action("segments", segments=[meta], spans=[self.span(rows, shard, epoch, **members)])

    def span(self, rows, /, shard="s", epoch=1, **members):
        last = max(rows, key=lambda row: row["sequence"])
        span = dict(epoch=epoch, shard=shard, after=str(self.through[shard]), through=str(int(last["sequence"])), rows=len(rows),
                    cut=moments.rfc3339(last["cut_at"] // 10**6)) | members
        self.through[shard] = int(span["through"])
        return {k: v for k, v in span.items() if v is not None}

    def changes(self, rows, /, **members):
        return self.commit(self.rows(rows, **members))

    def lost(self, start, end, through, shard="s", keep=None, reason="possibly_trimmed", **members):
        """A `segments` action with one gap, which lifts cut and floor unless it keeps (cut, floor)."""
        cut, floor = keep or (end, end - 1)
        span = dict(epoch=1, shard=shard, after=str(self.through[shard]), through=str(through), rows=0, cut=at(cut), floor=at(floor),
                    late=[interval(start - 900, start)], gap=dict(reason=reason, from_cut=at(start), to_cut=at(end))) | members
        self.through[shard] = through
        return action("segments", segments=[], spans=[{k: v for k, v in span.items() if v is not None}])

    def gap(self, start, end, through, **members):
        return self.commit(self.lost(start, end, through, **members))

    def heartbeat(self, floor, **members):
        return self.commit(self.beat(floor, **members))

    def base_started(self, fence, kind="scan", **members):
        export = dict(export=dict(time=at(fence + 300), token="t", bucket="b", prefix="p")) if kind == "export" else {}
        return action("base_started", kind=kind, fence=at(fence), started=at(fence), slack=0, bits=0, limit=1) | export | members

    def base(self, fence, complete, items, kind="scan", **members):
        n = self.commit(self.base_started(fence, kind))
        meta = self.base_segment(f"base/at=2026-11-22T100000Z/bucket=000/{n}-0.parquet", items)
        return self.commit(action("base", intent=n, kind=kind, fence=at(fence), complete_at=at(complete), segments=[meta]) | members)

    def seal_started(self, day=DAY, inputs=None, **members):
        if inputs is None:
            state = log.read(replayer.open_archive(self.root), FOLDER)
            inputs = sorted(state.live_raw(day))
        return action("seal_started", day=day, inputs=inputs, bits=0, limit=100, settings=dict(zstd=3)) | members

    def sealed(self, intent, heads, rest, day=DAY, **members):
        metas = [self.segment(f"sealed/dt={day}/part={part}/bucket=000/{intent}-0.parquet", rows, part) for part, rows in (("heads", heads), ("rest", rest)) if rows]
        return action("seal", intent=intent, segments=metas) | members

    def seal(self, heads, rest, day=DAY):
        return self.commit(self.sealed(self.commit(self.seal_started(day)), heads, rest, day))

    def void(self, low, high):
        return self.commit(action("void", **{"from": low, "to": high}, reason="test"))

    # Derived objects.

    def fold(self, change_root=None, change_part=None):
        """Stores the fold of all entries so far; later entries name it."""
        state = log.read(replayer.open_archive(self.root), FOLDER)
        root, parts = folds.dump(state)
        root, parts = copy.deepcopy(root), copy.deepcopy(parts)
        if change_root:
            change_root(root)
        named = []
        for day, part in sorted(parts.items()):
            if change_part:
                change_part(part)
            blob = pa.compress(json.dumps(part).encode(), "zstd", asbytes=True)
            sha = hashlib.sha256(blob).hexdigest()
            self.put(f"{FOLDER}/fold/day={day}/{sha}.json.zst", blob)
            named.append(dict(day=day, sha256=sha))
        blob = pa.compress(json.dumps(dict(root, parts=named)).encode(), "zstd", asbytes=True)
        self.put(f"{FOLDER}/fold/{self.n - 1:020}.json.zst", blob)
        self.pointer = dict(n=self.n - 1, sha256=hashlib.sha256(blob).hexdigest())

    def pack(self, first, count, change=None):
        stream = b"".join(struct.pack(">I", len(b)) + b for b in (change or (lambda b: b))(self.blobs[first:first + count]))
        frame = pa.compress(stream, "zstd", asbytes=True)
        self.put(f"{FOLDER}/pack/{first:010}-{first + count - 1:010}.zst", frame + log.SKIPPED + hashlib.sha256(frame).digest())

    @contextlib.contextmanager
    def altered(self, path, change):
        """The object as it is after `change`, while the block runs."""
        whole = os.path.join(self.root, path)
        with open(whole, "rb") as file:
            blob = file.read()
        changed = change(blob)
        if changed is None:
            os.remove(whole)
        else:
            self.put(path, changed)
        yield
        self.put(path, blob)

    def objects(self):
        """Paths of everything stored."""
        return sorted(os.path.relpath(os.path.join(place, file), self.root) for place, _, files in os.walk(self.root) for file in files)


A1, A2, A3, B1, C1 = image("a", "1"), image("a", "2"), image("a", "3"), image("b", "1"), image("c", "1")
FIRST = [change(1, "INSERT", "a", A1, None, 1), change(2, "INSERT", "b", B1, None, 1)]
SECOND = [change(3, "MODIFY", "a", A2, A1, 5), change(4, "REMOVE", "b", None, B1, 6)]


class Case(unittest.TestCase):
    """A test with an archive of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.archive = Archive(os.path.join(folder.name, "archive"))

    @property
    def store(self):
        return replayer.open_archive(self.archive.root)

    def table(self, **options):
        return replayer.Table(self.archive.root, "orders", **options)

    def binary(self, *arguments):
        """(exit code, output) of the binary, or None without one."""
        if not os.environ.get("TAILRACE"):
            return None
        done = subprocess.run([os.environ["TAILRACE"], *arguments, "--archive", self.archive.root], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def judged_alike(self, sound):
        told = self.binary("verify")
        if told is not None:
            self.assertEqual(told[0] == 0, sound, f"this reader says {'sound' if sound else 'unsound'}, the binary:\n{told[1][-3000:]}")

    def holds(self, closed=None):
        """The log holds to its tail, and so does all that it names."""
        manifest = log.read(self.store, FOLDER)
        self.assertIsNone(manifest.stopped)
        if closed is not None:
            self.assertEqual(manifest.closed_through, T0 + closed)
        replayer.check(self.table())
        self.judged_alike(True)
        self.told_alike(manifest)
        return manifest

    def told_alike(self, manifest):
        """The binary says the same of time, gaps and rows."""
        told = self.binary("list", "--json")
        if told is None or not manifest.epochs:
            return
        self.assertEqual(told[0], 0, told[1])
        table = json.loads(told[1].splitlines()[0])
        point = lambda seconds: None if seconds is None else moments.rfc3339(seconds)
        self.assertEqual((table["closed_through"], table["proven_through"], table["changes"]), (point(manifest.closed_through), point(manifest.proven_through), manifest.rows))
        self.assertEqual([g["id"] for g in table["gaps"] if g["kind"] == "gap"], [g.id for g in manifest.gaps], table["gaps"])

    def fails(self, why, where=None):
        """The last entry (or that of number `where`) has no effect, for this reason."""
        manifest = log.read(self.store, FOLDER)
        self.assertIsNotNone(manifest.stopped, f"the log holds, though: {why}")
        self.assertRegex(manifest.stopped, why)
        self.assertEqual(manifest.next, self.archive.n - 1 if where is None else where)
        told = self.binary("list")
        if told is not None and manifest.next:
            self.assertRegex(told[1], f"entry {manifest.next} of the log has no effect", f"this reader says: {manifest.stopped}")
        self.judged_alike(False)
        return manifest

    def unsound(self, why):
        """The log holds, and what it names does not."""
        self.assertIsNone(log.read(self.store, FOLDER).stopped)
        with self.assertRaisesRegex(moments.Refused, why):
            replayer.check(self.table())
        self.judged_alike(False)

    def items(self, offset, **options):
        got, how = replayer.image_at(self.table(**options), T0 + offset)
        return {key[0]: json.dumps(v, separators=(",", ":")) for key, v in got.items()}, how

    def expect(self, offset, items, way, **options):
        got, how = self.items(offset, **options)
        self.assertEqual(got, items)
        self.assertRegex(how, f"^{way}")
        self.replayed_alike(offset, items, options.get("accepted", ()))

    def refuses(self, offset, why, **options):
        with self.assertRaisesRegex(moments.Refused, why):
            replayer.image_at(self.table(**options), T0 + offset)
        self.replayed_alike(offset, None, options.get("accepted", ()))

    def replayed_alike(self, offset, items, accepted):
        """The binary gives the same items, or refuses too."""
        if not os.environ.get("TAILRACE") or accepted:
            return
        with tempfile.TemporaryDirectory() as place:
            out = os.path.join(place, "out.jsonl")
            code, told = self.binary("replay", "--table", "orders", "--at", at(offset), "--into", f"file:{out}")
            self.assertEqual(code == 0, items is not None, f"this reader says {items}, the binary:\n{told[-3000:]}")
            if items is not None:
                with open(out, encoding="utf-8") as lines:
                    theirs = [json.loads(line)["Item"] for line in lines]
                self.assertEqual({i["pk"]["S"]: canonical.plain_item(i) for i in theirs}, {k: canonical.plain_item(json.loads(v)) for k, v in items.items()})
