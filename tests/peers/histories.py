"""Small histories of a log, entry by entry, with what the fold says after each: floors, `sure`, closed_through, proven_through."""

from folds import instant
from log import Entry
from manifest import Manifest
from moments import rfc3339, second

T0 = second("2026-11-22T10:00:00Z")


def at(offset):
    return rfc3339(T0 + offset)


def started(epoch=1, floor=-1, created=0):
    return dict(action="epoch_started", need="read", epoch=epoch, stream_arn=f"arn:{epoch}", view_type="NEW_AND_OLD_IMAGES", keys=[dict(name="pk", type="S")],
                created=at(created), floor=at(floor))


def opened(shard, start, rank, floor, cut, epoch=1, **members):
    return dict(action="shard_opened", need="write", epoch=epoch, shard=shard, **members, rank=rank, start=str(start), floor=at(floor), cut=at(cut))


def awaited(shard, parent, start, floor):
    return dict(action="shard_awaited", need="write", epoch=1, shard=shard, parent=parent, start=str(start), floor=at(floor))


def beat(shard, through, floor, epoch=1):
    return dict(action="heartbeat", need="read", epoch=epoch, shard=shard, through=str(through), floor=at(floor), settle=120)


def closed(shard, through, epoch=1):
    return dict(action="shard_closed", need="write", epoch=epoch, shard=shard, through=str(through))


def released(shard):
    return dict(action="shard_released", need="write", epoch=1, shard=shard)


def spans(*each):
    """A `segments` action whose file is made up: only the log is folded here."""
    rows = sum(span["rows"] for span in each)
    cuts = [span["cut"] for span in each if span["rows"]]
    name = f"{each[0]['shard']}{each[-1]['through']}"
    segment = dict(path=f"raw/dt=2026-11-22/{name}.parquet", bytes=1, sha256="0" * 64, rows=rows, row_digest="0" * 32, tier="raw", dt="2026-11-22")
    return dict(action="segments", need="read", segments=[segment | dict(min_cut_at=min(cuts), max_cut_at=max(cuts))] if rows else [], spans=list(each))


def rows(shard, after, through, count, cut, **members):
    return dict(epoch=1, shard=shard, after=str(after), through=str(through), rows=count, cut=at(cut), **members)


def gap(shard, after, through, start, end, cut, floor, reason="possibly_trimmed"):
    late = [{"from": at(start - 900), "to": at(start)}]
    return dict(epoch=1, shard=shard, after=str(after), through=str(through), rows=0, cut=at(cut), floor=at(floor), late=late,
                gap=dict(reason=reason, from_cut=at(start), to_cut=at(end)))


HISTORIES = {
    "rows and heartbeats of one shard": [
        [started(), opened("a", 1, 0, -1, -1)], [spans(rows("a", 0, 3, 3, 400))], [beat("a", 3, 700)], [spans(rows("a", 3, 4, 1, 800))],
        [spans(rows("a", 4, 5, 1, 800))], [spans(rows("a", 5, 6, 1, 1300, late=[{"from": at(900), "to": at(1300)}]))],
    ],
    "the least floor counts; a closed shard holds it until it is released": [
        [started(), opened("a", 1, 0, -1, -1), opened("b", 1, 1, -1, -1)], [beat("a", 0, 500)], [beat("b", 0, 300)],
        [closed("b", 0)], [beat("a", 0, 600)], [opened("c", 50, 2, 300, -1, parent="b")], [beat("c", 49, 650)], [released("b")],
    ],
    "a child begins where its parent was proven": [
        [started(), opened("a", 1, 0, -1, -1)], [spans(rows("a", 0, 3, 3, 400))], [beat("a", 3, 700)], [closed("a", 3)],
        [opened("b", 10, 1, 700, 400, parent="a")], [released("a")], [spans(rows("b", 9, 12, 2, 1000))],
    ],
    "gaps that lift, and gaps that keep": [
        [started(), opened("a", 1, 0, -1, -1)], [beat("a", 0, 500)], [spans(gap("a", 0, 4, 501, 505, -1, 500), rows("a", 4, 5, 1, 501))],
        [spans(gap("a", 5, 5, 501, 2000, 2000, 1999))], [spans(gap("a", 5, 5, 2000, 2500, 2500, 2499, "not_found")), closed("a", 5)],
    ],
    "an awaited shard counts with its floor, and proves nothing meanwhile": [
        [started(), opened("a", 1, 0, -1, -1)], [spans(rows("a", 0, 3, 3, 400))], [awaited("w", "gone", 90, 399)], [beat("a", 3, 800)],
        [closed("a", 3)], [opened("w", 90, 1, 399, 400, parent="gone", unlisted=True)], [released("a")],
        [spans(gap("w", 89, 95, 400, 420, 400, 399), rows("w", 95, 96, 1, 410))], [beat("w", 96, 900)],
    ],
    "a shard that was found late is barred": [
        [started(), opened("a", 1, 0, -1, -1), opened("u", 90, 1, -1, -1, parent="gone", unlisted=True)], [beat("a", 0, 500), beat("u", 89, 600)],
        [opened("gone", 20, 2, 500, 500, barred=True), spans(gap("gone", 19, 80, 501, 700, 500, 500, "barred")), closed("gone", 80)], [beat("a", 0, 800)], [released("gone")],
    ],
    "with no shard counted it stays; the next epoch goes on from it": [
        [started(), opened("a", 1, 0, -1, -1)], [beat("a", 0, 500)], [closed("a", 0)], [dict(action="epoch_closed", need="read", epoch=1)],
        [started(2, 900, 800)], [opened("n", 1, 0, 900, 900, epoch=2)], [beat("n", 0, 1000, epoch=2)],
    ],
}


def told(manifest):
    shards = {f"{epoch}/{name}": dict(through=str(s.through), floor=instant(s.floor), cut=instant(s.cut), sure=instant(s.sure), proven=instant(s.proven))
              for (epoch, name), s in manifest.shards.items()}
    return dict(closed_through=instant(manifest.closed_through), proven_through=instant(manifest.proven_through), shards=shards,
                gaps=[dict(id=g.id, from_cut=instant(g.from_cut), to_cut=instant(g.to_cut)) for g in manifest.gaps])


def cases():
    """Every history, with what holds after each entry."""
    out = []
    for why, entries in HISTORIES.items():
        manifest, steps = Manifest(), []
        for n, actions in enumerate(entries):
            manifest.apply(Entry(dict(at=at(5000 + n), writer=dict(id="w", build="hand"), fold=None, actions=actions), b""))
            manifest.next = n + 1
            steps.append(dict(at=at(5000 + n), actions=actions, after=told(manifest)))
        out.append(dict(why=why, entries=steps))
    return out
