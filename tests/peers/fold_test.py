"""Folds and packs: another way into the same manifest, never another manifest."""

import unittest
from unittest import mock

import folds
import log
import replayer
import shape
from hand import (A1, A2, B1, C1, DAY, DAY_END, FIRST, FOLDER, KEYS, NEXT_DAY, SECOND, T0, Case, action, at, by_reference, change, interval, unknown)
from moments import Newer, Refused


class Folds(Case):
    def everything(self):
        """A log in which every member of a fold has something to hold."""
        a = self.archive
        a.commit(a.epoch(), a.empty(), a.opened("s"), a.opened("u", start=900, rank=1, parent="gone", unlisted=True))
        a.changes([*FIRST, unknown(3, 3)], unknown=[at(3)])
        a.changes([change(4, "INSERT", "c", C1, None, 900, changed_at=(T0 + 10) * 10**6)], late=[interval(5, 900)])
        a.commit(a.lost(900, 950, 7), action("coverage_ended", reason="stream_disabled"))
        a.commit(action("gap_acknowledged", gap="3.0", reason="fine"), dict(action="hologram", need="none", deep=dict(x=[1, None])))
        a.commit(a.closed("s"), a.opened("c", start=100, rank=1, parent="s", floor=949, cut=950))
        a.commit(a.released("s"), a.awaited("w", "lost", 2000, 950))
        a.heartbeat(DAY_END, shard="c")
        a.heartbeat(DAY_END, shard="u")
        return a

    def same(self, **options):
        """By folds and by entries the manifest is one."""
        by_entries, by_folds = log.read(self.store, FOLDER), folds.open_at_tail(self.store, FOLDER)
        self.assertIsNotNone(by_folds, "the fold was not used")
        self.assertEqual(folds.comparable(*folds.dump(by_folds)), folds.comparable(*folds.dump(by_entries)))
        self.assertEqual(by_folds.paths, by_entries.paths)
        return by_folds

    def test_every_member_survives(self):
        a = self.everything()
        a.fold()
        a.heartbeat(DAY_END + 1, shard="c")
        root = folds.dump(self.same())[0]
        self.assertTrue(all(root[name] for name in ("epochs", "shards", "awaited", "gaps", "late", "bases", "rows", "unknown", "coverage_ended")), root)
        self.holds()

    def test_seals_intents_and_names_survive(self):
        a = self.archive
        a.start()
        a.changes(FIRST + SECOND)
        a.heartbeat(DAY_END)
        a.seal([by_reference(SECOND[0]), SECOND[1]], FIRST)
        a.base(DAY_END, DAY_END, {"a": A2})
        rows = [change(9, "INSERT", "c", C1, None, DAY_END + 5)]
        a.changes(rows)
        voided = a.changes([change(10, "INSERT", "b", B1, None, DAY_END + 6)])
        a.void(voided, voided)
        a.through["s"] = 9
        a.heartbeat(DAY_END + 86400)
        a.commit(a.seal_started(NEXT_DAY))
        a.commit(a.base_started(DAY_END))
        a.commit(action("collect", paths=[f"raw/dt={DAY}/orphan.parquet", "repair/gap=1/x.parquet"]))
        a.fold()
        a.commit()
        manifest = self.same()
        root, parts = folds.dump(manifest)
        self.assertEqual(set(parts), {DAY, NEXT_DAY, "other"})
        self.assertTrue(parts[NEXT_DAY]["retired"] and parts[DAY]["sealed"] and parts["other"]["collected"])
        self.assertEqual(len(root["intents"]), 2)
        self.assertEqual((root["sealed_through"], root["sealed_rows_through"]), (DAY, DAY))
        self.holds()

    def test_what_is_dumped_is_what_the_schema_says(self):
        a = self.everything()
        root, parts = folds.dump(log.read(self.store, FOLDER))
        shape.is_a("fold.v1.schema.json", dict(root, parts=[]), "/$defs/root")
        for part in parts.values():
            shape.is_a("fold.v1.schema.json", part, "/$defs/part")

    def test_a_fold_that_says_something_else_is_found(self):
        for spoil in (
            lambda r: r.update(closed_through=at(5)), lambda r: r.update(rows=9), lambda r: r["shards"][0][1].update(sure=None), lambda r: r.update(gaps=[]),
            lambda r: r["shards"][0][1].update(through="8"), lambda r: r.update(sha256="0" * 64), lambda r: r.update(unknown=[]), lambda r: r.update(late=[]),
            lambda r: r["shards"][1][1].update(gaps=0), lambda r: r["epochs"]["1"].update(judged_in=None), lambda r: r.update(proven_through=at(5)),
        ):
            self.setUp()
            a = self.everything()
            a.fold(change_root=spoil)
            a.commit()
            with self.assertRaisesRegex(Refused, "something else than the log"):
                replayer.check(self.table())
            self.judged_alike(False)

    def test_a_part_that_says_something_else_is_found(self):
        a = self.everything()
        a.fold(change_part=lambda p: p["segments"].pop())
        a.commit()
        self.unsound("something else")

    def test_a_fold_that_no_entry_names_does_not_exist(self):
        a = self.everything()
        a.fold(change_root=lambda r: r.update(closed_through=at(99 * 86400)))
        a.pointer = None
        a.commit()
        self.assertIsNone(folds.open_at_tail(self.store, FOLDER))
        self.refuses(2 * DAY_END, "closed_through", by="folds")
        self.holds()

    def test_a_missing_or_altered_fold_is_not_used(self):
        a = self.everything()
        a.fold()
        a.heartbeat(DAY_END + 1, shard="c")
        want = log.read(self.store, FOLDER).closed_through
        for path in [p for p in a.objects() if "/fold/" in p]:
            for spoil in (lambda _: None, lambda blob: blob[:-1], lambda blob: blob + b"x"):
                with a.altered(path, spoil):
                    self.assertIsNone(folds.open_at_tail(self.store, FOLDER))
                    self.assertEqual(log.read(self.store, FOLDER, by="folds").closed_through, want)

    def test_entries_after_a_fold_chain_on_it(self):
        a = self.everything()
        a.fold(change_root=lambda r: r.update(sha256="0" * 64))
        a.commit()
        self.assertIsNone(folds.open_at_tail(self.store, FOLDER))

    def test_a_void_behind_a_fold_needs_the_whole_log(self):
        a = self.everything()
        n = a.heartbeat(DAY_END + 50, shard="c")
        a.fold()
        a.void(n, n)
        a.commit()
        self.assertIsNone(folds.open_at_tail(self.store, FOLDER))
        self.assertEqual(log.read(self.store, FOLDER, by="folds").shards[1, "c"].floor, T0 + DAY_END)
        self.holds()

    def test_carried_actions_are_obeyed(self):
        a = self.archive
        a.start()
        a.fold(change_root=lambda r: r.update(unknown=[dict(n=0, name="hologram", need="read", json='{"action":"hologram"}')]))
        a.commit()
        with self.assertRaisesRegex(Newer, "hologram"):
            log.read(self.store, FOLDER, by="folds")

    def test_a_fold_after_a_fold(self):
        a = self.everything()
        a.fold()
        a.heartbeat(DAY_END + 1, shard="c")
        a.fold()
        a.heartbeat(DAY_END + 2, shard="c")
        self.assertEqual(self.same().fold["n"], a.n - 2)
        self.assertEqual(folds.compare(self.store, FOLDER), 2)
        self.holds()


class Packs(Case):
    """Ten thousand entries are many for a test: four here."""

    def setUp(self):
        super().setUp()
        patch = mock.patch.object(log, "PACKED", 4)
        patch.start()
        self.addCleanup(patch.stop)

    def build(self, entries=9):
        a = self.archive
        a.start()
        for i in range(entries - 1):
            a.heartbeat(i + 1)
        return a

    def by_packs(self):
        manifest = log.read(self.store, FOLDER, by="packs")
        self.assertEqual(folds.comparable(*folds.dump(manifest)), folds.comparable(*folds.dump(log.read(self.store, FOLDER))))
        return manifest

    def test_packs_stand_for_their_slots(self):
        a = self.build()
        a.pack(0, 4)
        a.pack(4, 4)
        self.assertEqual(len(log.packed(self.store, FOLDER)), 8)
        self.assertEqual(self.by_packs().next, 9)
        slots = [f"{FOLDER}/log/{n:020}.entry" for n in range(8)]
        with a.altered(slots[2], lambda blob: b"never read"):
            self.assertEqual(log.read(self.store, FOLDER, by="packs").next, 9)

    def test_entries_of_a_pack_must_chain_on_a_slot(self):
        for spoil in (lambda b: [b[1], b[0], *b[2:]], lambda b: [*b[:3], b[3] + b"x"], lambda b: [b"", *b[1:]], lambda b: b[:3]):
            self.setUp()
            a = self.build()
            a.pack(0, 4, spoil)
            self.assertEqual(self.by_packs().next, 9)
            with self.assertRaisesRegex(Refused, "does not hold the entries"):
                replayer.check(self.table())

    def test_a_torn_pack(self):
        a = self.build()
        a.pack(0, 4)
        path = f"{FOLDER}/pack/{0:010}-{3:010}.zst"
        for spoil in (lambda b: b[:-4], lambda b: b"", lambda b: b"x" * 40):
            with a.altered(path, spoil):
                self.assertEqual(log.packed(self.store, FOLDER), [])
                self.assertEqual(self.by_packs().next, 9)
                with self.assertRaises(Refused):
                    replayer.check(self.table())

    def test_a_log_that_ends_with_a_pack(self):
        """The last entry has no slot behind it that binds the pack: slots are read."""
        a = self.build(4)
        a.pack(0, 4)
        self.assertEqual(self.by_packs().next, 4)


if __name__ == "__main__":
    unittest.main()
