#!/usr/bin/env python3
"""The independent replayer against small archives made by hand, so that its own faults do not hide ours."""

import hashlib
import json
import os
import tempfile
import unittest

import pyarrow as pa
import pyarrow.parquet as pq

import canonical
import log
import replayer
import segments

T0 = log.second("2026-11-22T10:00:00Z")
FOLDER = "tables/111122223333/eu-central-1/orders/one"


def at(offset):
    return log.rfc3339(T0 + offset)


def image(key, value):
    return json.dumps({"pk": {"S": key}, "v": {"N": value}}, separators=(",", ":"))


def digest(text):
    return None if text is None else canonical.image_digest(json.loads(text)).to_bytes(16, "big")


def change(sequence, kind, key, new, old, cut):
    """One row as a dict; MODIFY keeps its old image as a difference, as capture does."""
    modify = kind == "MODIFY"
    delta = {"set": {"v": json.loads(old)["v"]}, "drop": []} if modify else None
    return dict(
        key_hash=canonical.key_hash(("S", key)), pk=key, sk=None, kind=kind, changed_at=(T0 + cut) * 10**6,
        cut_at=(T0 + cut) * 10**6, epoch=1, shard_rank=0, sequence=f"{sequence:040}", shard_id="s", event_id=None,
        size_bytes=None, actor=None, new_image=new, old_image=None if modify else old,
        old_delta=delta and json.dumps(delta), new_digest=digest(new), old_digest=digest(old))


SCHEMA = pa.schema([
    ("key_hash", pa.binary(16)), ("pk", pa.string()), ("sk", pa.string()), ("kind", pa.string()),
    ("changed_at", pa.timestamp("us", "UTC")), ("cut_at", pa.timestamp("us", "UTC")), ("epoch", pa.uint32()),
    ("shard_rank", pa.uint32()), ("sequence", pa.string()), ("shard_id", pa.string()), ("event_id", pa.string()),
    ("size_bytes", pa.int64()), ("actor", pa.string()), ("new_image", pa.string()), ("old_image", pa.string()),
    ("old_delta", pa.string()), ("new_digest", pa.binary(16)), ("old_digest", pa.binary(16))])
BASE = pa.schema([
    ("key_hash", pa.binary(16)), ("pk", pa.string()), ("sk", pa.string()), ("image", pa.string()), ("image_digest", pa.binary(16))])


class Archive:
    """Writes an archive, entry by entry."""

    def __init__(self, root):
        self.root, self.n, self.previous = root, 0, None
        born = b'{"format":1'
        self.put("archive.json", born + b',"sha256":"' + hashlib.sha256(born).hexdigest().encode() + b'"}\n')

    def put(self, path, blob):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(blob)

    def segment(self, path, rows, tier):
        schema, names = (BASE, BASE.names) if tier == "base" else (SCHEMA, segments.DIGESTED)
        rows = sorted(rows, key=lambda r: (r["key_hash"], r.get("sequence")))
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
        blob = sink.getvalue().to_pybytes()
        self.put(f"{FOLDER}/{path}", blob)
        data = {name: [row[name] for row in rows] for name in schema.names}
        return dict(path=path, bytes=len(blob), sha256=hashlib.sha256(blob).hexdigest(), rows=len(rows), tier=tier,
                    row_digest=f"{segments.row_digest(data, names):032x}", dt="2026-11-22")

    def commit(self, *actions):
        body = json.dumps(dict(v=1, n=self.n, commit_id=f"c{self.n}", prev_sha256=self.previous, at=at(0),
                               writer=dict(id="w", build="test"), fold=None, actions=list(actions))).encode()
        blob = body + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n"
        self.put(f"{FOLDER}/log/{self.n:020}.entry", blob)
        self.previous, self.n = hashlib.sha256(blob).hexdigest(), self.n + 1

    def start(self, empty_base):
        checked = dict(table_created=at(0), stream_created=at(0), at=at(1), not_restored=True, no_replicas=True)
        base = [dict(action="base", kind="empty", fence=at(-1), complete_at=at(-1), checked=checked, segments=[])]
        self.commit(
            dict(action="epoch_started", epoch=1, stream_arn="a", view_type="NEW_AND_OLD_IMAGES",
                 keys=[dict(name="pk", type="S")], created=at(0), floor=at(-1)),
            *(base if empty_base else []),
            dict(action="shard_opened", epoch=1, shard="s", rank=0, start="1", floor=at(-1), cut=at(-1)))
        self.through, self.cut = 0, -1

    def changes(self, rows):
        meta = self.segment(f"raw/dt=2026-11-22/{self.n}.parquet", rows, "raw")
        last = max(rows, key=lambda row: row["sequence"])
        span = dict(epoch=1, shard="s", after=str(self.through), through=str(int(last["sequence"])), rows=len(rows),
                    cut=log.rfc3339(last["cut_at"] // 10**6))
        self.commit(dict(action="segments", segments=[meta], spans=[span]))
        self.through, self.cut = int(span["through"]), log.second(span["cut"]) - T0

    def gap(self, start, end, through):
        span = dict(epoch=1, shard="s", after=str(self.through), through=str(through), rows=0, cut=at(end), floor=at(end - 1),
                    gap=dict(reason="possibly_trimmed", from_cut=at(start), to_cut=at(end)))
        self.commit(dict(action="segments", segments=[], spans=[span]))
        self.through = through

    def heartbeat(self, floor):
        self.commit(dict(action="heartbeat", epoch=1, shard="s", through=str(self.through), floor=at(floor), settle=5))

    def base(self, fence, complete, items):
        n = self.n
        self.commit(dict(action="base_started", kind="scan", fence=at(fence), started=at(fence), slack=0, bits=0, limit=1))
        rows = [dict(key_hash=canonical.key_hash(("S", k)), pk=k, sk=None, image=v, image_digest=digest(v)) for k, v in items.items()]
        meta = self.segment(f"base/at=x/bucket=000/{n}-0.parquet", rows, "base")
        self.commit(dict(action="base", intent=n, kind="scan", fence=at(fence), complete_at=at(complete), segments=[meta]))


A1, A2, B1, C1 = image("a", "1"), image("a", "2"), image("b", "1"), image("c", "1")
FIRST = [change(1, "INSERT", "a", A1, None, 1), change(2, "INSERT", "b", B1, None, 1)]
SECOND = [change(3, "MODIFY", "a", A2, A1, 5), change(4, "REMOVE", "b", None, B1, 6)]


class Replays(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.archive = Archive(self.folder.name)

    def table(self):
        return replayer.Table(self.folder.name, "orders")

    def expect(self, offset, items, way):
        got, how = replayer.image_at(self.table(), T0 + offset)
        self.assertEqual({key[0]: json.dumps(v, separators=(",", ":")) for key, v in got.items()}, items)
        self.assertTrue(how.startswith(way), how)

    def refuses(self, offset, why):
        with self.assertRaisesRegex(log.Refused, why):
            replayer.image_at(self.table(), T0 + offset)

    def test_forward_from_the_empty_base(self):
        self.archive.start(empty_base=True)
        self.archive.changes(FIRST)
        self.archive.changes(SECOND)
        self.archive.heartbeat(20)
        self.expect(0, {}, "forward")
        self.expect(1, {"a": A1, "b": B1}, "forward")
        self.expect(5, {"a": A2, "b": B1}, "forward")
        self.expect(20, {"a": A2}, "forward")
        self.refuses(21, "after closed_through")
        self.assertEqual(replayer.check(self.table()), 4)
        got, _ = replayer.image_at_sequence(self.table(), 1)
        self.assertEqual(list(got), [("a", None)])

    def test_backward_through_old_images_to_a_later_base(self):
        self.archive.start(empty_base=False)
        self.archive.changes(FIRST)
        self.archive.changes(SECOND)
        self.archive.heartbeat(20)
        self.archive.base(20, 20, {"a": A2, "c": C1})
        self.archive.heartbeat(30)
        self.expect(3, {"a": A1, "b": B1, "c": C1}, "backward")
        self.expect(5, {"a": A2, "b": B1, "c": C1}, "backward")
        self.expect(30, {"a": A2, "c": C1}, "forward")
        self.refuses(-5, "gap")

    def test_a_gap_refuses_what_it_makes_unknown(self):
        self.archive.start(empty_base=True)
        self.archive.changes(FIRST)
        self.archive.gap(1, 10, 2)
        self.archive.heartbeat(30)
        self.expect(0, {}, "forward")
        self.refuses(15, "gap 2.0|no base")

    def test_a_base_behind_a_gap_serves_again(self):
        self.archive.start(empty_base=True)
        self.archive.changes(FIRST)
        self.archive.gap(1, 10, 2)
        self.archive.heartbeat(30)
        self.archive.base(30, 30, {"b": B1})
        self.archive.heartbeat(40)
        self.expect(35, {"b": B1}, "forward")
        self.expect(12, {"b": B1}, "backward")
        self.refuses(5, "gap")

    def test_altered_bytes_are_refused(self):
        self.archive.start(empty_base=True)
        self.archive.changes(FIRST)
        self.archive.heartbeat(20)
        for path in (f"{FOLDER}/log/{1:020}.entry", f"{FOLDER}/raw/dt=2026-11-22/1.parquet"):
            whole = os.path.join(self.folder.name, path)
            with open(whole, "rb") as file:
                blob = file.read()
            for place in range(0, len(blob), 97):
                with open(whole, "wb") as file:
                    file.write(blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1:])
                self.refuses(1, "hash|committed|breaks")
            with open(whole, "wb") as file:
                file.write(blob)
        self.expect(1, {"a": A1, "b": B1}, "forward")

    def test_the_published_vectors(self):
        def vectors(name):
            here = os.path.dirname(os.path.abspath(__file__))
            with open(os.path.join(here, "../../schemas/vectors", name), encoding="utf-8") as file:
                return json.load(file)["cases"]

        def number(text):
            try:
                return canonical.number(text)
            except ValueError:
                return None

        for case in vectors("number.json"):
            self.assertEqual(number(case["text"]), case["canonical"], case)
        for case in vectors("canonical.json"):
            self.assertEqual(canonical.value_bytes(json.loads(case["json"])).hex(), case["bytes"], case)
        for case in vectors("image_digest.json"):
            self.assertEqual(f"{canonical.image_digest(json.loads(case['json'])):032x}", case["digest"], case)
        for case in vectors("key_hash.json"):
            parts = [part and (part["type"], part["text"]) for part in (case["pk"], case["sk"])]
            self.assertEqual(canonical.key_hash(*parts).hex(), case["hash"], case)
        for case in vectors("row_digest.json"):
            rows = [dict(row, sequence=row["sequence"].rjust(40, "0")) for row in case["rows"]]
            for row in rows:
                row |= {name: row[name] and bytes.fromhex(row[name]) for name in ("key_hash", "old_digest")}
            data = {name: [row[name] for row in rows] for name in segments.DIGESTED}
            self.assertEqual(f"{segments.row_digest(data, segments.DIGESTED):032x}", case["digest"], case)

    def test_numbers_are_canonical_without_floats(self):
        for written, plain in {"1.50": "1.5", "1E2": "100", "-0.0": "0", ".5": "0.5", "+7": "7", "12e-3": "0.012", "00.10": "0.1"}.items():
            self.assertEqual(canonical.number(written), plain)
        values = sorted(["10", "-2", "9", "0.5", "-0.25", "0"], key=canonical.ordered)
        self.assertEqual(values, ["-2", "-0.25", "0", "0.5", "9", "10"])


if __name__ == "__main__":
    unittest.main()
