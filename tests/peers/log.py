"""The commit log of one table: the bytes of its entries, the way past invalid ones, packs and folds as short cuts.

Written from `schemas/README.md` alone. `read` folds from entry 0; `read(…, by="folds")` opens the way a writer does.
Both give the same manifest, or the archive is wrong.
"""

import functools
import hashlib
import io
import struct
from dataclasses import dataclass

import pyarrow as pa

import shape
from manifest import Manifest
from moments import Invalid, Newer, Refused, parse, rfc3339, second, texts  # noqa: F401 (others import them from here)

VERSION = 1
PACKED = 10_000
# The head of the skippable zstd frame that holds the hash of a pack.
SKIPPED = bytes.fromhex("502a4d1820000000")


def sha256(blob):
    return hashlib.sha256(blob).hexdigest()


def unzstd(blob):
    """Decompresses; None if it cannot be."""
    try:
        return pa.CompressedInputStream(pa.BufferReader(blob), "zstd").read()
    except (OSError, pa.ArrowInvalid):
        return None


class Entry(dict):
    """An entry's members, and its text."""

    def __init__(self, members, text):
        super().__init__(members)
        self.text = text

    def texts(self):
        """Its actions, each as it is written."""
        return texts(self.text.decode(), "actions")


def split(blob, n):
    """The JSON of an entry's bytes, after its own hash was checked."""
    lines = blob.split(b"\n")
    if len(lines) != 3 or lines[2] or b"\r" in blob or sha256(lines[0]).encode() != lines[1]:
        raise Invalid(f"entry {n} fails its hash")
    try:
        entry = parse(lines[0])
    except (ValueError, RecursionError) as why:
        raise Invalid(f"entry {n}: {why}") from None
    if isinstance(entry, dict) and "v" in entry and (type(entry["v"]) is not int or entry["v"] != VERSION):
        raise Newer(f"entry {n} has version {entry['v']}: a newer program wrote it")
    try:
        shape.is_a("entry.v1.schema.json", entry)
    except shape.Misshapen as why:
        raise Invalid(f"entry {n}: {why}") from None
    entry = Entry(entry, text=lines[0])
    voids = [a for a in entry["actions"] if a["action"] == "void"]
    if voids and len(entry["actions"]) != 1:
        raise Invalid(f"entry {n}: a void does not stand alone")
    return entry


@dataclass
class Slot:
    """The bytes that lie at one number, and what they say or why they say nothing."""

    n: int
    blob: bytes

    @functools.cached_property
    def sha(self):
        return sha256(self.blob)

    @functools.cached_property
    def read(self):
        """(entry, fault)."""
        try:
            return split(self.blob, self.n), None
        except Refused as fault:
            return None, fault

    def entry(self, before):
        """The entry, if it follows the object whose hash is `before`."""
        entry, fault = self.read
        if fault:
            raise fault
        if entry["n"] != self.n or entry["prev_sha256"] != before:
            raise Invalid(f"entry {self.n} breaks the chain")
        return entry

    def void(self):
        entry, _ = self.read
        return next((a for a in entry["actions"] if a["action"] == "void"), None) if entry else None


def take(manifest, slot, skipped=False):
    """Folds one slot in; a skipped one counts with its number and hash only."""
    entry = None if skipped else slot.entry(manifest.tail)
    if entry is not None and slot.void():
        raise Invalid(f"entry {slot.n} is a void without effect")
    if entry is not None:
        manifest.apply(entry)
    manifest.next, manifest.tail = slot.n + 1, slot.sha
    manifest.version_id = None


class History:
    """All slots from entry 0, folded with every void in its place."""

    def __init__(self, slots):
        self.slots = slots
        self.voids = {}  # by entry: the range, and what stays whatever is taken out

    def state(self, upto, extra=(), voids=None):
        """The fold of the first `upto` slots, without what voids (and the ranges in `extra`) take out. `voids` gathers those that are met."""
        voids = dict(self.voids) if voids is None else voids
        ranges = [v["range"] for v in voids.values()] + list(extra)
        manifest = Manifest()
        for slot in self.slots[:upto]:
            if any(low <= slot.n <= high for low, high in ranges):
                take(manifest, slot, skipped=True)
            elif slot.n in voids:
                slot.entry(manifest.tail)
                self.settle(manifest, slot, voids[slot.n])
            elif slot.void():
                manifest = self.past(manifest, slot, ranges, voids)
                ranges.append(voids[slot.n]["range"])
            else:
                take(manifest, slot)
        return manifest

    def settle(self, manifest, slot, void):
        manifest.closed_through = void["closed_through"] if manifest.closed_through is None else manifest.closed_through
        manifest.point(slot.read[0]["fold"])
        manifest.at = slot.read[0]["at"]
        manifest.settle(void["paths"], void["collected"])
        known = {**self.voids, slot.n: void}
        manifest.voids = [{"n": n, "from": known[n]["range"][0], "to": known[n]["range"][1]} for n in sorted(known) if n <= slot.n]
        manifest.next, manifest.tail = slot.n + 1, slot.sha

    def past(self, before, slot, ranges, voids):
        """The state after the void in `slot`, if it is valid; `before` is the state that it changes."""
        action = slot.void()
        low, high = action["from"], action["to"]
        if not low <= high < slot.n:
            raise Invalid(f"entry {slot.n}: a void of a range that does not lie before it")
        after = self.state(slot.n, [*ranges, (low, high)], voids)
        slot.entry(after.tail)
        void = dict(range=(low, high), paths=before.paths | after.paths, collected=before.collected | after.collected, closed_through=before.closed_through)
        self.settle(after, slot, void)
        voids[slot.n] = void
        return after

    def over(self, before, slot):
        """`past` on the way through the log: a void that is valid stays in force."""
        voids = dict(self.voids)
        after = self.past(before, slot, [], voids)
        self.voids = voids
        return after

    def look_ahead(self, n):
        """The state after the first valid void that covers n, or None."""
        for slot in self.slots[n + 1:]:
            action = slot.void()
            if not action or not action["from"] <= n <= action["to"]:
                continue
            try:
                return self.over(self.state(n), slot)
            except Invalid:
                continue
        return None

    def states(self):
        """The manifest after every entry that is reached; the last one says in `stopped` why, if it is not the tail's."""
        manifest = Manifest()
        while manifest.next < len(self.slots):
            slot, n = self.slots[manifest.next], manifest.next
            try:
                if slot.void():
                    slot.entry(manifest.tail)
                    manifest = self.over(manifest, slot)
                else:
                    take(manifest, slot)
            except (Invalid, Newer) as fault:
                found = self.look_ahead(n)
                if found is None and isinstance(fault, Newer):
                    raise
                manifest = found or self.state(n)
                if found is None:
                    manifest.stopped = str(fault)
                    yield manifest
                    return
            yield manifest

    def fold(self):
        """What is true after the last entry that has an effect."""
        manifest = Manifest()
        for manifest in self.states():
            pass
        return manifest


def entry_path(folder, n):
    return f"{folder}/log/{n:020}.entry"


def birth(archive):
    """archive.json, if this program may read what it describes."""
    blob = archive.get_oldest("archive.json")
    if blob is None:
        raise Refused("this is no archive: archive.json is missing")
    body, _, tail = blob.rpartition(b',"sha256":"')
    if tail != sha256(body).encode() + b'"}\n':
        raise Refused("archive.json does not have its own hash")
    try:
        facts = parse(blob)
        newer = type(facts["format"]) is int and facts["format"] > 1
    except (ValueError, KeyError, TypeError):
        raise Refused("archive.json is not what the format says") from None
    if newer:
        raise Newer(f"the archive has format {facts['format']}, which is newer")
    try:
        shape.is_a("archive.v1.schema.json", facts)
    except shape.Misshapen as why:
        raise Refused(f"archive.json: {why}") from None
    return facts


def slots(archive, folder, first=0):
    """All slots from `first` to the tail. A listing is a hint, but one that shows a later entry proves a hole."""
    found = []
    while (blob := archive.get_oldest(entry_path(folder, first + len(found)))) is not None:
        found.append(Slot(first + len(found), blob))
    end = first + len(found)
    for name in archive.names(f"{folder}/log"):
        if name.endswith(".entry") and name[:-6].isdigit() and int(name[:-6]) > end:
            raise Refused(f"entry {end} is LOST: {name} stands behind it")
    return found


def unpack(blob, first):
    """The slots that a pack holds, or None if it is no pack, or does not have its own hash."""
    frame, hashed = blob[:-len(SKIPPED) - 32], blob[-len(SKIPPED) - 32:]
    if hashed != SKIPPED + hashlib.sha256(frame).digest() or (stream := unzstd(frame)) is None:
        return None
    found, source = [], io.BytesIO(stream)
    while head := source.read(4):
        if len(head) != 4 or len(body := source.read(struct.unpack(">I", head)[0])) != struct.unpack(">I", head)[0]:
            return None
        found.append(Slot(first + len(found), body))
    return found


def packed(archive, folder):
    """Slots from packs, from entry 0 on: they count once a slot that was read chains on them, so the reader compares its ends."""
    found = []
    while (blob := archive.get(f"{folder}/pack/{len(found):010}-{len(found) + PACKED - 1:010}.zst")) is not None:
        part = unpack(blob, len(found))
        if part is None or len(part) != PACKED:
            break
        found += part
    return found


def bound(found, after):
    """Packed slots are worth what the slots after them say of the last one."""
    before = after[0].read[0]["prev_sha256"] if after and after[0].read[0] else None
    for slot in reversed(found):
        if slot.sha != before or slot.read[0] is None:
            return False
        before = slot.read[0]["prev_sha256"]
    return before is None


def read(archive, folder, by="entries"):
    """The manifest of a table's log, checked from entry 0; `by`: "entries", "packs" or "folds"."""
    birth(archive)
    if by == "folds":
        import folds

        manifest = folds.open_at_tail(archive, folder)
        if manifest is not None:
            return manifest
    found = packed(archive, folder) if by == "packs" else []
    after = slots(archive, folder, len(found))
    if found and not bound(found, after):
        found, after = [], slots(archive, folder)
    history = History(found + after)
    if not history.slots:
        raise Refused(f"{folder} has no log")
    return history.fold()
