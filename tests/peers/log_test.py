"""Entries and actions of the independent reader: each rule holds where it is kept and fails where it is broken."""

import hashlib
import json
import os
import unittest

import log
from hand import A1, A2, B1, DAY, DAY_END, FIRST, FOLDER, KEYS, NEXT_DAY, SECOND, Case, action, at, by_reference, change, image, interval, unknown
from moments import Newer, Refused

CHILD = dict(parent="s", start=100)


class Entries(Case):
    """Bytes, hash and chain."""

    def sealed_body(self, body):
        return body + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n"

    def altered_entry(self, change):
        """The same log with its last entry's JSON changed; the hash line is right again."""
        self.archive.start()
        body = change(self.archive.body([self.archive.beat(10)]))
        self.archive.put_entry(self.sealed_body(body))

    def test_an_entry_is_two_lines(self):
        for spoil in (lambda b: b[:-1], lambda b: b + b"\n", lambda b: b.replace(b"\n", b"\r\n"), lambda b: b"\n" + b, lambda b: b.upper(), lambda b: b"", lambda b: b[:-66] + b[-65:-1].upper() + b"\n"):
            with self.subTest(spoil=spoil):
                self.setUp()
                self.archive.start()
                body = self.archive.body([self.archive.beat(10)])
                self.archive.put_entry(spoil(self.sealed_body(body)))
                self.fails("hash")

    def test_json_is_strict(self):
        spoils = {
            "repeated": lambda b: b.replace(b'{"v":1,', b'{"v":1,"v":1,'),
            "repeated deep": lambda b: b.replace(b'"settle":5', b'"settle":5,"settle":5'),
            "utf-8": lambda b: b.replace(b'"hand"', b'"\xff"'),
            "lone surrogate": lambda b: b.replace(b'"hand"', b'"\\ud800"'),
            "a fraction": lambda b: b.replace(b'"n":1', b'"n":1.0'),
            "an exponent": lambda b: b.replace(b'"n":1', b'"n":1e0'),
            "NaN": lambda b: b.replace(b'"settle":5', b'"settle":NaN'),
            "no object": lambda b: b"[" + b + b"]",
            "a member too many": lambda b: b.replace(b'{"v":1,', b'{"v":1,"w":1,'),
            "a member of an action too many": lambda b: b.replace(b'"settle":5', b'"settle":5,"more":1'),
            "a member too few": lambda b: b.replace(b'"commit_id":"c1",', b""),
            "a member of an action too few": lambda b: b.replace(b',"settle":5', b""),
            "fractions of a second": lambda b: b.replace(b'10Z"', b'10.5Z"'),
            "another offset": lambda b: b.replace(b'10Z"', b'10+00:00"'),
            "no such day": lambda b: b.replace(b'"at":"2026-11-22', b'"at":"2026-11-32'),
            "a wrong need": lambda b: b.replace(b'"need":"read"', b'"need":"none"'),
            "a sequence as number": lambda b: b.replace(b'"through":"0"', b'"through":0'),
            "a negative sequence": lambda b: b.replace(b'"through":"0"', b'"through":"-0"'),
            "no actions": lambda b: b.replace(b'"actions":[', b'"action":['),
        }
        for name, spoil in spoils.items():
            with self.subTest(name):
                self.setUp()
                self.altered_entry(spoil)
                self.fails("entry 1")

    def test_an_absent_need_is_read(self):
        self.altered_entry(lambda b: b.replace(b'"need":"read",', b""))
        self.holds(closed=10)

    def test_a_newer_version_is_refused_whole(self):
        self.altered_entry(lambda b: b.replace(b'{"v":1,', b'{"v":2,'))
        with self.assertRaisesRegex(Newer, "version 2"):
            log.read(self.store, FOLDER)
        self.judged_alike(False)

    def test_number_and_chain(self):
        for name, members in {"number": dict(n=2), "hash": dict(prev_sha256="0" * 64), "none": dict(prev_sha256=None)}.items():
            with self.subTest(name):
                self.setUp()
                self.archive.start()
                self.archive.commit(self.archive.beat(10), **members)
                self.fails("chain")

    def test_entry_0_has_nothing_before_it(self):
        self.archive.commit(self.archive.epoch(), self.archive.empty(), self.archive.opened(), prev_sha256="0" * 64)
        self.fails("chain")

    def test_a_hole_is_a_loss(self):
        self.archive.start()
        self.archive.heartbeat(10)
        self.archive.heartbeat(20)
        os.remove(os.path.join(self.archive.root, FOLDER, f"log/{1:020}.entry"))
        with self.assertRaisesRegex(Refused, "LOST"):
            log.read(self.store, FOLDER)
        self.judged_alike(False)

    def test_an_archive_has_its_birth_certificate(self):
        self.archive.start()
        for blob in (None, b"{}", b'{"format":2}', b'{"format":1}', b"[]", b"x"):
            with self.subTest(blob=blob):
                with self.archive.altered("archive.json", lambda _, blob=blob: blob):
                    with self.assertRaises(Refused):
                        log.read(self.store, FOLDER)
                    self.judged_alike(False)

    def test_a_prefix_is_served(self):
        self.archive.start()
        self.archive.changes(FIRST)
        self.archive.heartbeat(20)
        self.archive.commit(self.archive.beat(10))
        self.archive.heartbeat(30)
        self.fails("floor", where=3)
        self.expect(20, {"a": A1, "b": B1}, "forward.*served only up to")
        self.refuses(25, "closed_through.*floor")

    def test_unknown_actions_are_obeyed_by_their_need(self):
        for need, refused in (("none", False), ("write", False), ("read", True), (None, True)):
            with self.subTest(need=need):
                self.setUp()
                self.archive.start()
                self.archive.commit({k: v for k, v in dict(action="hologram", need=need, more=[1]).items() if v is not None}, self.archive.beat(10))
                if refused:
                    with self.assertRaisesRegex(Newer, "hologram"):
                        log.read(self.store, FOLDER)
                    self.judged_alike(False)
                else:
                    self.assertEqual(log.read(self.store, FOLDER).unknown[0]["need"], need)
                    self.holds(closed=10)

    def test_reserved_actions_are_unknown_ones(self):
        self.archive.start()
        self.archive.commit(dict(action="hold", need="write", name="x"))
        self.holds()

    def test_an_entry_may_be_empty(self):
        self.archive.start()
        self.archive.commit()
        self.holds(closed=-1)

    def test_the_fold_pointer(self):
        for name, pointers, why in (("future", [1], "cannot be yet"), ("falls", [1, 0], "fell"), ("forgets", [0, None], "forgets"), ("again", [0, 0], None)):
            with self.subTest(name):
                self.setUp()
                self.archive.start()
                if name == "falls":
                    self.archive.heartbeat(5)
                for i, n in enumerate(pointers):
                    self.archive.commit(self.archive.beat(10 + i), fold=None if n is None else dict(n=n, sha256="0" * 64))
                self.fails(why) if why else self.assertIsNone(log.read(self.store, FOLDER).stopped)


class Given(Case):
    """What the tests of actions share."""

    def broken(self, why, *actions):
        """The entry with these actions has no effect."""
        self.archive.commit(*actions)
        self.fails(why)

    def after(self, *entries):
        """A fresh archive with these entries."""
        self.setUp()
        self.archive.start()
        for actions in entries:
            self.archive.commit(*actions)
        return self.archive


class Shards(Given):
    """Epochs and shards."""

    def test_epochs_number_without_holes(self):
        self.archive.commit(self.archive.epoch(epoch=2))
        self.fails("without holes")

    def test_an_epoch_starts_when_the_one_before_is_closed(self):
        a = self.after()
        self.broken("still open", a.epoch(epoch=2, floor=50))

    def test_an_epoch_closes_when_all_is_read(self):
        a = self.after()
        self.broken("a shard is open", action("epoch_closed", epoch=1))
        a = self.after([self.archive.closed()], [self.archive.awaited("c", "b", 500, 20)])
        self.broken("awaited", action("epoch_closed", epoch=1))
        a = self.after()
        a.commit(a.closed())
        a.commit(action("epoch_closed", epoch=1))
        self.broken("not open", action("epoch_closed", epoch=1))
        a = self.after()
        self.broken("not open", action("epoch_closed", epoch=2))

    def test_a_new_epoch_does_not_fall_behind(self):
        for floor, why in ((30, None), (29, "below closed_through")):
            a = self.after()
            a.heartbeat(30)
            a.commit(a.closed())
            a.commit(action("epoch_closed", epoch=1))
            a.commit(a.epoch(epoch=2, floor=floor, created=40), a.opened("t", epoch=2, floor=max(floor, 30)))
            self.fails(why) if why else self.holds(closed=30)

    def test_no_shard_in_no_epoch(self):
        self.archive.commit(self.archive.opened())
        self.fails("not open")
        a = self.after()
        a.commit(a.closed())
        a.commit(action("epoch_closed", epoch=1))
        self.broken("not open", a.opened("t", start=7, floor=0))

    def test_a_shard_opens_once(self):
        a = self.after()
        self.broken("opened before", a.opened("s", rank=1))

    def test_a_child_opens_after_its_parent_closed(self):
        a = self.after()
        self.broken("parent is open", a.opened("c", rank=1, **CHILD))
        a = self.after()
        a.commit(a.closed())
        a.commit(a.opened("c", rank=1, **CHILD))
        self.holds()

    def test_lower_bounds_of_an_opening(self):
        for why, members in {
            "rank": dict(rank=0), "floor is too low": dict(floor=29, cut=29), "cut": dict(cut=19), None: dict(rank=5, floor=31, cut=31),
            "": dict(cut=20),
        }.items():
            a = self.after()
            a.changes([change(3, "INSERT", "a", A1, None, 20)])
            a.heartbeat(30)
            a.commit(a.closed())
            a.commit(a.opened("c", **dict(CHILD, rank=1, floor=30, cut=30) | members))
            self.fails(why) if why else self.holds(closed=30)

    def test_the_parents_floor_bounds_the_childs(self):
        a = self.archive
        a.commit(a.epoch(), a.empty(), a.opened("s"), a.opened("t", start=50, rank=1))
        a.heartbeat(30, shard="s")
        a.commit(a.closed("s"))
        a.commit(a.opened("c", rank=1, floor=29, cut=29, **CHILD))
        self.fails("parent's")

    def test_nothing_lies_before_a_start_of_zero(self):
        a = self.archive
        a.commit(a.epoch(), a.empty(), a.opened(start=0))
        a.through["s"] = 0
        a.changes(FIRST)
        self.holds()

    def test_a_root_has_a_rank_of_its_own(self):
        a = self.after()
        self.broken("rank", a.opened("t", start=50, rank=0))

    def test_closing(self):
        a = self.after()
        self.broken("differs", action("shard_closed", epoch=1, shard="s", through="1"))
        a = self.after()
        self.broken("not in the log", action("shard_closed", epoch=1, shard="t", through="0"))
        a = self.after()
        a.commit(a.closed())
        self.broken("closed", a.closed())

    def test_release(self):
        a = self.after()
        self.broken("open or released", a.released())
        a = self.after()
        a.commit(a.closed())
        a.commit(a.released())
        self.broken("open or released", a.released())

    def test_heartbeats(self):
        a = self.after()
        self.broken("differs", action("heartbeat", epoch=1, shard="s", through="1", floor=at(5), settle=5))
        a = self.after()
        a.heartbeat(10)
        self.broken("raise", a.beat(10))
        a = self.after()
        a.commit(a.closed())
        self.broken("closed", a.beat(10))

    def test_a_sequence_number_is_a_number(self):
        a = self.after()
        a.through["s"] = "000"
        a.heartbeat(5)
        self.holds(closed=5)

    def test_closed_through_is_the_least_floor(self):
        a = self.after()
        a.commit(a.opened("t", start=50, rank=1))
        a.heartbeat(30)
        self.assertEqual(self.holds(closed=-1).proven_through, self.holds().closed_through)
        a.heartbeat(20, shard="t")
        self.holds(closed=20)
        a.commit(a.closed("t"))
        a.heartbeat(50)
        self.holds(closed=20)
        a.commit(a.released("t"))
        self.holds(closed=50)
        a.commit(a.awaited("c", "gone", 500, 60))
        self.holds(closed=50)
        a.heartbeat(90)
        self.holds(closed=60)
        a.commit(a.closed())
        a.commit(a.released())
        self.holds(closed=60)

    def test_with_no_shard_counted_it_stays(self):
        a = self.after()
        a.heartbeat(30)
        a.commit(a.closed())
        a.commit(a.released())
        self.holds(closed=30)
        a.commit(action("epoch_closed", epoch=1))
        self.holds(closed=30)

    def test_predicates_see_the_closed_through_of_the_entry_before(self):
        """A heartbeat and an opening in one entry: the opening is judged by what was closed before both."""
        a = self.after()
        a.commit(a.beat(30), a.opened("t", start=50, rank=1))
        self.holds(closed=-1)

    def test_actions_see_those_before_them(self):
        a = self.after()
        a.commit(a.closed(), a.opened("c", rank=1, **CHILD))
        self.holds()
        a = self.after()
        opening = a.opened("c", rank=1, **CHILD)
        self.broken("parent is open", opening, a.closed())

    def test_proven_through_ignores_heartbeats(self):
        a = self.after()
        a.heartbeat(30)
        self.assertEqual(log.rfc3339(self.holds(closed=30).proven_through), at(-1))
        a.changes([change(3, "INSERT", "a", A1, None, 40)])
        self.assertEqual(log.rfc3339(self.holds(closed=39).proven_through), at(39))
        a.heartbeat(60)
        a.commit(a.closed())
        a.commit(a.opened("c", rank=1, floor=60, cut=40, **CHILD))
        a.commit(a.released())
        self.assertEqual(log.rfc3339(self.holds(closed=60).proven_through), at(39))
        a.commit(a.awaited("d", "gone", 500, 60))
        a.changes([change(101, "INSERT", "b", B1, None, 70, shard="c", rank=1)], shard="c")
        self.assertEqual(log.rfc3339(self.holds(closed=60).proven_through), at(39))

    def test_a_gap_that_keeps_the_floor_proves_nothing(self):
        a = self.after()
        a.heartbeat(30)
        a.commit(a.lost(31, 33, 4, keep=(-1, 30)))
        self.assertEqual(log.rfc3339(self.holds(closed=30).proven_through), at(-1))
        a.commit(a.lost(31, 50, 5))
        self.assertEqual(log.rfc3339(self.holds(closed=49).proven_through), at(49))


class Unlisted(Given):
    """Awaited, unlisted and barred shards."""

    def test_an_awaited_shard_opens_as_it_was_awaited(self):
        for why, members in {
            None: {}, "awaited": dict(floor=41, cut=41), "awaited (start)": dict(start=501), "awaited (parent)": dict(parent="other"),
            "unlisted": dict(unlisted=None), "cut": dict(cut=39), "rank": dict(rank=0),
        }.items():
            a = self.after([self.archive.awaited("c", "gone", 500, 40)])
            a.heartbeat(60)
            members = dict(parent="gone", start=500, floor=40, cut=40, rank=1, unlisted=True) | members
            a.commit(a.opened("c", **{k: v for k, v in members.items() if v is not None}))
            self.fails(why.split(" (")[0]) if why else self.holds(closed=40)

    def test_what_may_be_awaited(self):
        a = self.after()
        self.broken("stands already", a.awaited("s", "gone", 500, 0))
        a = self.after([self.archive.awaited("c", "gone", 500, 40)])
        self.broken("stands already", a.awaited("c", "gone", 500, 40))
        a = self.after()
        self.broken("not unlisted", a.awaited("c", "s", 500, 40))
        a = self.after([self.archive.awaited("c", "gone", 500, 40)])
        a.commit(a.awaited("d", "c", 600, 40))
        self.holds()
        a = self.after()
        a.heartbeat(40)
        self.broken("too low", a.awaited("c", "gone", 500, 39))

    def test_a_child_of_an_unlisted_parent_is_awaited_first(self):
        a = self.after()
        self.broken("awaited first", a.opened("c", parent="gone", start=500, rank=1, unlisted=True))
        self.setUp()
        a = self.archive
        a.commit(a.epoch(), a.empty(), a.opened("c", parent="gone", start=500, unlisted=True))
        manifest = self.holds()
        self.assertEqual(manifest.shards[1, "c"].sure, manifest.epochs[1]["floor"])

    def test_unlisted_says_what_the_log_knows(self):
        self.archive.commit(self.archive.epoch(), self.archive.empty(), self.archive.opened("c", parent="gone", start=500))
        self.fails("`unlisted`")
        self.setUp()
        self.archive.commit(self.archive.epoch(), self.archive.empty(), self.archive.opened("c", start=500, unlisted=True))
        self.fails("`unlisted`")

    def test_the_cut_of_an_unlisted_shard_follows_what_ended_before_it(self):
        for cut, why in ((45, "cut"), (46, None)):
            a = self.after()
            a.changes([change(3, "INSERT", "a", A1, None, 46)])
            a.commit(a.awaited("c", "gone", 500, 45))
            a.commit(a.opened("c", parent="gone", start=500, floor=45, cut=cut, rank=1, unlisted=True))
            self.fails(why) if why else self.holds()

    def test_an_awaited_shard_waits_for_its_parent(self):
        a = self.after([self.archive.awaited("c", "p", 500, 40)])
        a.commit(a.opened("p", start=400, rank=1))
        opening = lambda: a.opened("c", parent="p", start=500, floor=40, cut=40, rank=2, unlisted=True)
        a.commit(opening())
        self.fails("parent is open")
        a = self.after([self.archive.awaited("c", "p", 500, 40)])
        a.commit(a.opened("p", start=400, rank=1))
        a.commit(a.closed("p"))
        a.commit(opening())
        self.assertIsNone(self.holds().shards[1, "c"].sure)

    def barred(self, a, *, shard="p", start=300, through=350, keep=(-1, -1), closes=True, reason="barred", end=60, **members):
        opening = a.opened(shard, **dict(start=start, rank=2, barred=True) | members)
        gap = a.lost(0, end, through, shard=shard, keep=keep, reason=reason)
        return [opening, gap] + ([a.closed(shard)] if closes else [])

    def with_unlisted(self):
        a = self.after([self.archive.awaited("c", "p", 500, 0)])
        a.commit(a.opened("c", parent="p", start=500, floor=0, cut=0, rank=1, unlisted=True))
        return a

    def test_a_barred_shard(self):
        a = self.with_unlisted()
        a.commit(*self.barred(a))
        manifest = self.holds()
        self.assertEqual(manifest.gaps[0].reason, "barred")
        self.assertEqual(manifest.shards[1, "p"].floor, manifest.epochs[1]["floor"])
        self.refuses(-1, "gap") if manifest.closed_through < manifest.gaps[0].from_cut - 1 else None

    def test_barred_with_a_named_parent_that_is_not_in_the_log(self):
        a = self.with_unlisted()
        a.commit(*self.barred(a, parent="older", unlisted=True))
        self.assertIsNone(self.holds().shards[1, "p"].sure)

    def test_broken_bars(self):
        for why, members in {
            "not closed": dict(closes=False), "without a shard": dict(start=501, through=505),
            "cut and floor": dict(keep=(60, 59)), "barred gap": dict(reason="possibly_trimmed"),
        }.items():
            with self.subTest(why):
                a = self.with_unlisted()
                self.broken(why, *self.barred(a, **members))
        a = self.after()
        self.broken("without a shard", *self.barred(a, rank=1))
        a = self.with_unlisted()
        self.broken("only be barred", a.opened("p", start=300, rank=2))
        a = self.with_unlisted()
        a.commit(a.awaited("e", "gone", 300, 0))
        self.broken("what was awaited", *self.barred(a, shard="e", parent="gone", unlisted=True))
        a = self.after()
        self.broken("barred gap", a.lost(0, 10, 5, reason="barred", keep=(-1, -1)))

    def test_a_barred_shard_is_never_read(self):
        a = self.with_unlisted()
        opening = a.opened("p", start=300, rank=2, barred=True)
        rows = a.rows([change(301, "INSERT", "a", A1, None, 3, shard="p", rank=2)], shard="p")
        self.broken("never read", opening, rows, a.closed("p"))


class Spans(Given):
    """Spans and gaps."""

    def test_rows_hold(self):
        a = self.after()
        a.changes(FIRST)
        a.changes(SECOND)
        self.holds(closed=5)

    def test_spans_chain(self):
        for after in ("1", "4294967296"):
            a = self.after()
            self.broken("chain", a.rows(FIRST, after=after))
        a = self.after()
        a.changes(FIRST)
        self.broken("chain", a.rows(SECOND, after="0"))

    def test_a_sequence_number_has_forty_digits(self):
        a = self.after()
        high = 10**39 + 7
        a.changes([change(high, "INSERT", "a", A1, None, 1)])
        self.holds()

    def test_only_a_gap_is_empty(self):
        a = self.after()
        self.broken("empty", action("segments", segments=[], spans=[dict(epoch=1, shard="s", after="0", through="0", rows=1, cut=at(5))]))
        a = self.after()
        self.broken("rows and gap", action("segments", segments=[], spans=[dict(epoch=1, shard="s", after="0", through="4", rows=0, cut=at(5))]))
        a = self.after()
        self.broken("rows and gap", a.lost(0, 5, 4, rows=1))
        a = self.after()
        a.commit(a.lost(0, 5, 0))
        self.holds(closed=4)

    def test_rows_belong_to_spans(self):
        a = self.after()
        self.broken("outside", a.rows(FIRST, rows=3))
        a = self.after()
        meta = a.segment(f"raw/dt={DAY}/x.parquet", FIRST, "raw")
        self.broken("outside", action("segments", segments=[meta], spans=[]))

    def test_closed_shards_take_no_rows(self):
        a = self.after()
        a.commit(a.closed())
        self.broken("closed", a.rows(FIRST))
        a = self.after()
        self.broken("not in the log", a.rows(FIRST, shard="s", epoch=1) | dict(spans=[dict(epoch=1, shard="t", after="0", through="2", rows=2, cut=at(1))]))

    def test_cut_does_not_fall(self):
        a = self.after()
        a.heartbeat(5)
        self.broken("floor", a.rows(FIRST, cut=at(5)))
        a = self.after()
        a.changes(SECOND[:1])
        self.broken("cut", a.rows(SECOND[1:], cut=at(4)))

    def test_floor_belongs_to_gaps_and_unknown_to_rows(self):
        a = self.after()
        self.broken("floor", a.rows(FIRST, floor=at(0)))
        a = self.after()
        self.broken("floor", a.lost(0, 5, 4, floor=None))
        a = self.after()
        self.broken("unknown", a.lost(0, 5, 4, unknown=[at(5)]))

    def test_gaps_begin_behind_the_floor(self):
        for start, why in ((0, None), (1, "behind the floor"), (-1, "behind the floor")):
            a = self.after()
            a.commit(a.lost(start, 5, 4))
            self.fails(why) if why else self.holds(closed=4)
        a = self.after()
        self.broken("behind the floor", a.lost(0, -1, 4))

    def test_a_gap_begins_above_closed_through(self):
        """Otherwise an answer that was final would change; only an awaited floor can lie so low."""
        a = self.after()
        a.commit(a.awaited("c", "gone", 500, -1))
        a.heartbeat(30)
        a.commit(a.opened("c", parent="gone", start=500, floor=-1, rank=1, unlisted=True))
        a.commit(a.lost(0, 5, 499, shard="c", keep=(-1, -1)))
        self.holds(closed=-1)

    def test_a_gap_keeps_or_lifts(self):
        for keep, reason, why in (
            ((5, 4), "possibly_trimmed", None), ((-1, -1), "possibly_trimmed", None), ((5, 5), "possibly_trimmed", "cut and floor"),
            ((4, 3), "possibly_trimmed", "cut and floor"), ((6, 5), "possibly_trimmed", "cut and floor"), ((5, 4), "not_found", None),
            ((-1, -1), "not_found", "cut and floor"),
        ):
            a = self.after()
            a.commit(a.lost(0, 5, 4, keep=keep, reason=reason))
            self.fails(why) if why else self.holds()

    def test_gaps_are_numbered_in_order(self):
        a = self.after()
        gap = a.lost(0, 5, 4)
        rows = a.rows([unknown(5, 7), unknown(6, 9)], unknown=[at(7), at(9)])
        a.commit(action("segments", segments=rows["segments"], spans=gap["spans"] + rows["spans"]))
        manifest = self.holds()
        self.assertEqual([(g.id, g.from_cut - log.second(at(0)), g.to_cut - log.second(at(0))) for g in manifest.gaps], [("1.0", 0, 5), ("1.1", 7, 7), ("1.2", 9, 9)])
        a.commit(action("gap_acknowledged", gap="1.2", reason="seen"))
        self.assertEqual(self.holds().gaps[2].acknowledged, "seen")
        self.broken("no such gap", action("gap_acknowledged", gap="1.3", reason="seen"))

    def test_unknown_seconds_lie_in_their_span(self):
        for second, why in ((7, None), (8, "outside"), (-1, "outside")):
            a = self.after()
            a.commit(a.rows([unknown(5, 7)], unknown=[at(second)]))
            self.fails(why) if why else self.holds()

    def test_late_intervals_are_not_empty(self):
        a = self.after()
        self.broken("late", a.rows(FIRST, late=[interval(5, 5)]))

    def test_paths_are_named_once_and_stay_inside(self):
        a = self.after()
        a.changes(FIRST, path=f"raw/dt={DAY}/x.parquet")
        self.broken("named before", a.rows(SECOND, path=f"raw/dt={DAY}/x.parquet"))
        for path in (f"raw/dt={DAY}/../../x.parquet", f"raw/dt={DAY}//x.parquet", f"raw/dt={DAY}/./x.parquet"):
            a = self.after()
            self.broken("leads out", a.rows(FIRST, path=path))

    def test_rows_come_in_raw_files(self):
        a = self.after()
        self.broken("not raw", a.rows(FIRST, segment=dict(tier="rest")))
        for path in (f"raw/dt={NEXT_DAY}/x.parquet", "raw/x.parquet", f"sealed/dt={DAY}/x.parquet"):
            a = self.after()
            self.broken("not raw", a.rows(FIRST, path=path, segment=dict(dt=DAY)))

    def test_sure(self):
        a = self.after()
        sure = lambda shard="s": self.holds().shards[1, shard].sure - log.second(at(0))
        self.assertEqual(sure(), -1)
        a.changes([change(3, "INSERT", "a", A1, None, 1000)])
        self.assertEqual(sure(), 700)
        a.changes([change(4, "INSERT", "b", B1, None, 2000, changed_at=(log.second(at(0)) + 1000) * 10**6)], late=[interval(995, 2000)])
        self.assertEqual(sure(), 700)
        a.heartbeat(2000)
        self.assertEqual(sure(), 1700)
        a.commit(a.lost(2001, 2005, 8, keep=(2000, 2000)))
        self.assertEqual(sure(), 1700)
        a.commit(a.lost(2001, 3000, 9))
        self.assertEqual(sure(), 2999)
        a.commit(a.closed())
        a.commit(a.opened("c", rank=1, floor=2999, cut=3000, **CHILD))
        self.assertEqual(sure("c"), 2999)


class Objects(Given):
    """Seals, bases, collection."""

    def day(self, *, empty=False):
        """A day that can be sealed."""
        a = self.after()
        if not empty:
            a.changes(FIRST)
            a.changes(SECOND)
        a.heartbeat(DAY_END)
        return a

    def test_a_seal(self):
        a = self.day()
        a.seal([by_reference(SECOND[0]), SECOND[1]], [FIRST[0], FIRST[1]])
        manifest = self.holds(closed=DAY_END)
        self.assertEqual(sorted(m["tier"] for m in manifest.segments.values()), ["heads", "rest"])
        self.expect(5, {"a": A2, "b": B1}, "forward")

    def test_a_day_without_rows_is_sealed_too(self):
        a = self.day(empty=True)
        a.seal([], [])
        self.assertEqual(self.holds().sealed, {DAY: []})
        self.assertIsNone(self.holds().sealed_rows_through)

    def test_when_a_day_can_be_sealed(self):
        a = self.after()
        a.heartbeat(DAY_END - 1)
        self.broken("still change", a.seal_started())
        for day in ("2026-11-21", NEXT_DAY):
            a = self.day()
            self.broken("next day", a.seal_started(day))
        a = self.day(empty=True)
        a.seal([], [])
        self.broken("next day", a.seal_started(DAY, []))
        a = self.day()
        a.commit(a.seal_started())
        self.broken("another seal", a.seal_started())

    def test_the_inputs_of_a_seal_are_the_days_raw_files(self):
        for change_inputs in (lambda i: i[1:], lambda i: i + i[:1], lambda i: i + ["raw/x"]):
            a = self.day()
            inputs = sorted(log.read(self.store, FOLDER).live_raw(DAY))
            self.broken("inputs", a.seal_started(inputs=change_inputs(inputs)))

    def test_a_seal_conserves(self):
        changed = change(3, "MODIFY", "a", A2, A1, 6)
        for heads, rest in (([SECOND[0]], FIRST), ([changed, SECOND[1]], FIRST), (SECOND, FIRST + FIRST[:1]), ([], [])):
            a = self.day()
            a.commit(a.sealed(a.commit(a.seal_started()), heads, rest))
            self.fails("conserve")

    def test_the_outputs_of_a_seal(self):
        for why, spoil in {
            "no output": lambda s: s[0].update(tier="raw"), "no output ": lambda s: s[0].update(dt=NEXT_DAY), "lacks": lambda s: s[0].pop("rows_root"),
            "lacks ": lambda s: s[0].pop("bucket"), "named before": lambda s: s[0].update(path=s[1]["path"]),
            "of that seal": lambda s: s[0].update(path=s[0]["path"].replace(DAY, NEXT_DAY)),
            "of that seal ": lambda s: s[0].update(path=s[0]["path"].replace("-0.parquet", "9-0.parquet")),
        }.items():
            with self.subTest(why):
                a = self.day()
                seal = a.sealed(a.commit(a.seal_started()), SECOND, FIRST)
                spoil(seal["segments"])
                self.broken(why.strip(), seal)

    def test_a_seal_needs_its_intent(self):
        a = self.day()
        n = a.commit(a.seal_started())
        self.broken("no such", a.sealed(n + 1, SECOND, FIRST))
        a = self.day()
        n = a.commit(a.seal_started())
        a.commit(action("intent_abandoned", intent=n))
        self.broken("no such", a.sealed(n, SECOND, FIRST))
        a = self.after()
        self.broken("no such", action("intent_abandoned", intent=0))
        a = self.after()
        n = a.commit(a.base_started(-1))
        self.broken("no such", a.sealed(n, [], []))

    def test_no_row_enters_a_sealed_day(self):
        late = [change(5, "INSERT", "c", image("c", "1"), None, DAY_END)]
        a = self.day()
        a.commit(a.seal_started())
        self.broken("being sealed", a.rows(late))
        a = self.day()
        a.seal(SECOND, FIRST)
        self.broken("sealed day", a.rows(late))
        a = self.day()
        a.seal(SECOND, FIRST)
        a.changes([change(5, "INSERT", "c", image("c", "1"), None, DAY_END + 1)])
        self.holds()

    def test_an_empty_base(self):
        for why, spoil in {
            None: {}, "before the stream": dict(complete_at=at(0)), "before the stream ": dict(fence=at(-2)), "no empty base": dict(intent=0),
        }.items():
            self.setUp()
            a = self.archive
            a.commit(a.epoch(), a.empty() | spoil, a.opened())
            self.fails(why.strip()) if why else self.holds()

    def test_what_an_empty_base_has_seen(self):
        for why, checked in {
            "not made together": dict(table_created=at(2)), "made together": dict(stream_created=at(1)), "too old": dict(at=at(23 * 3600 + 2401)),
            "not empty": dict(not_restored=False), "not empty ": dict(no_replicas=False), None: dict(table_created=at(1), at=at(23 * 3600 + 2400)),
        }.items():
            with self.subTest(why):
                self.setUp()
                a = self.archive
                a.commit(a.epoch(), a.empty(**checked), a.opened())
                self.fails(why.strip()) if why else self.holds()

    def test_an_empty_base_stands_in_the_first_epochs_entry(self):
        self.archive.start(empty_base=False)
        self.archive.commit(self.archive.empty())
        self.fails("outside")
        self.setUp()
        self.archive.commit(self.archive.epoch(), self.archive.empty(), self.archive.empty(), self.archive.opened())
        self.fails("no empty base")

    def based(self, *, fence=20, complete=30, kind="scan", items=None, started=None, before=(), **members):
        a = self.after(*before)
        a.heartbeat(20)
        n = a.commit(a.base_started(fence, kind, **(started or {})))
        a.heartbeat(max(30, complete) if kind == "export" else 30)
        meta = a.base_segment(f"base/at=2026-11-22T100000Z/bucket=000/{n}-0.parquet", items or {})
        a.commit(action("base", intent=n, kind=kind, fence=at(fence), complete_at=at(complete), segments=[meta]) | members)
        return a

    def test_a_base(self):
        self.based()
        self.holds()
        self.based(kind="export", complete=620)
        self.holds()
        self.based(kind="archive", complete=20)
        self.holds()

    def test_broken_bases(self):
        for why, members in {
            "not complete at": dict(complete=31), "not complete at closed": dict(complete=19), "complete at its fence": dict(kind="archive"),
            "checked": dict(checked=self.archive.empty()["checked"]), "slack": dict(started=dict(slack=11)), "slack ": dict(started=dict(started=at(31))),
        }.items():
            with self.subTest(why):
                self.based(**members)
                self.fails(why.strip())
        self.based(kind="export", complete=619)
        self.fails("slack")
        self.based(intent=0)
        self.fails("no such")

    def test_a_base_keeps_to_its_intent(self):
        for members in (dict(fence=19), dict(kind="export")):
            a = self.after()
            a.heartbeat(20)
            n = a.commit(a.base_started(20))
            a.heartbeat(30)
            members = dict(kind="scan", fence=20) | members
            a.commit(action("base", intent=n, kind=members["kind"], fence=at(members["fence"]), complete_at=at(30), segments=[]))
            self.fails("differs")

    def test_a_scan_is_finished_by_who_began_it(self):
        for kind, why in (("scan", "another"), ("export", None)):
            a = self.after()
            a.heartbeat(20)
            n = a.commit(a.base_started(20, kind))
            a.writer = "another"
            complete = 620 if kind == "export" else 30
            a.heartbeat(complete)
            a.commit(action("base", intent=n, kind=kind, fence=at(20), complete_at=at(complete), segments=[]))
            self.fails(why) if why else self.holds()

    def test_when_a_base_can_start(self):
        a = self.after()
        self.broken("above closed_through", a.base_started(0))
        a = self.after()
        self.broken("no intent", a.base_started(-1, "empty"))
        a = self.after()
        near = dict(time=at(298), token="t", bucket="b", prefix="p")
        self.broken("too near", a.base_started(-1, "export", export=near))
        a = self.after()
        self.broken("what was exported", a.base_started(-1, "scan", export=near))
        a = self.after()
        a.commit(a.lost(0, 50, 4, keep=(-1, -1)))
        self.broken("reaches beyond", a.base_started(-1))
        a = self.after()
        a.commit(a.lost(0, 50, 4, keep=(-1, -1)))
        a.commit(a.base_started(-1, "archive"))
        self.holds()

    def test_a_gap_drops_a_base(self):
        a = self.after()
        a.heartbeat(20)
        n = a.commit(a.base_started(20))
        a.commit(a.lost(21, 25, 4))
        a.heartbeat(30)
        a.commit(action("base", intent=n, kind="scan", fence=at(20), complete_at=at(30), segments=[]))
        self.fails("meets")

    def test_segments_of_a_base(self):
        for why, members in (
            ("no segment", dict(tier="heads")), ("lacks", dict(rows_root=None)), ("lacks", dict(bucket=None)),
            ("no segment", dict(path="base/at=x/bucket=000/9-0.parquet")), ("no segment", dict(path="bases/at=x/bucket=000/2-0.parquet")),
        ):
            a = self.after()
            a.heartbeat(20)
            n = a.commit(a.base_started(20))
            meta = a.base_segment(f"base/at=x/bucket=000/{n}-0.parquet", {"a": A1}) | members
            a.commit(action("base", intent=n, kind="scan", fence=at(20), complete_at=at(20), segments=[{k: v for k, v in meta.items() if v is not None}]))
            self.fails(why)

    def test_what_may_be_collected(self):
        orphan = f"raw/dt={DAY}/orphan.parquet"
        a = self.after()
        a.commit(action("collect", paths=[orphan]))
        self.holds()
        self.broken("named before", a.rows(FIRST, path=orphan))
        a = self.after()
        a.changes(FIRST, path=f"raw/dt={DAY}/x.parquet")
        self.broken("in use", action("collect", paths=[f"raw/dt={DAY}/x.parquet"]))
        a = self.based(items={})
        self.broken("in use", action("collect", paths=[log.read(self.store, FOLDER).bases[-1].segments[0]["path"]]))

    def test_outputs_of_open_intents_are_not_collected(self):
        a = self.day()
        n = a.commit(a.seal_started())
        output = f"sealed/dt={DAY}/part=heads/bucket=000/{n}-0.parquet"
        self.broken("open intent", action("collect", paths=[output]))
        a = self.day()
        n = a.commit(a.seal_started())
        a.commit(action("intent_abandoned", intent=n))
        a.commit(action("collect", paths=[output]))
        self.holds()

    def test_raw_inputs_stay_until_a_later_day_with_rows_is_sealed(self):
        a = self.day()
        inputs = sorted(log.read(self.store, FOLDER).live_raw(DAY))
        a.seal(SECOND, FIRST)
        self.broken("no later day", action("collect", paths=inputs))
        a = self.day()
        a.seal(SECOND, FIRST)
        a.heartbeat(DAY_END + 86400)
        a.seal([], [], NEXT_DAY)
        self.broken("no later day", action("collect", paths=inputs))
        a = self.day()
        a.seal(SECOND, FIRST)
        rows = [change(5, "INSERT", "c", image("c", "1"), None, DAY_END + 1)]
        a.changes(rows)
        a.heartbeat(DAY_END + 86400)
        a.seal(rows, [], NEXT_DAY)
        a.commit(action("collect", paths=inputs))
        self.holds()
        sealed = [p for p in log.read(self.store, FOLDER).segments if p.startswith("sealed")]
        self.broken("in use", action("collect", paths=sealed[:1]))

    def test_coverage_and_definition_are_carried(self):
        a = self.after()
        table = dict(TableName="orders", KeySchema=[dict(AttributeName="pk", KeyType="HASH")], AttributeDefinitions=[dict(AttributeName="pk", AttributeType="S")],
                     BillingMode="PAY_PER_REQUEST", ProvisionedThroughput=None, GlobalSecondaryIndexes=[], LocalSecondaryIndexes=[])
        a.commit(action("definition", at=at(5), table=table), action("coverage_ended", reason="unselected"))
        manifest = self.holds()
        self.assertEqual((manifest.definition["table"], manifest.coverage_ended), (table, "unselected"))
        a.heartbeat(20)
        self.assertIsNone(self.holds().coverage_ended, "it is archived again")
        a.commit(action("coverage_ended", reason="stream_disabled"))
        a.heartbeat(30)
        self.assertEqual(self.holds().coverage_ended, "stream_disabled", "what the stream still had")
        self.broken("form", action("coverage_ended", reason="bored"))


if __name__ == "__main__":
    unittest.main()
