"""The examples of `schemas/README.md`: each is what the schemas and this reader say it is."""

import hashlib
import json
import re
import unittest

import canonical
import folds
import log
import segments
import shape
from shape import SCHEMAS, document

PAGE = (SCHEMAS / "README.md").read_text(encoding="utf-8")


def blocks(label):
    return re.findall(rf"```{label}\n(.*?)\n```", PAGE, re.S)


def actions():
    return [json.loads(line) for block in blocks("json action") for line in block.splitlines()]


def worked():
    """The manifest after the worked example's entries."""
    blobs = [body.encode() + b"\n" for body in blocks(r"entry \d+")]
    return log.History([log.Slot(n, blob) for n, blob in enumerate(blobs)]).fold(), blobs


class Examples(unittest.TestCase):
    def test_every_action_has_one_and_each_is_well_formed(self):
        known = {name.removeprefix("action_") for name in document("entry.v1.schema.json")["$defs"] if name.startswith("action_")} - {"unknown"}
        self.assertEqual({a["action"] for a in actions()}, known)
        for example in actions():
            shape.is_a("entry.v1.schema.json", example, f"/$defs/action_{example['action']}")
            self.assertIn("need", example)

    def test_every_member_and_every_case_occurs(self):
        shown = {(a["action"], member) for a in actions() for member in a}
        for name, schema in document("entry.v1.schema.json")["$defs"].items():
            if name.startswith("action_") and name != "action_unknown":
                for member in schema["properties"]:
                    self.assertIn((name.removeprefix("action_"), member), shown)
        spans = [span for a in actions() if a["action"] == "segments" for span in a["spans"]]
        self.assertEqual({span["gap"]["reason"] for span in spans if "gap" in span}, {"possibly_trimmed", "not_found", "barred"})
        lifts = {(span["gap"]["reason"], span["cut"] == span["gap"]["to_cut"]) for span in spans if "gap" in span}
        self.assertEqual(lifts, {("possibly_trimmed", True), ("possibly_trimmed", False), ("not_found", True), ("barred", False)})
        self.assertTrue({"late", "unknown"} <= {member for span in spans for member in span})
        self.assertEqual({a["kind"] for a in actions() if a["action"] in ("base", "base_started")}, {"empty", "scan", "export", "archive"})

    def test_gaps_follow_their_rules(self):
        second = log.second
        for span in (s for a in actions() if a["action"] == "segments" for s in a["spans"]):
            if "gap" not in span:
                continue
            start, late = second(span["gap"]["from_cut"]), span["late"]
            self.assertEqual([second(i["to"]) for i in late], [start])
            if span["gap"]["reason"] != "barred":
                self.assertEqual([second(i["from"]) for i in late], [start - 900])

    def test_the_birth_certificate(self):
        (text,) = blocks("json archive")
        shape.is_a("archive.v1.schema.json", json.loads(text))

    def test_the_entries(self):
        manifest, blobs = worked()
        self.assertIsNone(manifest.stopped)
        self.assertEqual((manifest.next, len(blobs)), (2, 2))
        for blob in blobs:
            self.assertIn(f"{len(blob):08x} 7b 22 76", PAGE)

    def test_the_fold(self):
        manifest, _ = worked()
        (root,), (part,) = blocks("json fold"), blocks("json part")
        want_root, want_parts = folds.dump(manifest)
        self.assertEqual(json.loads(part), want_parts["2026-11-22"])
        named = json.loads(root)["parts"]
        self.assertEqual(json.loads(root), dict(want_root, parts=named))
        shape.is_a("fold.v1.schema.json", json.loads(root), "/$defs/root")
        shape.is_a("fold.v1.schema.json", json.loads(part), "/$defs/part")
        text = part.encode()
        frame = bytes.fromhex("28b52ffd60") + (len(text) - 256).to_bytes(2, "little") + (8 * len(text) + 1).to_bytes(3, "little") + text
        self.assertEqual(log.unzstd(frame), text)
        self.assertEqual([p["sha256"] for p in named], [hashlib.sha256(frame).hexdigest()])

    def test_every_member_of_a_fold_is_explained(self):
        section = PAGE.split("## 14. Folds and packs")[1].split("\n## ")[0]
        for member in document("fold.v1.schema.json")["$defs"]["root"]["properties"]:
            self.assertRegex(section, rf"\| [^|]*`{member}`[^|]* \|", member)
        for member in document("fold.v1.schema.json")["$defs"]["part"]["properties"]:
            self.assertIn(member, section)

    def test_the_unknown_row(self):
        (text,) = blocks("json row")
        row = json.loads(text)
        self.assertEqual(list(row), segments.names_of("segment"))
        images = ("kind", "new_image", "new_digest", "old_image", "old_delta", "old_digest")
        segments.check_images(dict(path="the page", tier="raw"), [], (None, None), *(row[n] for n in images))

    def test_the_numbers_in_the_text(self):
        self.assertEqual(canonical.value_bytes({"N": "1.0"}).hex(), "4e0000000131")
        self.assertEqual(canonical.value_bytes({"SS": ["b", "a"]}).hex(), "535300000002000000016100000001" + "62")
        self.assertEqual(canonical.key_part("S", "a").hex(), "530000000161")

    def test_every_file_beside_the_page_is_named_on_it(self):
        for path in [*SCHEMAS.glob("*.json"), *(SCHEMAS / "vectors").glob("*.json")]:
            self.assertIn(path.stem if path.parent.name == "vectors" else path.name, PAGE)

    def test_every_section_is_in_the_contents(self):
        for number, title in re.findall(r"^## (\d+)\. (.*)$", PAGE, re.M):
            self.assertIn(f"[{number} {title.lower()}](#{number}-{title.lower().replace(' ', '-')})", PAGE.lower())


if __name__ == "__main__":
    unittest.main()
