"""Voids, and the way past entries without effect."""

import unittest

import folds
import log
from hand import A1, B1, C1, DAY, DAY_END, FIRST, FOLDER, NEXT_DAY, SECOND, T0, Case, action, at, change


class Voids(Case):
    def test_a_void_takes_its_range_out(self):
        a = self.archive
        a.start()
        a.changes(FIRST)
        a.heartbeat(9)
        a.heartbeat(40)
        a.void(3, 3)
        self.holds(closed=9)
        a.heartbeat(20)
        self.holds(closed=20)
        self.expect(15, {"a": A1, "b": B1}, "forward")

    def test_rows_and_gaps_of_the_range_are_gone(self):
        a = self.archive
        a.start()
        a.changes(FIRST)
        a.commit(a.lost(1, 30, 9))
        a.changes([change(10, "INSERT", "c", C1, None, 35)])
        a.void(2, 3)
        a.through["s"] = 2
        manifest = self.holds(closed=0)
        self.assertEqual((manifest.gaps, manifest.rows, len(manifest.segments)), ([], 2, 1))
        a.changes(SECOND)
        self.holds(closed=5)

    def test_garbage_is_passed_by_the_void_that_covers_it(self):
        a = self.archive
        a.start()
        a.heartbeat(9)
        a.put_entry(b"garbage")
        a.void(2, 2)
        a.heartbeat(20)
        self.holds(closed=20)

    def test_without_a_void_the_prefix_is_served(self):
        a = self.archive
        a.start()
        a.heartbeat(9)
        a.put_entry(b"garbage")
        a.heartbeat(20)
        self.fails("hash", where=2)
        self.refuses(15, "after closed_through.*hash")

    def test_the_chain_goes_over_voided_bytes(self):
        a = self.archive
        a.start()
        a.put_entry(b"garbage")
        a.void(1, 1)
        a.heartbeat(20)
        with a.altered(f"{FOLDER}/log/{1:020}.entry", lambda blob: blob + b"x"):
            self.fails("hash", where=1)
        self.holds(closed=20)

    def test_the_first_valid_void_counts(self):
        """A void that leaves a broken log is itself without effect; a later one may do."""
        a = self.archive
        a.start()
        a.put_entry(b"garbage")
        a.commit(a.beat(5))
        a.commit(a.beat(5))
        a.void(1, 1)
        self.fails("hash", where=1)
        a.void(1, 4)
        a.heartbeat(20)
        self.holds(closed=20)

    def test_a_void_of_a_broken_predicate(self):
        a = self.archive
        a.start()
        a.heartbeat(9)
        a.commit(a.beat(9))
        a.void(2, 2)
        self.holds(closed=9)

    def test_a_voided_action_needs_nothing(self):
        a = self.archive
        a.start()
        a.commit(dict(action="hologram", need="read"))
        a.commit(v=2)
        a.void(1, 2)
        a.heartbeat(5)
        self.assertEqual(self.holds(closed=5).unknown, [])

    def test_what_a_void_must_be(self):
        for low, high in ((2, 1), (1, 3), (1, 2)):
            with self.subTest(low=low, high=high):
                self.setUp()
                self.archive.start()
                self.archive.heartbeat(5)
                self.archive.void(low, high)
                self.fails("range")
        self.setUp()
        a = self.archive
        a.start()
        a.heartbeat(5)
        a.commit(action("void", **{"from": 1, "to": 1}, reason="x"), a.beat(9))
        self.fails("alone")
        a.heartbeat(9)
        self.fails("alone", where=2)

    def test_a_void_that_others_stand_on_is_invalid(self):
        a = self.archive
        a.start()
        a.changes(FIRST)
        a.changes(SECOND)
        a.void(1, 1)
        self.fails("chain")
        a.void(1, 2)
        self.fails("chain", where=3)
        a.void(1, 3)
        manifest = self.holds(closed=-1)
        self.assertEqual(manifest.rows, 0)

    def test_the_first_entry_can_be_voided_with_all_that_follows(self):
        a = self.archive
        a.start()
        a.heartbeat(7)
        a.void(0, 1)
        manifest = log.read(self.store, FOLDER)
        self.assertEqual((manifest.stopped, manifest.shards, manifest.closed_through), (None, {}, T0 + 7))

    def test_a_base_that_leans_on_the_range(self):
        a = self.archive
        a.start()
        a.heartbeat(20)
        a.base(20, 20, {})
        a.void(1, 1)
        self.fails("closed_through")
        a.void(1, 3)
        self.fails("closed_through", where=4)

    def test_used_paths_stay_used(self):
        a = self.archive
        a.start()
        a.changes(FIRST, path=f"raw/dt={DAY}/x.parquet")
        a.void(1, 1)
        a.through["s"] = 0
        self.holds(closed=-1)
        _, parts = folds.dump(log.read(self.store, FOLDER))
        self.assertEqual(parts[DAY]["retired"], [f"raw/dt={DAY}/x.parquet"])
        a.changes(FIRST, path=f"raw/dt={DAY}/x.parquet")
        self.fails("named before")

    def test_collects_are_never_undone(self):
        a = self.archive
        a.start()
        a.commit(action("collect", paths=[f"raw/dt={DAY}/x.parquet"]))
        a.void(1, 1)
        self.holds()
        a.changes(FIRST, path=f"raw/dt={DAY}/x.parquet")
        self.fails("named before")

    def test_intents_end(self):
        a = self.archive
        a.start()
        a.changes(FIRST)
        a.heartbeat(DAY_END)
        n = a.commit(a.seal_started())
        a.heartbeat(DAY_END + 10)
        a.void(4, 4)
        self.assertEqual(self.holds(closed=DAY_END).intents, {})
        a.commit(a.sealed(n, FIRST, []))
        self.fails("no such")

    def test_floors_stay_behind_sealed_days(self):
        a = self.archive
        a.start()
        a.changes(FIRST)
        a.heartbeat(DAY_END + 100)
        a.seal(FIRST, [])
        a.void(2, 2)
        self.fails("still change")

    def test_a_floor_is_lifted_to_the_sealed_second(self):
        """The shard that a void brings back to life had a floor below the day that is sealed by now."""
        a = self.archive
        a.commit(a.epoch(), a.empty(), a.opened("s"), a.opened("t", start=50, rank=1))
        a.changes(FIRST)
        a.commit(a.closed("t"))
        a.commit(a.released("t"))
        a.heartbeat(DAY_END)
        a.seal(FIRST, [])
        a.void(3, 3)
        self.fails("still change")
        a = self.archive
        self.setUp()
        a = self.archive
        a.start()
        a.heartbeat(DAY_END)
        a.commit(a.awaited("c", "gone", 500, DAY_END))
        a.seal([], [])
        a.heartbeat(DAY_END + 50)
        a.void(5, 5)
        self.holds(closed=DAY_END)

    def test_sealing_undone(self):
        a = self.archive
        a.start()
        a.changes(FIRST)
        a.heartbeat(DAY_END)
        a.seal(FIRST, [])
        a.void(3, 4)
        self.assertEqual(self.holds(closed=DAY_END).sealed, {})
        self.expect(5, {"a": A1, "b": B1}, "forward")
        a.seal(FIRST, [])
        self.holds(closed=DAY_END)

    def test_a_collected_path_does_not_come_to_life_again(self):
        a = self.archive
        a.start()
        a.changes(FIRST)
        a.heartbeat(DAY_END)
        inputs = sorted(log.read(self.store, FOLDER).live_raw(DAY))
        a.seal(FIRST, [])
        rows = [change(5, "INSERT", "c", C1, None, DAY_END + 1)]
        a.changes(rows)
        a.heartbeat(DAY_END + 86400)
        a.seal(rows, [], NEXT_DAY)
        a.commit(action("collect", paths=inputs))
        self.holds()
        a.void(3, a.n - 1)
        self.fails("live again")

    def test_voids_add_up(self):
        a = self.archive
        a.start()
        a.heartbeat(9)
        a.heartbeat(40)
        a.void(2, 2)
        a.heartbeat(20)
        a.heartbeat(60)
        a.void(5, 5)
        self.holds(closed=20)
        a.void(1, 1)
        self.holds(closed=20)

    def test_a_void_is_not_undone_by_another(self):
        a = self.archive
        a.start()
        a.heartbeat(9)
        a.heartbeat(40)
        a.void(2, 2)
        a.void(3, 3)
        self.holds(closed=9)

    def test_with_no_shard_counted_closed_through_stays(self):
        a = self.archive
        a.start()
        a.heartbeat(20)
        a.commit(a.closed())
        a.commit(a.released())
        a.heartbeat(30) if False else a.commit()
        a.void(4, 4)
        self.holds(closed=20)

    def test_acknowledgements_of_the_range_are_gone(self):
        a = self.archive
        a.start()
        a.commit(a.lost(0, 5, 4))
        a.commit(action("gap_acknowledged", gap="1.0", reason="fine"))
        a.void(2, 2)
        self.assertIsNone(self.holds().gaps[0].acknowledged)
        a.void(1, 1)
        self.holds()
        a.through["s"] = 0
        a.commit(action("gap_acknowledged", gap="1.0", reason="fine"))
        self.fails("no such gap")

    def test_late_labels_of_the_range_are_gone(self):
        a = self.archive
        a.start()
        a.commit(a.lost(0, 5, 4))
        self.assertEqual(len(self.holds().late), 1)
        a.void(1, 1)
        self.assertEqual(self.holds().late, [])


if __name__ == "__main__":
    unittest.main()
