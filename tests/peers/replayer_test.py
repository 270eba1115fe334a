#!/usr/bin/env python3
"""The independent reader against archives made by hand, so that its own faults do not hide ours.

    replayer_test.py            all tests of the reader, those of the log, of voids, folds, rows and vectors among them
    TAILRACE=…/tailrace replayer_test.py        the same, and the binary must judge every archive alike
"""

import os
import sys
import unittest

import log
import replayer
from hand import A1, A2, A3, B1, C1, FIRST, SECOND, T0, Case, action, at, change, interval, unknown


class Replays(Case):
    """The image at T."""

    def test_forward_from_the_empty_base(self):
        self.archive.start()
        self.archive.changes(FIRST)
        self.archive.changes(SECOND)
        self.archive.heartbeat(20)
        self.expect(0, {}, "forward")
        self.expect(1, {"a": A1, "b": B1}, "forward")
        self.expect(4, {"a": A1, "b": B1}, "forward")
        self.expect(5, {"a": A2, "b": B1}, "forward")
        self.expect(20, {"a": A2}, "forward")
        self.refuses(21, "after closed_through")
        self.refuses(-2, "gap|no base")
        self.holds(closed=20)

    def test_proven_answers_wait_for_rows(self):
        self.archive.start()
        self.archive.changes(FIRST)
        self.archive.heartbeat(20)
        table = self.table()
        self.assertEqual(len(replayer.image_at(table, T0, proven=True)[0]), 0)
        with self.assertRaisesRegex(log.Refused, "proven_through"):
            replayer.image_at(table, T0 + 1, proven=True)

    def test_the_last_change_wins_by_position(self):
        self.archive.start()
        self.archive.changes([change(9, "MODIFY", "a", A3, A2, 5), change(8, "MODIFY", "a", A2, A1, 5), change(7, "INSERT", "a", A1, None, 5)])
        self.archive.heartbeat(9)
        self.expect(5, {"a": A3}, "forward")

    def test_ranks_order_shards(self):
        """A child's change comes after its parent's, whatever the sequence numbers and seconds say."""
        a = self.archive
        a.start()
        a.changes([change(99, "INSERT", "a", A1, None, 5)])
        a.commit(a.closed())
        a.commit(a.opened("c", start=100, rank=1, floor=4, cut=5, parent="s"))
        a.changes([change(101, "MODIFY", "a", A2, A1, 5, shard="c", rank=1)], shard="c")
        a.heartbeat(9, shard="c")
        a.commit(a.released())
        self.expect(5, {"a": A2}, "forward")
        self.holds(closed=9)

    def test_a_base_supersedes_what_its_fence_covers(self):
        self.archive.start()
        self.archive.changes(FIRST)
        self.archive.heartbeat(20)
        self.archive.base(20, 20, {"c": C1})
        self.archive.heartbeat(30)
        self.expect(25, {"c": C1}, "forward from the scan base of entry 4")
        self.expect(19, {"a": A1, "b": B1}, "forward from the empty base")

    def test_changes_after_the_fence_beat_the_base(self):
        self.archive.start()
        self.archive.changes(FIRST)
        self.archive.heartbeat(4)
        n = self.archive.commit(self.archive.base_started(4))
        self.archive.changes(SECOND)
        self.archive.heartbeat(20)
        meta = self.archive.base_segment(f"base/at=x/bucket=000/{n}-0.parquet", {"a": A1, "b": B1})
        self.archive.commit(action("base", intent=n, kind="scan", fence=at(4), complete_at=at(20), segments=[meta]))
        self.archive.heartbeat(30)
        self.expect(25, {"a": A2}, "forward from the scan")
        self.holds()

    def test_of_equal_bases_the_last_counts(self):
        self.archive.start()
        self.archive.heartbeat(20)
        self.archive.base(20, 20, {"a": A1})
        self.archive.base(20, 20, {"a": A2})
        self.expect(20, {"a": A2}, "forward from the scan base of entry 5")

    def test_backward_through_old_images_to_a_later_base(self):
        self.archive.start(empty_base=False)
        self.archive.changes(FIRST)
        self.archive.changes(SECOND)
        self.archive.heartbeat(20)
        self.archive.base(20, 20, {"a": A2, "c": C1})
        self.archive.heartbeat(30)
        self.expect(0, {"c": C1}, "backward")
        self.expect(1, {"a": A1, "b": B1, "c": C1}, "backward")
        self.expect(3, {"a": A1, "b": B1, "c": C1}, "backward")
        self.expect(5, {"a": A2, "b": B1, "c": C1}, "backward")
        self.expect(30, {"a": A2, "c": C1}, "forward")
        self.refuses(-1, "gap")

    def test_backward_takes_the_first_change_after(self):
        a = self.archive
        a.start(empty_base=False)
        a.changes([change(5, "MODIFY", "a", A2, A1, 7), change(6, "MODIFY", "a", A3, A2, 8), change(7, "INSERT", "b", B1, None, 9), change(8, "REMOVE", "c", None, C1, 9)])
        a.heartbeat(20)
        a.base(20, 20, {"a": A3, "b": B1})
        self.expect(6, {"a": A1, "c": C1}, "backward")
        self.expect(7, {"a": A2, "c": C1}, "backward")

    def test_backward_goes_to_the_first_base_only(self):
        a = self.archive
        a.start(empty_base=False)
        a.heartbeat(20)
        a.base(20, 20, {"a": A1})
        a.changes([change(5, "MODIFY", "a", A2, A1, 25)])
        a.heartbeat(40)
        a.base(40, 40, {"a": A2})
        self.expect(10, {"a": A1}, "backward to the scan base of entry 3")

    def test_an_old_image_that_was_not_sent(self):
        a = self.archive
        a.start(empty_base=False)
        a.changes([change(5, "MODIFY", "a", A2, None, 7)])
        a.heartbeat(20)
        a.base(20, 20, {"a": A2})
        self.refuses(6, "not sent")
        self.expect(7, {"a": A2}, "backward")

    def test_a_stream_without_old_images_goes_forward_only(self):
        a = self.archive
        a.start(empty_base=False, view_type="NEW_IMAGE")
        a.heartbeat(20)
        a.base(20, 20, {"a": A2})
        self.refuses(6, "no old images")
        self.expect(20, {"a": A2}, "forward")

    def test_no_base(self):
        self.archive.start(empty_base=False)
        self.archive.heartbeat(20)
        self.refuses(10, "no base")

    def test_an_empty_base_knows_its_first_second(self):
        for empty in (True, False):
            self.setUp()
            a = self.archive
            a.start(empty_base=empty)
            a.heartbeat(20)
            a.base(20, 20, {"a": A1})
            self.expect(-1, {}, "forward") if empty else self.refuses(-1, "gap")
            self.expect(0, {}, "forward") if empty else self.expect(0, {"a": A1}, "backward")
            self.refuses(-2, "gap")

    def test_lifted_seconds_count(self):
        """`cut_at`, not the stamp, says to which second a change belongs; the label says that it came late."""
        a = self.archive
        a.start()
        a.heartbeat(400)
        a.changes([change(1, "INSERT", "a", A1, None, 401, changed_at=(T0 + 50) * 10**6)], late=[interval(45, 401)])
        a.heartbeat(500)
        self.expect(400, {}, "forward.*late")
        self.expect(45, {}, "forward.*late")
        self.expect(401, {"a": A1}, "forward")
        self.expect(44, {}, "forward")
        for offset, late in ((44, False), (45, True), (400, True), (401, False)):
            self.assertEqual("late" in self.items(offset)[1], late)
        self.holds()


class Gaps(Case):
    def test_a_gap_refuses_what_it_makes_unknown(self):
        self.archive.start()
        self.archive.changes(FIRST)
        self.archive.gap(1, 10, 2)
        self.archive.heartbeat(30)
        self.expect(0, {}, "forward")
        self.refuses(1, "gap 2.0|no base")
        self.refuses(15, "gap 2.0|no base")

    def test_a_gap_that_a_person_accepts(self):
        self.archive.start()
        self.archive.changes(FIRST)
        self.archive.gap(1, 10, 2)
        self.archive.heartbeat(30)
        self.expect(15, {"a": A1, "b": B1}, "forward", accepted=["2.0"])
        self.refuses(15, "gap|no base", accepted=["2.1"])

    def test_an_acknowledgement_leaves_the_gap(self):
        self.archive.start()
        self.archive.gap(0, 10, 2)
        self.archive.heartbeat(30)
        self.archive.commit(action("gap_acknowledged", gap="1.0", reason="fine"))
        self.refuses(15, "gap|no base")

    def test_a_base_behind_a_gap_serves_again(self):
        self.archive.start()
        self.archive.changes(FIRST)
        self.archive.gap(1, 10, 2)
        self.archive.heartbeat(30)
        self.archive.base(30, 30, {"b": B1})
        self.archive.heartbeat(40)
        self.expect(35, {"b": B1}, "forward")
        self.expect(12, {"b": B1}, "backward")
        self.expect(10, {"b": B1}, "backward")
        self.refuses(9, "gap")
        self.refuses(5, "gap")

    def test_a_gap_behind_the_next_change_hides_keys_nobody_knows(self):
        """`a` is known at 5 by its insertion at 10; but what lived at 5 and vanished in the gap, nobody can say."""
        a = self.archive
        a.start(empty_base=False)
        a.changes([change(1, "INSERT", "a", A1, None, 10)])
        a.heartbeat(10)
        a.gap(11, 12, 2)
        a.heartbeat(20)
        a.base(20, 20, {"a": A1})
        self.refuses(5, "gap")

    def test_an_unknown_record_is_a_gap_of_its_second(self):
        a = self.archive
        a.start()
        a.changes([*FIRST, unknown(3, 4)], unknown=[at(4)])
        a.heartbeat(20)
        self.holds()
        self.expect(3, {"a": A1, "b": B1}, "forward")
        self.refuses(4, "no base")
        a.base(20, 20, {"a": A1})
        self.expect(4, {"a": A1}, "backward")
        self.expect(20, {"a": A1}, "forward")

    def test_epoch_borders(self):
        a = self.archive
        a.start()
        a.changes([change(1, "INSERT", "a", A1, None, 8)])
        a.heartbeat(20)
        a.commit(a.closed())
        a.commit(action("epoch_closed", epoch=1))
        self.expect(20, {"a": A1}, "forward")
        a.commit(a.epoch(epoch=2, floor=30, created=30), a.opened("n", epoch=2, floor=30))
        a.heartbeat(60, shard="n", epoch=2)
        self.expect(20, {"a": A1}, "forward")
        self.refuses(21, "no base")
        self.refuses(60, "no base")
        a.base(60, 60, {"a": A2})
        self.refuses(30, "gap")
        self.expect(31, {"a": A2}, "backward")
        self.expect(60, {"a": A2}, "forward")
        self.holds(closed=60)

    def test_a_border_reaches_to_the_greatest_cut(self):
        a = self.archive
        a.commit(a.epoch(), a.empty(), a.opened("s"), a.opened("t", start=50, rank=1))
        a.changes([change(1, "INSERT", "a", A1, None, 40)])
        a.commit(a.closed("s"), a.closed("t"))
        a.commit(action("epoch_closed", epoch=1))
        a.commit(a.epoch(epoch=2, floor=30, created=30), a.opened("n", epoch=2, floor=30))
        a.heartbeat(60, shard="n", epoch=2)
        border = next(g for g in self.table().manifest.all_gaps() if g.id.startswith("between"))
        self.assertEqual((border.from_cut - T0, border.to_cut - T0), (0, 40))
        a.base(60, 60, {"a": A1})
        self.refuses(39, "gap")
        self.expect(40, {"a": A1}, "backward")

    def test_a_border_is_open_until_there_is_a_next_epoch(self):
        a = self.archive
        a.start()
        a.commit(a.closed())
        a.commit(action("epoch_closed", epoch=1))
        border = next(g for g in self.table().manifest.all_gaps() if g.id.startswith("between"))
        self.assertEqual(border.to_cut, float("inf"))


class Sequences(Case):
    """The image at a sequence number."""

    def test_the_change_and_all_before_it(self):
        self.archive.start()
        self.archive.changes(FIRST)
        self.archive.changes(SECOND)
        self.archive.heartbeat(20)
        images = [sorted(key[0] for key in replayer.image_at_sequence(self.table(), n)[0]) for n in (1, 2, 3, 4)]
        self.assertEqual(images, [["a"], ["a", "b"], ["a", "b"], ["a"]])
        self.assertEqual(list(replayer.image_at_sequence(self.table(), 1, inclusive=False)[0]), [])
        with self.assertRaisesRegex(log.Refused, "0 changes"):
            replayer.image_at_sequence(self.table(), 5)

    def test_ancestors_count_and_siblings_do_not(self):
        a = self.archive
        a.start()
        a.commit(a.opened("t", start=50, rank=1))
        a.changes([change(1, "INSERT", "a", A1, None, 5)])
        a.changes([change(51, "INSERT", "b", B1, None, 5, shard="t", rank=1)], shard="t")
        a.commit(a.closed())
        a.commit(a.opened("c", start=100, rank=1, parent="s", floor=4, cut=5))
        a.changes([change(101, "INSERT", "c", C1, None, 5, shard="c", rank=1)], shard="c")
        a.heartbeat(9, shard="c")
        a.heartbeat(9, shard="t")
        got, _ = replayer.image_at_sequence(self.table(), 101)
        self.assertEqual(sorted(key[0] for key in got), ["a", "c"])

    def test_earlier_seconds_must_be_final(self):
        a = self.archive
        a.start()
        a.commit(a.opened("t", start=50, rank=1))
        a.changes(FIRST)
        with self.assertRaisesRegex(log.Refused, "closed_through"):
            replayer.image_at_sequence(self.table(), 1)

    def test_no_gap_may_lie_before_it(self):
        a = self.archive
        a.start()
        a.gap(0, 5, 3)
        a.changes([change(4, "INSERT", "a", A1, None, 9)])
        a.heartbeat(20)
        with self.assertRaisesRegex(log.Refused, "gap"):
            replayer.image_at_sequence(self.table(), 4)


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    unittest.main(module=None, argv=["replayer_test.py", "discover", "-s", here, "-p", "*_test.py", *sys.argv[1:]])
