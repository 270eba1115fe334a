"""The commit log of one table, read and folded as `schemas/README.md` states it. Written from that page alone."""

import datetime
import hashlib
import json
from dataclasses import dataclass, field

VERSION = 1


class Refused(Exception):
    """The log does not allow an answer, or is not what the format says."""


def second(text):
    """RFC 3339 with Z and whole seconds -> seconds since 1970."""
    if not text.endswith("Z") or "." in text:
        raise Refused(f"{text!r} is no whole second in UTC")
    at = datetime.datetime.fromisoformat(text[:-1]).replace(tzinfo=datetime.timezone.utc)
    return int(at.timestamp())


def rfc3339(at):
    """Seconds since 1970 -> RFC 3339."""
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def unique(pairs):
    """Refuses repeated member names."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Refused("a member name is repeated")
    return members


@dataclass
class Shard:
    """One shard of the folded log."""

    parent: str | None
    unlisted: bool
    barred: bool
    rank: int
    start: int
    through: int
    floor: int
    cut: int
    closed: bool = False
    released: bool = False


@dataclass
class Gap:
    """Seconds `[from_cut, to_cut]` in which changes may be missing."""

    id: str
    reason: str
    from_cut: float
    to_cut: float

    def meets(self, after, through):
        """Whether it has a second in `(after, through]`."""
        return self.from_cut <= through and self.to_cut > after


@dataclass
class Base:
    """A committed image of the whole table."""

    n: int
    kind: str
    fence: int
    complete_at: int
    segments: list


@dataclass
class Manifest:
    """What the folded log says."""

    next: int = 0
    tail: str | None = None
    fold_n: int = -1
    epochs: dict = field(default_factory=dict)
    borders: dict = field(default_factory=dict)
    shards: dict = field(default_factory=dict)
    awaited: dict = field(default_factory=dict)
    gaps: list = field(default_factory=list)
    segments: dict = field(default_factory=dict)
    spans: list = field(default_factory=list)
    bases: list = field(default_factory=list)
    intents: dict = field(default_factory=dict)
    paths: set = field(default_factory=set)
    collected: set = field(default_factory=set)
    sealed: dict = field(default_factory=dict)
    acknowledged: dict = field(default_factory=dict)
    closed_through: int | None = None

    def check(self, holds, why):
        if not holds:
            raise Refused(f"entry {self.next}: {why}")

    def apply(self, entry):
        """Folds one entry in; raises Refused where a predicate does not hold."""
        self.before, self.gap_count = self.closed_through, 0
        if entry["fold"] is not None:
            self.check(entry["fold"]["n"] >= self.fold_n, "the fold pointer fell")
            self.fold_n = entry["fold"]["n"]
        for action in entry["actions"]:
            self.action(entry, action)
        self.check(all(s.closed for s in self.shards.values() if s.barred), "a barred shard is not closed in its entry")
        floors = [s.floor for key, s in self.shards.items() if not s.released and key[0] not in self.borders]
        floors += [floor for (epoch, _), (_, _, floor) in self.awaited.items() if epoch not in self.borders]
        if floors:
            lowest = min(floors)
            self.check(self.closed_through is None or lowest >= self.closed_through, "closed_through fell")
            self.closed_through = lowest

    def action(self, entry, action):
        handler = getattr(self, "on_" + action["action"], None)
        if handler is None:
            self.check(action.get("need", "read") != "read", f"unknown action {action['action']}, which readers need")
            return
        handler(entry, {k: v for k, v in action.items() if k not in ("action", "need")})

    def shard(self, a):
        shard = self.shards.get((a["epoch"], a["shard"]))
        self.check(shard is not None, f"shard {a['shard']} is not in the log")
        return shard

    def on_epoch_started(self, _, a):
        self.check(a["epoch"] == len(self.epochs) + 1, "epochs number without holes")
        self.check(all(e in self.borders for e in self.epochs), "the epoch before is still open")
        self.epochs[a["epoch"]] = dict(a, floor=second(a["floor"]), created=second(a["created"]), n=self.next)

    def on_epoch_closed(self, _, a):
        epoch = a["epoch"]
        self.check(epoch in self.epochs and epoch not in self.borders, "no such open epoch")
        self.check(all(s.closed for key, s in self.shards.items() if key[0] == epoch), "a shard is open")
        self.check(not any(key[0] == epoch for key in self.awaited), "a shard is awaited")
        self.borders[epoch] = self.before + 1

    def on_shard_awaited(self, _, a):
        key = (a["epoch"], a["shard"])
        self.check(key not in self.shards and key not in self.awaited, "the shard stands already")
        self.awaited[key] = (a["parent"], int(a["start"]), second(a["floor"]))

    def on_shard_opened(self, _, a):
        key = (a["epoch"], a["shard"])
        self.check(a["epoch"] in self.epochs and a["epoch"] not in self.borders, "the epoch is not open")
        self.check(key not in self.shards, "the shard was opened before")
        floor, cut, start = second(a["floor"]), second(a["cut"]), int(a["start"])
        least = self.epochs[a["epoch"]]["floor"]
        awaited = self.awaited.pop(key, None)
        if awaited:
            self.check((a.get("parent"), start, floor) == awaited, "the opening differs from what was awaited")
        else:
            self.check(floor >= max(least, self.before or least), "floor is too low")
        parent = self.shards.get((a["epoch"], a.get("parent")))
        if parent:
            self.check(parent.closed, "the parent is open")
            self.check(awaited or floor >= parent.floor and cut >= parent.cut, "below its parent")
            self.check(a["rank"] > parent.rank, "rank is not above its parent's")
        self.shards[key] = Shard(
            a.get("parent"), a.get("unlisted", False), a.get("barred", False), a["rank"], start, start - 1, floor, cut)

    def on_shard_closed(self, _, a):
        shard = self.shard(a)
        self.check(not shard.closed and int(a["through"]) == shard.through, "closing differs from the shard")
        shard.closed = True

    def on_shard_released(self, _, a):
        shard = self.shard(a)
        self.check(shard.closed and not shard.released, "release of a shard that is not closed")
        shard.released = True

    def on_heartbeat(self, _, a):
        shard = self.shard(a)
        self.check(not shard.closed and int(a["through"]) == shard.through, "heartbeat differs from the shard")
        self.check(second(a["floor"]) >= shard.floor, "floor fell")
        shard.floor = second(a["floor"])

    def on_segments(self, _, a):
        for meta in a["segments"]:
            self.name(meta)
            self.check(not self.sealed or meta["dt"] > max(self.sealed), "a row enters a sealed day")
            self.segments[meta["path"]] = meta
        self.check(sum(m["rows"] for m in a["segments"]) == sum(s["rows"] for s in a["spans"]), "rows outside spans")
        for span in a["spans"]:
            self.span(span)
            self.spans.append((self.next, [m["path"] for m in a["segments"]], span))

    def span(self, span):
        shard, gap = self.shard(span), span.get("gap")
        after, through, cut = int(span["after"]), int(span["through"]), second(span["cut"])
        self.check(not shard.closed and shard.through == after, "the span does not chain")
        self.check(through > after or gap and through == after, "an empty span")
        self.check((span["rows"] == 0) == bool(gap), "rows and gap")
        self.check(cut >= shard.cut, "cut fell")
        if gap:
            start, end, floor = second(gap["from_cut"]), second(gap["to_cut"]), second(span["floor"])
            self.check(start == shard.floor + 1 and start <= end, "the gap does not begin behind the floor")
            self.check(self.before is None or start > self.before, "the gap begins at or before closed_through")
            lifts, keeps = (cut, floor) == (end, end - 1), (cut, floor) == (shard.cut, shard.floor)
            self.check(lifts and gap["reason"] != "barred" or keeps and gap["reason"] != "not_found", "cut and floor")
            self.check(floor >= shard.floor, "floor fell")
            self.add_gap(gap["reason"], start, end)
            shard.floor = floor
        else:
            self.check(not shard.barred and cut > shard.floor, "cut is at or below the floor")
            shard.floor = max(shard.floor, cut - 1)
        for at in span.get("unknown", []):
            self.add_gap("unknown", second(at), second(at))
        shard.through, shard.cut = through, cut

    def add_gap(self, reason, start, end):
        self.gaps.append(Gap(f"{self.next}.{self.gap_count}", reason, start, end))
        self.gap_count += 1

    def name(self, meta):
        self.check(meta["path"] not in self.paths | self.collected, f"{meta['path']} was named before")
        self.paths.add(meta["path"])

    def on_definition(self, _, a):
        self.definition = a

    def on_seal_started(self, _, a):
        self.intents[self.next] = a

    def on_seal(self, _, a):
        intent = self.intents.pop(a["intent"], None)
        self.check(intent is not None and "day" in intent, "no such seal intent")
        inputs = [self.segments.pop(path) for path in intent["inputs"]]
        total = lambda metas: (sum(m["rows"] for m in metas), sum(int(m["row_digest"], 16) for m in metas) % 2**128)
        self.check(total(inputs) == total(a["segments"]), "the seal does not conserve its rows")
        for meta in a["segments"]:
            self.name(meta)
            self.segments[meta["path"]] = meta
        self.sealed[intent["day"]] = intent["inputs"]

    def on_base_started(self, entry, a):
        self.intents[self.next] = dict(a, writer=entry["writer"]["id"])

    def on_base(self, entry, a):
        if a["kind"] == "empty":
            started = entry["actions"][0]
            first = len(self.epochs) == 1 and self.epochs[1]["n"] == self.next
            self.check(first and "checked" in a, f"an empty base outside the first epoch's entry ({started['action']})")
        else:
            intent = self.intents.pop(a.get("intent"), None)
            self.check(intent is not None and "kind" in intent, "no such base intent")
            self.check(intent["fence"] == a["fence"] and intent["kind"] == a["kind"], "the base differs from its intent")
            self.check(a["kind"] != "scan" or intent["writer"] == entry["writer"]["id"], "another's scan")
        for meta in a["segments"]:
            self.name(meta)
        self.bases.append(Base(self.next, a["kind"], second(a["fence"]), second(a["complete_at"]), a["segments"]))

    def on_intent_abandoned(self, _, a):
        self.check(self.intents.pop(a["intent"], None) is not None, "no such intent")

    def on_gap_acknowledged(self, _, a):
        self.check(any(g.id == a["gap"] for g in self.gaps), "no such gap")
        self.acknowledged[a["gap"]] = a["reason"]

    def on_collect(self, _, a):
        self.check(not set(a["paths"]) & set(self.segments), "a live path is collected")
        self.collected |= set(a["paths"])

    def on_coverage_ended(self, _, a):
        self.coverage_ended = a["reason"]

    def all_gaps(self):
        """Committed gaps, epoch borders, and the unknown time before the first epoch."""
        found = list(self.gaps)
        for epoch, facts in self.epochs.items():
            if epoch == 1:
                known = any(b.kind == "empty" for b in self.bases)
                found.append(Gap("before the first epoch", "border", float("-inf"), facts["floor"] + (not known)))
            if epoch in self.borders:
                end = float("inf")
                if epoch + 1 in self.epochs:
                    cuts = [s.cut for key, s in self.shards.items() if key[0] == epoch]
                    end = max([self.epochs[epoch + 1]["floor"] + 1, *cuts])
                found.append(Gap(f"between epochs {epoch} and {epoch + 1}", "border", self.borders[epoch], end))
        return found


def split(blob, n):
    """The JSON of an entry's bytes, after its own hash was checked."""
    lines = blob.split(b"\n")
    if len(lines) != 3 or lines[2] or hashlib.sha256(lines[0]).hexdigest().encode() != lines[1]:
        raise Refused(f"entry {n} fails its hash")
    entry = json.loads(lines[0], object_pairs_hook=unique)
    if entry["v"] != VERSION:
        raise Refused(f"entry {n} has version {entry['v']}: a newer program wrote it")
    return entry


def read(archive, folder):
    """All entries of a table's log from 0 to the tail, checked and folded."""
    birth = archive.get_oldest("archive.json")
    if birth is None:
        raise Refused("this is no archive: archive.json is missing")
    body, _, tail = birth.rpartition(b',"sha256":"')
    if tail != hashlib.sha256(body).hexdigest().encode() + b'"}\n':
        raise Refused("archive.json fails its hash")
    if json.loads(birth)["format"] != 1:
        raise Refused("the archive's format is newer")
    manifest = Manifest()
    while (blob := archive.get_oldest(f"{folder}/log/{manifest.next:020}.entry")) is not None:
        entry = split(blob, manifest.next)
        if entry["n"] != manifest.next or entry["prev_sha256"] != manifest.tail:
            raise Refused(f"entry {manifest.next} breaks the chain")
        if any(a["action"] == "void" for a in entry["actions"]):
            raise Refused(f"entry {manifest.next} voids a range: this reader does not look past invalid entries")
        manifest.apply(entry)
        manifest.next += 1
        manifest.tail = hashlib.sha256(blob).hexdigest()
    if manifest.next == 0:
        raise Refused(f"{folder} has no log")
    return manifest
