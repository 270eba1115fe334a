"""Segments: rows against the entry, the span and each other."""


import random
import unittest

import pyarrow as pa

import log
import replayer
import segments
from hand import (A1, A2, A3, B1, C1, DAY, DAY_END, FIRST, FOLDER, NEXT_DAY, SECOND, T0, Case, action, at, by_reference, change, digest, image, interval,
                  unknown)
from moments import Refused

MICRO = 10**6


class Objects(Case):
    """What an entry says of an object."""

    def test_each_member_of_a_segment_is_checked(self):
        for name, wrong, why in (
            ("bytes", 1, "not what was committed"), ("sha256", "0" * 64, "not what was committed"), ("row_digest", "0" * 32, "row digest"),
            ("min_cut_at", at(0), "min_cut_at"), ("max_cut_at", at(9), "max_cut_at"), ("min_key_hash", "0" * 32, "min_key_hash"),
            ("max_key_hash", "f" * 32, "max_key_hash"),
        ):
            with self.subTest(name):
                self.setUp()
                self.archive.start()
                self.archive.changes(FIRST, segment={name: wrong})
                self.archive.heartbeat(9)
                self.unsound(why)

    def test_the_number_of_rows(self):
        a = self.archive
        a.start()
        rows = a.rows(FIRST, segment=dict(rows=3))
        rows["spans"][0]["rows"] = 3
        a.commit(rows)
        self.unsound("has 2 rows, the log says 3")

    def test_a_lost_object(self):
        a = self.archive
        a.start()
        a.changes(FIRST)
        a.heartbeat(9)
        with a.altered(f"{FOLDER}/raw/dt={DAY}/1s.parquet", lambda _: None):
            self.unsound("LOST")
            self.refuses(5, "LOST")

    def test_an_object_that_is_no_parquet(self):
        a = self.archive
        a.start()
        rows = a.rows(FIRST)
        garbage = b"PAR1 and nothing behind it"
        a.put(f"{FOLDER}/{rows['segments'][0]['path']}", garbage)
        rows["segments"][0] |= dict(bytes=len(garbage), sha256=log.sha256(garbage))
        a.commit(rows)
        self.unsound("no Parquet")

    def test_footers(self):
        for name, value, why in (("format", "2", "format 2"), ("format", None, "format"), ("tier", "rest", "tier or day"), ("dt", NEXT_DAY, "tier or day"), ("origin", None, "origin"), ("writer", None, "writer")):
            with self.subTest(name=name, value=value):
                def spoil(table, name=name, value=value):
                    facts = {k: v for k, v in table.schema.metadata.items() if k != f"tailrace.{name}".encode()}
                    return table.replace_schema_metadata(facts | ({f"tailrace.{name}": value} if value else {}))
                self.setUp()
                self.archive.start()
                self.archive.changes(FIRST, segment=dict(change_table=spoil))
                self.archive.heartbeat(9)
                self.unsound(why)

    def test_columns(self):
        spoils = {
            "lacks the column actor": lambda t: t.drop_columns(["actor"]),
            "size_bytes is": lambda t: t.set_column(t.column_names.index("size_bytes"), "size_bytes", pa.array([None] * t.num_rows, pa.string())),
            "kind is null": lambda t: t.set_column(3, pa.field("kind", pa.string(), True), pa.array([None] * t.num_rows, pa.string())),
        }
        for why, spoil in spoils.items():
            with self.subTest(why):
                self.setUp()
                self.archive.start()
                self.archive.changes(FIRST, segment=dict(change_table=spoil))
                self.archive.heartbeat(9)
                self.unsound(why)

    def test_a_column_of_a_later_format_is_passed_over(self):
        """Only this reader is asked: the page promises it (§18)."""
        self.archive.start()
        self.archive.changes(FIRST, segment=dict(change_table=lambda t: t.append_column(pa.field("more", pa.string()), pa.array(["x"] * t.num_rows))))
        self.archive.heartbeat(9)
        self.assertEqual(replayer.check(self.table()), 2)


class Rows(Case):
    """Rows one by one."""

    def spoiled(self, why, *rows, sort=True, late=None, **members):
        """One entry with these rows is refused."""
        with self.subTest(why=why, members=members):
            self.setUp()
            self.archive.start()
            self.archive.changes(list(rows), segment=dict(sort=sort), late=late, **members)
            self.archive.heartbeat(DAY_END)
            self.unsound(why)

    def sound(self, *rows, **members):
        self.setUp()
        self.archive.start()
        self.archive.changes(list(rows), **members)
        self.archive.heartbeat(DAY_END)
        self.holds()

    def test_a_change_stands_once(self):
        self.spoiled("stands twice", change(1, "INSERT", "a", A1, None, 1), change(1, "INSERT", "b", B1, None, 1))

    def test_rows_have_an_epoch_of_the_log(self):
        self.spoiled("epoch that is not in the log", change(1, "INSERT", "a", A1, None, 1, epoch=2))

    def test_keys(self):
        row = change(1, "INSERT", "a", A1, None, 1)
        self.spoiled("fails its hash", row | dict(key_hash=b"x" * 16))
        self.spoiled("half a key", row | dict(sk="1"))
        self.spoiled("half a key", row | dict(pk=None))
        self.spoiled("without a key", row | dict(pk=None, key_hash=None))

    def test_image_forms(self):
        row, modify, remove = change(1, "INSERT", "a", A1, None, 1), change(1, "MODIFY", "a", A2, A1, 1), change(1, "REMOVE", "a", None, A1, 1)
        self.sound(row)
        self.sound(modify)
        self.sound(remove)
        self.sound(change(1, "MODIFY", "a", A2, None, 1))
        self.sound(modify | dict(old_image=A1, old_delta=None))
        self.spoiled("fails its digest", row | dict(new_digest=b"x" * 16))
        self.spoiled("wrong new image", row | dict(new_digest=None))
        self.spoiled("wrong new image", row | dict(new_image=None, new_digest=None))
        self.spoiled("wrong new image", remove | dict(new_image=A1, new_digest=digest(A1)))
        self.spoiled("old image", row | dict(old_image=A1, old_digest=digest(A1)))
        self.spoiled("form that does not exist", modify | dict(old_image=A1))
        self.spoiled("form that does not exist", modify | dict(old_digest=None))
        self.spoiled("form that does not exist", remove | dict(old_digest=None))
        self.spoiled("form that does not exist", remove | dict(old_image=None, old_delta='{"set":{},"drop":[]}'))
        self.spoiled("fails its digest", modify | dict(old_digest=b"x" * 16))
        self.spoiled("fails its digest", remove | dict(old_digest=b"x" * 16))
        self.spoiled("by reference", modify | dict(old_delta=None))
        self.spoiled("difference that is none", modify | dict(old_delta='{"set":{}}'))
        self.spoiled("difference that is none", modify | dict(old_delta='{"set":{"v":{"N":"1"}},"drop":[],"more":1}'))
        self.spoiled("difference that is none", modify | dict(old_delta='{"set":{"v":{"N":"1"}},"drop":["x"]}'))
        self.spoiled("image that is none", row | dict(new_image="[1]"))
        self.spoiled("of kind", row | dict(kind="PUT"))
        self.spoiled("image of another key", row | dict(new_image=B1, new_digest=digest(B1)))
        self.spoiled("image of another key", remove | dict(old_image=B1, old_digest=digest(B1)))
        self.spoiled("image without its key", row | dict(new_image="{}", new_digest=digest("{}")))

    def test_differences_apply(self):
        new, old = '{"pk":{"S":"a"},"keep":{"N":"1"},"v":{"N":"2"},"new":{"S":"x"}}', '{"pk":{"S":"a"},"keep":{"N":"1"},"v":{"N":"1"},"old":{"S":"y"}}'
        delta = '{"set":{"old":{"S":"y"},"v":{"N":"1"}},"drop":["new"]}'
        self.sound(change(1, "MODIFY", "a", new, old, 1) | dict(old_delta=delta))
        self.spoiled("fails its digest", change(1, "MODIFY", "a", new, old, 1) | dict(old_delta=delta.replace('"new"', "")))

    def test_unknown_rows(self):
        self.sound(unknown(1, 4), unknown=[at(4)])
        self.sound(unknown(1, 4), unknown(2, 4), unknown=[at(4)])
        key = dict(pk="a", key_hash=FIRST[0]["key_hash"])
        self.sound(unknown(1, 4) | key, unknown=[at(4)])
        self.spoiled("UNKNOWN row with images", unknown(1, 4) | dict(old_image=A1, old_digest=digest(A1)), unknown=[at(4)])
        self.spoiled("UNKNOWN row with images", unknown(1, 4) | dict(new_image=None), unknown=[at(4)])
        self.spoiled("unknown seconds", unknown(1, 4), change(2, "INSERT", "a", A1, None, 5), unknown=[at(5)])
        self.spoiled("unknown seconds", unknown(1, 4))
        self.spoiled("unknown seconds", change(1, "INSERT", "a", A1, None, 4), unknown=[at(4)])

    def test_order(self):
        rows = sorted(FIRST, key=lambda r: r["key_hash"])
        self.spoiled("not sorted", *reversed(rows), sort=False)
        self.spoiled("twice|rows, ", FIRST[0], FIRST[0], FIRST[1])

    def test_seconds_and_days(self):
        row = change(1, "INSERT", "a", A1, None, 1)
        self.spoiled("whole second|another day|min_cut|another cut", row | dict(cut_at=row["cut_at"] + 1))
        self.spoiled("another day|tier or day", row, path=f"raw/dt={NEXT_DAY}/x.parquet")

    def test_sequence_numbers_are_padded(self):
        row = change(1, "INSERT", "a", A1, None, 1)
        self.spoiled("40 digits", row | dict(sequence="1"))

    def test_spans_against_rows(self):
        self.spoiled("claims 2 rows", *FIRST, through="1")
        self.spoiled("end at its last row", *FIRST, through="3")
        self.spoiled("another cut", *FIRST, cut=at(2))
        self.spoiled("rank", FIRST[0] | dict(shard_rank=1), FIRST[1])

    def test_cut_at_stays_above_the_floor(self):
        a = self.archive
        a.start()
        a.heartbeat(3)
        a.changes([change(1, "INSERT", "a", A1, None, 3), change(2, "INSERT", "b", B1, None, 4)])
        self.unsound("falls")
        self.spoiled("falls", change(1, "INSERT", "a", A1, None, 4), change(2, "INSERT", "b", B1, None, 3), change(3, "INSERT", "c", C1, None, 4))

    def test_late_labels_follow_from_the_rows(self):
        lifted = lambda by: change(1, "INSERT", "a", A1, None, 900, changed_at=(T0 + 900 - by) * MICRO)
        self.sound(lifted(300))
        self.sound(lifted(301), late=[interval(900 - 306, 900)])
        self.sound(change(1, "INSERT", "a", A1, None, 0, changed_at=(T0 - 9999) * MICRO))
        self.spoiled("late intervals", lifted(301))
        self.spoiled("late intervals", lifted(300), late=[interval(595, 900)])
        self.spoiled("late intervals", lifted(301), late=[interval(595, 900)])

    def test_a_rows_file_is_named_by_its_span(self):
        """Two entries, whose rows are swapped between their files."""
        a = self.archive
        a.start()
        one, two = [change(1, "INSERT", "a", A1, None, 1)], [change(2, "INSERT", "b", B1, None, 1)]
        first = a.segment(f"raw/dt={DAY}/1.parquet", two, "raw")
        a.commit(action("segments", segments=[first], spans=[a.span(one)]))
        second = a.segment(f"raw/dt={DAY}/2.parquet", one, "raw")
        a.commit(action("segments", segments=[second], spans=[a.span(two)]))
        self.unsound("another entry names")

    def test_children_come_after_their_parents(self):
        a = self.archive
        a.start()
        a.changes([change(50, "INSERT", "a", A1, None, 1)])
        a.commit(a.closed())
        a.commit(a.opened("c", parent="s", start=40, rank=1, floor=0, cut=1))
        a.changes([change(45, "INSERT", "b", B1, None, 2, shard="c", rank=1)], shard="c")
        self.unsound("parent's last")

    def test_the_image_chain(self):
        a = self.archive
        a.start()
        a.changes([change(1, "INSERT", "a", A1, None, 1), change(2, "MODIFY", "a", A3, A2, 5)])
        a.heartbeat(9)
        self.unsound("version before")
        self.setUp()
        a = self.archive
        a.start()
        a.changes([change(1, "INSERT", "a", A1, None, 1)])
        a.gap(1, 3, 1)
        a.changes([change(2, "MODIFY", "a", A3, A2, 5)])
        self.holds()


class Derived(Case):
    """Seals and bases against their rows."""

    def sealed(self, heads, rest, rows=FIRST + SECOND, spoil=lambda seal: None):
        self.setUp()
        a = self.archive
        a.start()
        a.changes(rows)
        a.heartbeat(DAY_END)
        seal = a.sealed(a.commit(a.seal_started()), heads, rest)
        spoil(seal)
        a.commit(seal)
        a.heartbeat(DAY_END + 5)

    def test_heads_hold_the_last_change(self):
        self.sealed(SECOND, FIRST)
        self.holds()
        self.sealed(FIRST, SECOND)
        self.unsound("heads")
        self.sealed(SECOND + FIRST[:1], FIRST[1:])
        self.unsound("heads")

    def test_references_to_the_version_before(self):
        self.sealed([by_reference(SECOND[0]), by_reference(SECOND[1])], FIRST)
        self.holds()
        self.sealed([by_reference(SECOND[0])], [], [SECOND[0]])
        self.unsound("version before")
        wrong = [change(3, "MODIFY", "a", A2, A3, 5)]
        self.sealed([by_reference(wrong[0])], FIRST[:1], FIRST[:1] + wrong)
        self.unsound("fails the old digest")

    def test_references_resolve_backward(self):
        a = self.archive
        a.start(empty_base=False)
        a.changes(FIRST + SECOND)
        a.heartbeat(DAY_END)
        a.seal([by_reference(r) for r in SECOND], FIRST)
        a.base(DAY_END, DAY_END, {"a": A2})
        self.expect(3, {"a": A1, "b": B1}, "backward")
        self.holds()

    def test_rows_root(self):
        for tier in (0, 1):
            self.sealed(SECOND, FIRST, spoil=lambda seal: seal["segments"][tier].update(rows_root="0" * 64))
            self.unsound("rows_root")

    def test_buckets(self):
        self.setUp()
        a = self.archive
        a.start()
        a.changes(FIRST)
        a.heartbeat(DAY_END)
        n = a.commit(a.seal_started(bits=1))
        by_bucket = {b: [r for r in FIRST if r["key_hash"][0] >> 7 == b] for b in (0, 1)}
        self.assertFalse(by_bucket[0])
        metas = [a.segment(f"sealed/dt={DAY}/part=heads/bucket=001/{n}-0.parquet", FIRST, "heads")]
        a.commit(action("seal", intent=n, segments=metas))
        self.holds()
        self.setUp()
        a = self.archive
        a.start()
        a.changes(FIRST)
        a.heartbeat(DAY_END)
        n = a.commit(a.seal_started(bits=1))
        metas = [a.segment(f"sealed/dt={DAY}/part=heads/bucket=000/{n}-0.parquet", FIRST, "heads")]
        a.commit(action("seal", intent=n, segments=metas))
        self.unsound("another bucket")

    def test_a_key_lies_in_one_file(self):
        self.setUp()
        a = self.archive
        a.start()
        rows = [FIRST[0], SECOND[0], change(5, "MODIFY", "a", A3, A2, 9)]
        a.changes(rows)
        a.heartbeat(DAY_END)
        n = a.commit(a.seal_started())
        metas = [a.segment(f"sealed/dt={DAY}/part=heads/bucket=000/{n}-0.parquet", rows[2:], "heads")]
        metas += [a.segment(f"sealed/dt={DAY}/part=rest/bucket=000/{n}-{k}.parquet", rows[k:k + 1], "rest") for k in (0, 1)]
        a.commit(action("seal", intent=n, segments=metas))
        self.unsound("straddles")

    def based(self, items, **members):
        self.setUp()
        a = self.archive
        a.start()
        a.changes(FIRST)
        a.heartbeat(20)
        n = a.commit(a.base_started(20))
        rows = [dict(key_hash=segments.canonical.key_hash(("S", k)), pk=k, sk=None, image=v, image_digest=digest(v)) for k, v in items.items()]
        rows = members.pop("rows", lambda r: r)(rows)
        metas = [a.segment(f"base/at=x/bucket=000/{n}-0.parquet", rows, "base", **members)]
        a.commit(action("base", intent=n, kind="scan", fence=at(20), complete_at=at(20), segments=metas))

    def test_a_base_is_what_the_archive_says(self):
        self.based({"a": A1, "b": B1})
        self.holds()

    def test_a_base_that_differs_from_the_archive(self):
        """Only this reader is asked: the page lets a reader compare, it does not say that it must."""
        for items in ({"a": A1}, {"a": A2, "b": B1}, {"a": A1, "b": B1, "c": C1}):
            self.based(items)
            with self.assertRaisesRegex(Refused, "not what the archive says"):
                replayer.check(self.table())

    def test_rows_of_a_base(self):
        both = {"a": A1, "b": B1}
        self.based(both, rows=lambda rows: [rows[0] | dict(image_digest=b"x" * 16), rows[1]])
        self.unsound("digest")
        self.based(both, rows=lambda rows: [rows[0] | dict(key_hash=b"x" * 16), rows[1]])
        self.unsound("hash")
        self.based(both, rows=lambda rows: rows + rows[:1])
        self.unsound("twice")
        self.based(both, rows=lambda rows: sorted(rows, key=lambda r: r["key_hash"], reverse=True), sort=False)
        self.unsound("sorted")
        self.based(both, rows=lambda rows: [rows[0] | dict(image=B1, image_digest=digest(B1)), rows[1]])
        self.unsound("another key")
        self.based(both, row_digest="0" * 32)
        self.unsound("row digest")
        self.based(both, rows_root="0" * 64)
        self.unsound("rows_root")


class Mutations(Case):
    """Any byte of any object of an archive, flipped, is found; what reads the object refuses it."""

    def build(self):
        a = self.archive
        a.start()
        a.changes(FIRST)
        a.changes(SECOND)
        a.heartbeat(DAY_END)
        a.seal([by_reference(SECOND[0]), SECOND[1]], FIRST)
        a.base(DAY_END, DAY_END, {"a": A2})
        a.changes([change(9, "INSERT", "c", C1, None, DAY_END + 5)])
        a.fold()
        a.heartbeat(DAY_END + 20)
        a.pack(0, 4)
        self.assertEqual(replayer.check(self.table()), 5)

    def test_every_object(self):
        self.build()
        rng, count = random.Random(7), 0
        for path in self.archive.objects():
            if path == "archive.json":
                continue
            with open(f"{self.archive.root}/{path}", "rb") as file:
                size = len(file.read())
            live = path.removeprefix(f"{FOLDER}/") in log.read(self.store, FOLDER).segments
            for place in {0, size - 1, *(rng.randrange(size) for _ in range(12))}:
                flip = 1 << rng.randrange(8)
                change_byte = lambda blob: blob[:place] + bytes([blob[place] ^ flip]) + blob[place + 1:]
                with self.archive.altered(path, change_byte):
                    where = f"{path} byte {place} bit {flip}"
                    if "/raw/" in path and not live:
                        continue  # sealed: no entry names it as live any more
                    with self.assertRaises(Refused, msg=where):
                        replayer.check(self.table())
                    if live:
                        with self.assertRaises(Refused, msg=where):
                            replayer.image_at(self.table(), T0 + DAY_END + 20)
                    count += 1
        self.assertGreater(count, 150)
        replayer.check(self.table())

    def test_a_flip_in_a_derived_object_changes_no_answer(self):
        self.build()
        want = replayer.image_at(self.table(), T0 + DAY_END + 20)
        for path in (p for p in self.archive.objects() if "/fold/" in p):
            with self.archive.altered(path, lambda blob: blob[:-1] + bytes([blob[-1] ^ 1])):
                self.assertEqual(replayer.image_at(self.table(by="folds"), T0 + DAY_END + 20), want)

    def test_a_truncated_object(self):
        self.build()
        for path in self.archive.objects():
            if "/raw/" in path and path.removeprefix(f"{FOLDER}/") not in log.read(self.store, FOLDER).segments:
                continue
            with self.archive.altered(path, lambda blob: blob[:len(blob) // 2]):
                with self.assertRaises(Refused, msg=path):
                    replayer.check(self.table())


if __name__ == "__main__":
    unittest.main()
