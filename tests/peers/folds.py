"""Folds: the manifest as stored, to open a long log quickly and to compare with one's own (`schemas/README.md` §14)."""

import json

import log
import shape
from manifest import Base, Gap, Manifest, Shard
from moments import Invalid, Newer, Refused, parse, rfc3339, second

def day_of(path):
    """The part in which a path stands."""
    for piece in path.split("/"):
        if piece.startswith(("dt=", "at=")):
            return piece[3:13]
    return "other"


def merged(intervals):
    """Intervals [from, to), sorted, merged where they touch."""
    out = []
    for start, end in sorted(intervals):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def instant(at):
    return None if at is None else rfc3339(at)


def dump_shard(key, s):
    return [dict(epoch=key[0], id=key[1]), dict(
        parent=s.parent, unlisted=s.unlisted, barred=s.barred, rank=s.rank, start=str(s.start), through=str(s.through),
        floor=instant(s.floor), cut=instant(s.cut), sure=instant(s.sure), proven=instant(s.proven),
        closed_at=instant(s.closed_at), released=s.released, gaps=s.gaps)]


def dump_epoch(m, number, facts):
    started = {k: v for k, v in facts.items() if k != "n"} | dict(floor=instant(facts["floor"]), created=instant(facts["created"]))
    return dict(started=started, started_in=facts["n"], border_from=instant(m.borders.get(number)), judged_in=m.judged.get(number))


def dump_gap(g):
    n, k = map(int, g.id.split("."))
    return dict(id=dict(n=n, k=k), shard=dict(epoch=g.shard[0], id=g.shard[1]), reason=g.reason, from_cut=instant(g.from_cut),
                to_cut=instant(g.to_cut), acknowledged=g.acknowledged)


def dump_intent(intent):
    members = {k: v for k, v in intent.items() if k != "writer"}
    return dict(kind={"Seal" if "day" in intent else "Base": members}, writer=intent["writer"])


def dump(m):
    """(root without `parts`, parts by day) of a manifest."""
    root = dict(
        v=1, n=m.next - 1, sha256=m.tail, version_id=m.version_id, at=m.at, fold=m.fold,
        epochs={str(e): dump_epoch(m, e, facts) for e, facts in m.epochs.items()},
        shards=[dump_shard(key, s) for key, s in sorted(m.shards.items())],
        awaited=[[dict(epoch=key[0], id=key[1]), dict(parent=parent, start=str(start), floor=instant(floor))]
                 for key, (parent, start, floor) in sorted(m.awaited.items())],
        gaps=[dump_gap(g) for g in m.gaps],
        late=[{"from": instant(start), "to": instant(end)} for start, end in merged(m.late)],
        bases=[dict(n=b.n, base=b.raw) for b in m.bases],
        intents={str(n): dump_intent(intent) for n, intent in m.intents.items()},
        definition=m.definition, coverage_ended=m.coverage_ended, closed_through=instant(m.closed_through),
        proven_through=instant(m.proven_through), rows=m.rows,
        unknown=m.unknown,
        sealed_through=max(m.sealed, default=None), sealed_rows_through=m.sealed_rows_through, voids=m.voids)
    parts = {}
    part = lambda day: parts.setdefault(day, dict(v=1, day=day, segments=[], sealed={}, collected=[], retired=[]))
    for path, meta in sorted(m.segments.items()):
        part(day_of(path))["segments"].append(meta)
    for day, inputs in m.sealed.items():
        part(day)["sealed"][day] = inputs
    for path in sorted(m.collected):
        part(day_of(path))["collected"].append(path)
    known = set(m.segments) | m.collected | {p for inputs in m.sealed.values() for p in inputs}
    for path in sorted(m.paths - known - {s["path"] for b in m.bases for s in b.segments}):
        part(day_of(path))["retired"].append(path)
    return root, parts


def comparable(root, parts):
    """One text in which equal manifests are equal: lists whose order carries no meaning are sorted."""
    text = lambda value: json.dumps(value, sort_keys=True)
    # Sequence numbers are written as delivered, and compared as integers.
    integers = lambda value: {k: str(int(v)) if k in ("start", "through") else v for k, v in value.items()}
    numbered = lambda pairs: sorted(([key, integers(value)] for key, value in pairs), key=text)
    root = dict(root, shards=numbered(root["shards"]), awaited=numbered(root["awaited"]), gaps=sorted(root["gaps"], key=text),
                late=merged((second(i["from"]), second(i["to"])) for i in root["late"]))
    root.pop("parts", None)
    root.pop("version_id")
    tidy = {}
    for day, part in parts.items():
        part = dict(part, segments=sorted(part["segments"], key=text), collected=sorted(part["collected"]), retired=sorted(part["retired"]),
                    sealed={day: sorted(inputs) for day, inputs in part["sealed"].items()})
        if any(part[name] for name in ("segments", "sealed", "collected", "retired")):
            tidy[day] = part
    return text([root, tidy])


def stored(archive, folder, pointer, strict=False):
    """(root, parts) that an entry's `fold` names. None if an object is missing or, unless `strict` refuses that, not what its hash says."""
    root = checked(archive, f"{folder}/fold/{pointer['n']:020}.json.zst", pointer["sha256"], "root", strict)
    if root is None:
        return None
    if root["n"] != pointer["n"]:
        raise Refused(f"the fold {pointer['n']} says that it is {root['n']}")
    parts = {}
    for named in root["parts"]:
        part = checked(archive, f"{folder}/fold/day={named['day']}/{named['sha256']}.json.zst", named["sha256"], "part", strict)
        if part is None:
            return None
        if part["day"] != named["day"] or part["day"] in parts:
            raise Refused(f"the fold {pointer['n']} has a part {part['day']} too many")
        parts[part["day"]] = part
    return root, parts


def checked(archive, path, sha256, kind, strict):
    blob = archive.get(path)
    if blob is not None and log.sha256(blob) != sha256 and strict:
        raise Refused(f"{path} is not what an entry names")
    if blob is None or log.sha256(blob) != sha256:
        return None
    text = log.unzstd(blob)
    try:
        value = parse(text or b"")
        shape.is_a("fold.v1.schema.json", value, f"/$defs/{kind}")
    except (ValueError, shape.Misshapen) as why:
        raise Refused(f"{path}: {why}") from None
    return value


def load_shard(s):
    at = lambda name: None if s[name] is None else second(s[name])
    return Shard(s["parent"], s["unlisted"], s["barred"], s["rank"], int(s["start"]), int(s["through"]), at("floor"), at("cut"), at("sure"),
                 at("proven"), at("closed_at"), s["released"], s["gaps"])


def load_gap(g):
    return Gap(f"{g['id']['n']}.{g['id']['k']}", g["reason"], second(g["from_cut"]), second(g["to_cut"]), (g["shard"]["epoch"], g["shard"]["id"]), g["acknowledged"])


def load_base(b):
    base = b["base"]
    return Base(b["n"], base["kind"], second(base["fence"]), second(base["complete_at"]), base["segments"], base)


def load(root, parts):
    """The manifest that a fold holds."""
    m = Manifest(next=root["n"] + 1, tail=root["sha256"], at=root["at"], version_id=root["version_id"], fold=root["fold"])
    for number, e in root["epochs"].items():
        epoch = int(number)
        m.epochs[epoch] = dict(e["started"], floor=second(e["started"]["floor"]), created=second(e["started"]["created"]), n=e["started_in"])
        if e["border_from"] is not None:
            m.borders[epoch] = second(e["border_from"])
        if e["judged_in"] is not None:
            m.judged[epoch] = e["judged_in"]
    m.shards = {(key["epoch"], key["id"]): load_shard(s) for key, s in root["shards"]}
    m.awaited = {(key["epoch"], key["id"]): (a["parent"], int(a["start"]), second(a["floor"])) for key, a in root["awaited"]}
    m.gaps = [load_gap(g) for g in root["gaps"]]
    m.late = [(second(i["from"]), second(i["to"])) for i in root["late"]]
    m.bases = [load_base(b) for b in root["bases"]]
    m.intents = {int(n): dict(next(iter(i["kind"].values())), writer=i["writer"]) for n, i in root["intents"].items()}
    for name in ("definition", "coverage_ended", "rows", "unknown", "sealed_rows_through", "voids"):
        setattr(m, name, root[name])
    for name in ("closed_through", "proven_through"):
        setattr(m, name, None if root[name] is None else second(root[name]))
    for part in parts.values():
        m.segments |= {meta["path"]: meta for meta in part["segments"]}
        m.sealed |= part["sealed"]
        m.collected |= set(part["collected"])
        m.paths |= set(part["retired"])
    m.paths |= set(m.segments) | {p for inputs in m.sealed.values() for p in inputs} | {s["path"] for b in m.bases for s in b.segments}
    return m


def obeyed(m):
    """An unknown action that a fold carries is obeyed as if read from the log."""
    for u in m.unknown:
        if u["need"] == "read":
            raise Newer(f"entry {u['n']}: action {u['name']} is unknown here, and readers need it")
    return m


def tail_of(archive, folder):
    """The number of the last entry, found by doubling and halving: nothing is read twice."""
    present = lambda n: archive.get_oldest(log.entry_path(folder, n)) is not None
    if not present(0):
        return None
    low, step = 0, 1
    while present(low + step):
        low, step = low + step, step * 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if present(middle) else (low, middle)
    return low


def open_at_tail(archive, folder):
    """Opens at the fold that the tail names. None where that is no way: the log is then read from entry 0."""
    tail = tail_of(archive, folder)
    if tail is None:
        return None
    entry, _ = log.Slot(tail, archive.get_oldest(log.entry_path(folder, tail))).read
    if entry is None or entry["fold"] is None:
        return None
    found = stored(archive, folder, entry["fold"])
    if found is None:
        return None
    manifest = obeyed(load(*found))
    for slot in log.slots(archive, folder, manifest.next):
        if slot.void():
            return None
        try:
            log.take(manifest, slot)
        except Invalid:
            return None
    return manifest


def compare(archive, folder):
    """Every fold that an entry names says what this program folds itself; returns how many there are."""
    slots = log.slots(archive, folder)
    named = {}
    for slot in slots:
        entry, _ = slot.read
        if entry and entry["fold"]:
            named.setdefault(entry["fold"]["n"], set()).add(entry["fold"]["sha256"])
    count, history = 0, log.History(slots)
    for manifest in history.states():
        for sha256 in named.pop(manifest.next - 1, ()):
            found = stored(archive, folder, dict(n=manifest.next - 1, sha256=sha256), strict=True)
            if found is None:
                continue
            if comparable(*found) != comparable(*dump(manifest)):
                raise Refused(f"the fold after entry {manifest.next - 1} says something else than the log")
            count += 1
    return count
