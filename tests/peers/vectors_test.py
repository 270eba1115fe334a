"""The published vectors, computed again."""

import json
import unittest

import canonical
import segments
import timing
import vectors
from moments import second


def published(name):
    return json.loads((vectors.OUT / f"{name}.json").read_text(encoding="utf-8"))["cases"]


class Published(unittest.TestCase):
    def test_every_file_is_what_this_program_computes(self):
        self.assertEqual({path.stem for path in vectors.OUT.glob("*.json")}, set(vectors.VECTORS) | {"cut_at"})
        for name, cases in vectors.VECTORS.items():
            self.assertEqual((vectors.OUT / f"{name}.json").read_text(encoding="utf-8"), vectors.text(cases), name)

    def test_equal_values_have_equal_bytes(self):
        same = canonical.value_bytes
        self.assertEqual(same({"NS": ["10", "1.0"]}), same({"NS": ["1", "1E1"]}))
        self.assertEqual(same({"M": {"a": {"N": "0"}, "b": {"NULL": True}}}), same({"M": {"b": {"NULL": True}, "a": {"N": "-0.0"}}}))
        self.assertNotEqual(same({"S": "1"}), same({"N": "1"}))
        self.assertNotEqual(same({"L": [{"S": "ab"}]}), same({"L": [{"S": "a"}, {"S": "b"}]}))
        self.assertNotEqual(same({"SS": ["a"]}), same({"SS": ["a", "a"]}))
        images = [case["digest"] for case in published("image_digest")]
        self.assertEqual((images[2], images[5], images[8]), (images[3], images[6], images[9]))

    def test_numbers_are_canonical_without_floats(self):
        values = sorted(["10", "-2", "9", "0.5", "-0.25", "0", "-10"], key=canonical.ordered)
        self.assertEqual(values, ["-10", "-2", "-0.25", "0", "0.5", "9", "10"])

    def test_a_sum_sees_duplicates_and_a_tree_sees_order(self):
        digests = [case["digest"] for case in published("row_digest")]
        self.assertEqual(len(set(digests)), len(digests))
        of = {json.dumps(case["rows"]): case for case in published("rows_root")}
        self.assertEqual(len({case["root"] for case in of.values()}), len(of))
        bases = published("base_row_digest")
        self.assertEqual(bases[2]["digest"], bases[3]["digest"])

    def test_the_tree_of_rfc_6962(self):
        """The published example of RFC 6962's reference implementation, with leaves as they are there."""
        leaves = [b"", b"\0", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43", b"\x50\x51\x52\x53\x54\x55\x56\x57", bytes(range(0x60, 0x70))]
        self.assertEqual(segments.tree([]).hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        self.assertEqual(segments.tree(leaves[:1]).hex(), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")
        self.assertEqual(segments.tree(leaves).hex(), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328")

    def test_cut_at(self):
        for case in published("cut_at"):
            cut, floor, epoch_floor = (second(case[name]) for name in ("cut", "floor", "epoch_floor"))
            rows, lifted, ahead = [], 0, 0
            for row in case["rows"]:
                changed, now = int(row["changed_at_micros"]), second(row["at"])
                cut = timing.cut_at(changed, now, cut, floor)
                self.assertEqual(cut, second(row["cut_at"]), case["why"])
                rows.append((changed, cut))
                lifted += timing.lifted(changed, cut, epoch_floor) > 0
                ahead += changed // 10**6 - now > timing.AHEAD
            self.assertEqual((lifted, ahead), (case["lifted"], case["ahead"]), case["why"])
            self.assertEqual(timing.late(rows, epoch_floor), [(second(i["from"]), second(i["to"])) for i in case["late"]], case["why"])

    def test_cut_at_takes_each_branch(self):
        took = set()
        for case in published("cut_at"):
            cut, floor = second(case["cut"]), second(case["floor"])
            for row in case["rows"]:
                changed, now = int(row["changed_at_micros"]) // 10**6, second(row["at"])
                bounds = dict(stamp=changed if changed <= now else None, page=now if now < changed else None, cut=cut, floor=floor + 1)
                cut = second(row["cut_at"])
                took.add(next(name for name, bound in bounds.items() if bound == cut))
        self.assertEqual(took, {"stamp", "page", "cut", "floor"})


if __name__ == "__main__":
    unittest.main()
