"""The folded log: what is true after an entry (`schemas/README.md` §7–§13, §16, §17). Written from that page alone."""

import re
from dataclasses import dataclass, field

from moments import Invalid, Newer, Refused, day_of, following, last_second, rfc3339, second

SURE_MARGIN = 300
EXPORT_MARGIN = 300
STREAM_FRESH = 23 * 3600 + 40 * 60
OUTPUT = re.compile(r"(?:sealed|base)/.*/([0-9]+)-[0-9]+\.parquet")


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
    sure: int | None
    proven: int
    closed_at: int | None = None
    released: bool = False
    gaps: int = 0

    @property
    def closed(self):
        return self.closed_at is not None

    def be_sure(self, at):
        self.sure = at if self.sure is None else max(self.sure, at)


@dataclass
class Gap:
    """Seconds `[from_cut, to_cut]` in which changes may be missing; `shard` is None for a border."""

    id: str
    reason: str | None
    from_cut: float
    to_cut: float
    shard: tuple | None = None
    acknowledged: str | None = None

    def meets(self, after, through):
        """Whether it has a second in `(after, through]`."""
        return self.from_cut <= through and self.to_cut > after


@dataclass
class Base:
    """A committed image of the whole table; `raw` is the action without its name and need."""

    n: int
    kind: str
    fence: int
    complete_at: int
    segments: list
    raw: dict


@dataclass
class Manifest:
    """What the folded log says."""

    next: int = 0
    tail: str | None = None
    at: str | None = None
    version_id: str | None = None
    fold: dict | None = None
    epochs: dict = field(default_factory=dict)
    borders: dict = field(default_factory=dict)
    judged: dict = field(default_factory=dict)
    shards: dict = field(default_factory=dict)
    awaited: dict = field(default_factory=dict)
    gaps: list = field(default_factory=list)
    late: list = field(default_factory=list)
    segments: dict = field(default_factory=dict)
    spans: list = field(default_factory=list)
    bits: dict = field(default_factory=dict)
    bases: list = field(default_factory=list)
    intents: dict = field(default_factory=dict)
    paths: set = field(default_factory=set)
    collected: set = field(default_factory=set)
    sealed: dict = field(default_factory=dict)
    sealed_rows_through: str | None = None
    voids: list = field(default_factory=list)
    definition: dict | None = None
    coverage_ended: str | None = None
    unknown: list = field(default_factory=list)
    rows: int = 0
    closed_through: int | None = None
    proven_through: int | None = None
    stopped: str | None = None
    raw_names: set = field(default_factory=set)

    def check(self, holds, why):
        if not holds:
            raise Invalid(f"entry {self.next}: {why}")

    # Entries.

    def apply(self, entry):
        """Folds one entry in; raises Invalid where a predicate does not hold, and is then of no more use."""
        self.before, self.gap_count = self.closed_through, 0
        self.point(entry["fold"])
        self.at = entry["at"]
        try:
            second(entry["at"])
            for place, action in enumerate(entry["actions"]):
                self.action(entry, action, place)
        except Invalid:
            raise
        except Newer:
            raise
        except Refused as why:
            raise Invalid(f"entry {self.next}: {why}") from None
        self.check(all(s.closed for s in self.shards.values() if s.barred), "a barred shard is not closed in its entry")
        self.count()

    def point(self, fold):
        """The entry's pointer to a fold: never into the future, never backwards, never given up."""
        if fold is None:
            self.check(self.fold is None, "it forgets the fold that was named before")
            return
        self.check(fold["n"] < self.next, "it names a fold that cannot be yet")
        self.check(self.fold is None or fold["n"] >= self.fold["n"], "the fold pointer fell")
        self.fold = fold

    def counted(self):
        """Open, awaited, and closed but not released shards of epochs that are not closed."""
        shards = [s for (epoch, _), s in self.shards.items() if not s.released and epoch not in self.borders]
        return shards, [floor for (epoch, _), (_, _, floor) in self.awaited.items() if epoch not in self.borders]

    def count(self, fell=False):
        """Computes closed_through and proven_through; only a void lets them fall."""
        shards, awaited = self.counted()
        floors = [s.floor for s in shards] + awaited
        if floors:
            lowest = min(floors)
            self.check(fell or self.closed_through is None or lowest >= self.closed_through, "closed_through fell")
            self.closed_through = lowest
        if shards and not awaited:
            self.proven_through = min(s.proven for s in shards)
        if self.proven_through is not None and self.closed_through is not None:
            self.proven_through = min(self.proven_through, self.closed_through)

    def action(self, entry, action, place):
        handler = getattr(self, "on_" + action["action"], None)
        if handler is None:
            need = action.get("need", "read")
            if need == "read":
                raise Newer(f"entry {self.next}: action {action['action']} is unknown here, and readers need it")
            self.unknown.append(dict(n=self.next, name=action["action"], need=need, json=entry.texts()[place]))
            return
        handler(entry, {k: v for k, v in action.items() if k not in ("action", "need")})

    # Epochs and shards.

    def on_epoch_started(self, _, a):
        self.check(a["epoch"] == len(self.epochs) + 1, "epochs number without holes")
        self.check(all(e in self.borders for e in self.epochs), "the epoch before is still open")
        floor = second(a["floor"])
        self.check(self.before is None or floor >= self.before, "the epoch's floor is below closed_through")
        self.epochs[a["epoch"]] = dict(a, floor=floor, created=second(a["created"]), n=self.next)
        self.coverage_ended = None

    def open_epoch(self, a):
        self.check(a["epoch"] in self.epochs and a["epoch"] not in self.borders, "the epoch is not open")
        return self.epochs[a["epoch"]]

    def on_epoch_closed(self, _, a):
        epoch = a["epoch"]
        self.open_epoch(a)
        self.check(all(s.closed for key, s in self.shards.items() if key[0] == epoch), "a shard is open")
        self.check(not any(key[0] == epoch for key in self.awaited), "a shard is awaited")
        self.borders[epoch] = (self.before if self.before is not None else self.epochs[epoch]["floor"]) + 1

    def least_floor(self, epoch):
        return max(epoch["floor"], epoch["floor"] if self.before is None else self.before)

    def on_shard_awaited(self, _, a):
        key, epoch = (a["epoch"], a["shard"]), self.open_epoch(a)
        self.check(key not in self.shards and key not in self.awaited, "the shard stands already")
        self.check((a["epoch"], a["parent"]) not in self.shards, "the awaited shard's parent is not unlisted")
        floor, start = second(a["floor"]), int(a["start"])
        self.check(floor >= self.least_floor(epoch), "the awaited floor is too low")
        self.awaited[key] = (a["parent"], start, floor)
        self.judged[a["epoch"]] = self.next

    def siblings(self, epoch):
        return [s for key, s in self.shards.items() if key[0] == epoch]

    def on_shard_opened(self, _, a):
        key, epoch = (a["epoch"], a["shard"]), self.open_epoch(a)
        self.check(key not in self.shards, "the shard was opened before")
        floor, cut, start = second(a["floor"]), second(a["cut"]), int(a["start"])
        named, unlisted, barred = a.get("parent"), a.get("unlisted", False), a.get("barred", False)
        parent, awaited = self.shards.get((a["epoch"], named)), self.awaited.pop(key, None)
        orphan = named is not None and parent is None
        self.check(unlisted == (orphan or awaited is not None), "`unlisted` is not what the log says of the parent")
        self.check(parent is None or parent.closed, "the parent is open")
        if awaited:
            self.check((named, start, floor) == awaited and not barred, "the opening differs from what was awaited")
        else:
            self.check(floor >= self.least_floor(epoch), "floor is too low")
            self.check(parent is None or floor >= parent.floor, "floor is below the parent's")
            self.check(not orphan or barred or epoch["n"] == self.next, "a child of an unlisted parent must be awaited first")
        self.check_barred(key, start, barred)
        self.check(a["rank"] >= self.least_rank(a["epoch"], parent), "rank is too low")
        self.check(cut >= self.least_cut(a["epoch"], start, floor, parent if not awaited else None, unlisted), "cut is too low")
        if parent and not awaited or named is None:
            sure = parent.sure if parent else epoch["floor"]
        else:
            sure = epoch["floor"] if orphan and not awaited and not barred else None
        begins = parent.proven if parent else epoch["floor"]
        if self.proven_through is not None:
            begins = max(begins, self.proven_through)
        self.shards[key] = Shard(named, unlisted, barred, a["rank"], start, max(start - 1, 0), floor, cut, sure, min(floor, begins))
        if unlisted:
            self.judged[a["epoch"]] = self.next

    def check_barred(self, key, start, barred):
        """A shard found after one that may be its descendant is barred, and no other."""
        unlisted = [s for s in self.siblings(key[0]) if s.unlisted]
        if barred:
            self.check(any(s.start > start for s in unlisted), "barred without a shard opened unlisted behind it")
        else:
            self.check(not any(s.parent == key[1] for s in unlisted), "its child was opened unlisted: it can only be barred")

    def least_rank(self, epoch, parent):
        if parent:
            return parent.rank + 1
        return 1 + max((s.rank for s in self.siblings(epoch)), default=-1)

    def least_cut(self, epoch, start, floor, parent, unlisted):
        if parent:
            return parent.cut
        before = [s.cut for s in self.siblings(epoch) if s.through < start] if unlisted else []
        return max([floor, *before])

    def shard(self, a):
        shard = self.shards.get((a["epoch"], a["shard"]))
        self.check(shard is not None, f"shard {a['shard']} is not in the log")
        return shard

    def open_shard(self, a):
        shard = self.shard(a)
        self.check(not shard.closed, f"shard {a['shard']} is closed")
        return shard

    def on_shard_closed(self, entry, a):
        shard = self.open_shard(a)
        self.check(int(a["through"]) == shard.through, "the closing differs from the shard")
        shard.closed_at = second(entry["at"])

    def on_shard_released(self, _, a):
        shard = self.shard(a)
        self.check(shard.closed and not shard.released, "release of a shard that is open or released")
        shard.released = True

    def on_heartbeat(self, _, a):
        self.covered_again()
        shard = self.open_shard(a)
        self.check(int(a["through"]) == shard.through, "the heartbeat differs from the shard")
        floor = second(a["floor"])
        self.check(floor > shard.floor, "the heartbeat does not raise the floor")
        shard.floor = floor
        shard.be_sure(floor - SURE_MARGIN)

    # Rows and gaps.

    def on_segments(self, _, a):
        self.covered_again()
        last, sealing = max(self.sealed, default=""), [i["day"] for i in self.intents.values() if "day" in i]
        for meta in a["segments"]:
            self.name(meta)
            self.check(meta["tier"] == "raw" and meta["path"].startswith(f"raw/dt={meta['dt']}/"), f"{meta['path']} is not raw")
            self.check(meta["dt"] > last, "a row enters a sealed day")
            self.check(all(meta["dt"] > day for day in sealing), "a row enters a day that is being sealed")
            self.segments[meta["path"]] = meta
        for span in a["spans"]:
            self.span(span, [m["path"] for m in a["segments"]])
        self.check(sum(m["rows"] for m in a["segments"]) == sum(s["rows"] for s in a["spans"]), "rows outside spans")

    def span(self, span, paths):
        shard, gap = self.open_shard(span), span.get("gap")
        after, through, cut = int(span["after"]), int(span["through"]), second(span["cut"])
        self.check(shard.through == after, "the span does not chain")
        self.check(through > after or gap and through == after, "an empty span")
        self.check((span["rows"] == 0) == bool(gap), "rows and gap")
        self.spans.append((self.next, paths, span, shard.floor, shard.cut))
        late = [(second(i["from"]), second(i["to"])) for i in span.get("late", [])]
        self.check(all(start < end for start, end in late), "an empty late interval")
        (self.gap_span if gap else self.row_span)(shard, span, cut)
        self.late += late
        shard.through, shard.cut = through, cut
        self.rows += span["rows"]

    def row_span(self, shard, span, cut):
        self.check(not shard.barred, "a barred shard is never read")
        self.check("floor" not in span, "a span with rows has a floor")
        self.check(cut > shard.floor, "cut is at or below the floor")
        self.check(cut >= shard.cut, "cut fell")
        for at in map(second, span.get("unknown", [])):
            self.check(shard.floor < at <= cut, "an unknown second outside its span")
            self.add_gap(span, None, at, at)
        shard.floor = max(shard.floor, cut - 1)
        shard.proven = max(shard.proven, cut - 1)
        if not span.get("late"):
            shard.be_sure(cut - SURE_MARGIN)

    def gap_span(self, shard, span, cut):
        gap = span["gap"]
        start, end, reason = second(gap["from_cut"]), second(gap["to_cut"]), gap["reason"]
        self.check("floor" in span and "unknown" not in span, "a gap has a floor and no unknown")
        floor = second(span["floor"])
        self.check(start == shard.floor + 1 and start <= end, "the gap does not begin behind the floor")
        self.check(self.before is None or start > self.before, "the gap begins at or before closed_through")
        self.check((reason == "barred") == shard.barred, "a barred shard has a barred gap, and no other has")
        lifts, keeps = (cut, floor) == (end, end - 1), (cut, floor) == (shard.cut, shard.floor)
        self.check(cut >= shard.cut and floor >= shard.floor, "cut or floor fell")
        self.check(lifts and reason != "barred" or keeps and reason != "not_found", "cut and floor of a gap")
        self.add_gap(span, reason, start, end)
        shard.gaps += 1
        if lifts and reason != "barred":
            shard.floor = floor
            shard.proven = max(shard.proven, floor)
            shard.be_sure(floor)

    def add_gap(self, span, reason, start, end):
        self.gaps.append(Gap(f"{self.next}.{self.gap_count}", reason, start, end, (span["epoch"], span["shard"])))
        self.gap_count += 1

    def on_gap_acknowledged(self, _, a):
        found = [g for g in self.gaps if g.id == a["gap"]]
        self.check(found, "no such gap")
        found[0].acknowledged = a["reason"]

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
                    end = max([self.epochs[epoch + 1]["floor"] + 1, *(s.cut for s in self.siblings(epoch))])
                found.append(Gap(f"between epochs {epoch} and {epoch + 1}", "border", self.borders[epoch], end))
        return found

    # Objects.

    def name(self, meta):
        path = meta["path"]
        self.check(path not in self.paths | self.collected, f"{path} was named before")
        self.check(all(part not in ("", ".", "..") for part in path.split("/")), f"{path} leads out of the table's folder")
        self.paths.add(path)

    @staticmethod
    def begins(path, intent):
        """Whether an output is named by its intent."""
        return path.rsplit("/", 1)[-1].startswith(f"{intent}-")

    def on_definition(self, _, a):
        self.definition = a

    def covered_again(self):
        """A table that nobody meant any more is archived again: its stream never ended."""
        if self.coverage_ended == "unselected":
            self.coverage_ended = None

    def on_coverage_ended(self, _, a):
        self.coverage_ended = a["reason"]

    def live_raw(self, day):
        return {path for path, meta in self.segments.items() if meta["tier"] == "raw" and meta["dt"] == day}

    def on_seal_started(self, entry, a):
        if self.sealed:
            due = following(max(self.sealed))
        else:
            self.check(1 in self.epochs, "no epoch yet")
            due = day_of(self.epochs[1]["floor"] + 1)
        self.check(a["day"] == due, f"the next day to seal is {due}")
        self.check(self.before is not None and self.before >= last_second(a["day"]), "the day can still change")
        self.check(not any("day" in i for i in self.intents.values()), "another seal is open")
        self.check(len(set(a["inputs"])) == len(a["inputs"]) and set(a["inputs"]) == self.live_raw(a["day"]), "inputs are not the day's live raw segments")
        self.intents[self.next] = dict(a, writer=entry["writer"]["id"])

    def on_seal(self, _, a):
        intent = self.intents.pop(a["intent"], None)
        self.check(intent is not None and "day" in intent, "no such seal intent")
        self.check(all(path in self.segments for path in intent["inputs"]), "an input is no longer live")
        inputs = [self.segments.pop(path) for path in intent["inputs"]]
        total = lambda metas: (sum(m["rows"] for m in metas), sum(int(m["row_digest"], 16) for m in metas) % 2**128)
        self.check(total(inputs) == total(a["segments"]), "the seal does not conserve its rows")
        for meta in a["segments"]:
            self.name(meta)
            self.check(meta["tier"] in ("heads", "rest") and meta["dt"] == intent["day"], f"{meta['path']} is no output of that day")
            self.check(meta["path"].startswith(f"sealed/dt={intent['day']}/") and self.begins(meta["path"], a["intent"]), f"{meta['path']} is no output of that seal")
            self.check("rows_root" in meta and "bucket" in meta, f"{meta['path']} lacks its root or bucket")
            self.segments[meta["path"]] = meta
            self.bits[meta["path"]] = intent["bits"]
        self.sealed[intent["day"]] = intent["inputs"]
        if a["segments"]:
            self.sealed_rows_through = intent["day"]

    def on_base_started(self, entry, a):
        fence = second(a["fence"])
        second(a["started"])
        self.check(a["kind"] != "empty", "an empty base has no intent")
        self.check(self.before is not None and fence <= self.before, "the fence is above closed_through")
        if a["kind"] != "archive":
            self.check(all(g.to_cut <= self.before for g in self.all_gaps()), "a gap or border reaches beyond closed_through")
        self.check(a["kind"] != "scan" or second(a["started"]) >= fence, "the scan begins before its fence")
        self.check(("export" in a) == (a["kind"] == "export"), "an export, and nothing else, says what was exported")
        self.check("export" not in a or fence <= second(a["export"]["time"]) - EXPORT_MARGIN, "the fence is too near to the export's time")
        self.intents[self.next] = dict(a, writer=entry["writer"]["id"])

    def on_base(self, entry, a):
        fence, complete = second(a["fence"]), second(a["complete_at"])
        if a["kind"] == "empty":
            self.empty_base(a, fence, complete)
        else:
            self.base(entry, a, fence, complete)
        paths = [meta["path"] for meta in a["segments"]]
        self.check(len(paths) == len(set(paths)), "a path is named twice in a base")
        for meta in a["segments"]:
            self.name(meta)
            self.check(meta["tier"] == "base" and meta["path"].startswith("base/") and self.begins(meta["path"], a["intent"]), f"{meta['path']} is no segment of a base")
            self.check("rows_root" in meta and "bucket" in meta, f"{meta['path']} lacks its root or bucket")
        self.bases.append(Base(self.next, a["kind"], fence, complete, a["segments"], a))

    def empty_base(self, a, fence, complete):
        self.check(len(self.epochs) == 1 and self.epochs[1]["n"] == self.next, "an empty base outside the first epoch's entry")
        self.check("checked" in a and "intent" not in a and not a["segments"] and not self.bases, "no empty base")
        floor, created, seen = self.epochs[1]["floor"], self.epochs[1]["created"], a["checked"]
        self.check(fence == complete == floor == created - 1, "an empty base stands one second before the stream")
        table, stream, at = (second(seen[name]) for name in ("table_created", "stream_created", "at"))
        self.check(stream == created and abs(table - stream) <= 1, "table and stream were not made together")
        self.check(at <= created + STREAM_FRESH, "the stream was too old")
        self.check(seen["not_restored"] and seen["no_replicas"], "the table was not empty")

    def base(self, entry, a, fence, complete):
        intent = self.intents.pop(a.get("intent"), None)
        self.check(intent is not None and "kind" in intent, "no such base intent")
        self.check("checked" not in a, "only an empty base is `checked`")
        self.check(second(intent["fence"]) == fence and intent["kind"] == a["kind"], "the base differs from its intent")
        self.check(a["kind"] != "scan" or intent["writer"] == entry["writer"]["id"], "a scan that another began")
        if a["kind"] == "archive":
            self.check(fence == complete, "a base from the archive is complete at its fence")
        else:
            self.check(complete == self.before, "the base is not complete at closed_through")
        if a["kind"] != "archive":
            exported = a["kind"] == "export"
            read, slack = (intent["export"]["time"], max(intent["slack"], EXPORT_MARGIN)) if exported else (intent["started"], intent["slack"])
            self.check(complete >= second(read) + slack, "the base is complete before its slack is over")
        self.bits |= {meta["path"]: intent["bits"] for meta in a["segments"]}
        met = next((g for g in self.all_gaps() if g.meets(fence, complete)), None)
        self.check(met is None, f"gap {met and met.id} meets the base")

    def on_intent_abandoned(self, _, a):
        self.check(self.intents.pop(a["intent"], None) is not None, "no such intent")

    def on_collect(self, _, a):
        based = {m["path"] for base in self.bases for m in base.segments}
        for path in a["paths"]:
            self.check(path not in self.segments and path not in based, f"{path} is in use")
            output = OUTPUT.fullmatch(path)
            self.check(not output or int(output[1]) not in self.intents, f"{path} may be an output of an open intent")
            day = next((day for day, inputs in self.sealed.items() if path in inputs), None)
            self.check(day is None or (self.sealed_rows_through or "") > day, f"{path}: no later day with rows is sealed")
        self.collected |= set(a["paths"])

    # A void.

    def settle(self, kept_paths, kept_collected):
        """What a void does besides taking its range out: intents end, floors stay behind sealed days, names stay used."""
        self.intents.clear()
        if self.sealed:
            least = last_second(max(self.sealed))
            for shard in self.shards.values():
                shard.floor = max(shard.floor, least)
            self.awaited = {k: (parent, start, max(floor, least)) for k, (parent, start, floor) in self.awaited.items()}
        self.paths |= kept_paths
        self.collected |= kept_collected
        live = set(self.segments) | {m["path"] for base in self.bases for m in base.segments}
        lost = sorted(live & self.collected)
        self.check(not lost, f"{lost and lost[0]} would be live again, and is collected")
        self.count(fell=True)

    def latest(self):
        return "nothing" if self.closed_through is None else rfc3339(self.closed_through)
