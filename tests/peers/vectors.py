"""Writes `schemas/vectors/*.json`, but for `cut_at.json`, from the page `schemas/README.md` alone.

The inputs are below and in `histories.py`; the results come from the independent reader, which shares no code with the
archiver. `cut_at.json` is written by hand; the tests hold it against the same reader.
Usage: $(tests/peers/python.sh) tests/peers/vectors.py
"""

import json
import pathlib

import canonical
import histories
import segments
import timing
from moments import rfc3339, second

OUT = pathlib.Path(__file__).resolve().parents[2] / "schemas" / "vectors"

KEYS = [
    (("S", "a"), None), (("S", "a"), ("S", "b")), (("S", "ab"), None), (("S", "a"), ("N", "1")), (("N", "1"), None),
    (("N", "-12.5"), ("B", "AAEC/w==")), (("B", "aGk="), ("S", "hi")), (("S", "ключ"), ("S", "😀")), (("S", "x" * 2048), None),
]
NUMBERS = ["0", "-0", "+0.000", "00012", "+7", "1.50", ".5", "5.", "-.5e-1", "1E2", "1e+002", "1.25e1", "100e-2", "-120e-3", "1e125", "1e-130",
           "9" * 38, "-" + "9" * 38 + "e88", "0.00000000000000000000000000000000000001",
           "1e511", "1e-512", "10e-513", "0e999999", "0." + "0" * 600, "1." + "0" * 600, "0" * 600 + "1", "-1.50e-1"]
REFUSED = ["", "-", "+", ".", "e1", "1e", "1e+", "--1", " 1", "1 ", "1_0", "0x1", "NaN", "Infinity", "1.2.3", "1e999999", "1e512", "12e-513", "-1e-999999", "1,5", "١", "1\n"]
VALUES = [
    '{"S":""}', '{"S":"a"}', '{"S":"\\u00e9\\n\\"\\ud83d\\ude00"}', '{"N":"1.0"}', '{"N":"-0"}', '{"B":""}', '{"B":"AAEC/w=="}', '{"BOOL":true}',
    '{"BOOL":false}', '{"NULL":true}', '{"SS":["b","a",""]}', '{"SS":["\U0001f600","\uffee","a"]}', '{"NS":["10","9","-1.50","-2","0.1","1e-3"]}',
    '{"BS":["/w==","AA==",""]}', '{"L":[]}', '{"L":[{"S":"b"},{"N":"01"},{"L":[{"NULL":true}]}]}', '{"M":{}}',
    '{"M":{"b":{"N":"2"},"a":{"M":{"set":{"S":"x"},"":{"S":"y"}}},"ab":{"BOOL":true}}}',
    '{"NS":["1","1.0","01"]}', '{"NS":["99999999999999999999999999999999999999","-99999999999999999999999999999999999999","9999999999999999999999999999999999999.8","0","-0"]}',
    '{"SS":["a","a"]}', '{"BS":["AA==","AA=="]}', '{"N":"-0.00000000000000000000000000000000000001"}', '{"M":{"\\u00e9":{"S":"\\u0000"},"é\u0301":{"L":[{"M":{}},{"L":[]}]}}}',
    '{"S":"\\/\\b\\f\\n\\r\\t"}', '{"L":[{"L":[{"L":[{"L":[{"N":"1e1"}]}]}]}]}',
]
IMAGES = [
    "{}", '{"pk":{"S":"a"}}', '{"pk":{"S":"a"},"n":{"N":"1"}}', '{ "n" : { "N" : "1.00" } , "p\\u006b" : {"S":"a"} }',
    '{"a.b":{"S":"x"},"Item":{"M":{"S":{"N":"1"}}},"drop":{"NULL":true},"tags":{"SS":["y","x"]}}',
    '{"n":{"N":"99999999999999999999999999999999999999"}}', '{"n":{"N":"9.9999999999999999999999999999999999999E+37"}}',
    '{"n":{"N":"-0.00000000000000000000000000000000000012345678901234567890123456789012345678"}}',
    '{"deep":{"M":{"l":{"L":[{"M":{"x":{"NS":["2","10","1.0"]},"y":{"BS":["/w==","AA=="]}}},{"NULL":true},{"BOOL":false}]},"":{"S":""}}}}',
    '{"deep":{"M":{"":{"S":""},"l":{"L":[{"M":{"y":{"BS":["AA==","/w=="]},"x":{"NS":["1","2","1e1"]}}},{"NULL":true},{"BOOL":false}]}}}}',
    '{"a":{"S":"x"},"b":{"S":"x"}}', '{"b":{"S":"x"},"a":{"S":"x"}}', '{"":{"S":""}}', '{"\\ud83d\\ude00":{"S":"😀"}}',
]
ROWS = [
    dict(epoch=1, shard_id="shardId-00000001", sequence="100000000000000000001", kind="INSERT", changed_at=1795305600123456, cut_at=1795305600000000,
         key_hash="000102030405060708090a0b0c0d0e0f", new_image='{"pk":{"S":"a"}}', old_digest=None),
    dict(epoch=2, shard_id="shardId-00000002", sequence="9" * 40, kind="REMOVE", changed_at=-1, cut_at=1795305601000000,
         key_hash="ff" * 16, new_image=None, old_digest="f0" * 16),
    dict(epoch=1, shard_id="shardId-00000001", sequence="7", kind="UNKNOWN", changed_at=0, cut_at=1795305601000000,
         key_hash=None, new_image='{"eventName":"ODD"}', old_digest=None),
]


BASE_ROWS = [
    dict(key_hash="000102030405060708090a0b0c0d0e0f", pk="a", sk=None, image='{"pk":{"S":"a"}}', image_digest="973b826f456d0b9f3dc2d73754face34"),
    dict(key_hash="ff" * 16, pk="ключ", sk="-12.5", image='{"pk":{"S":"ключ"},"sk":{"N":"-12.50"}}', image_digest="f0" * 16),
]
CHANGES = [
    dict(key_hash="0001020304050607" * 2, pk="a", sk="1", kind="MODIFY", changed_at=1795305600123456, cut_at=1795305600000000, epoch=1, shard_rank=0,
         sequence="7", shard_id="shardId-00000001", event_id="c4ca4238a0b923820dcc509a6f75849b", size_bytes=59, actor=None, new_image='{"v":{"N":"2"}}',
         old_image=None, old_delta='{"set":{"v":{"N":"1"}},"drop":[]}', new_digest="01" * 16, old_digest="02" * 16),
    dict(key_hash="ff" * 16, pk="b", sk=None, kind="REMOVE", changed_at=-1, cut_at=1795305601000000, epoch=4294967295, shard_rank=4294967295,
         sequence="9" * 40, shard_id="s", event_id=None, size_bytes=-1, actor='{"type":"Service","principalId":"dynamodb.amazonaws.com"}', new_image=None,
         old_image='{"v":{"N":"1"}}', old_delta=None, new_digest=None, old_digest="f0" * 16),
    dict(key_hash=None, pk=None, sk=None, kind="UNKNOWN", changed_at=0, cut_at=1795305601000000, epoch=1, shard_rank=2,
         sequence="8", shard_id="shardId-00000001", event_id=None, size_bytes=None, actor=None, new_image='{"eventName":"ODD"}',
         old_image=None, old_delta=None, new_digest=None, old_digest=None),
]
W = second("2026-11-22T12:00:00Z")
YOUNG, OLD = W - timing.DAY + timing.BOUND_MARGIN, W - timing.DAY + timing.TRIM_MARGIN
TRIMS = [
    ("sure enough: nothing was trimmed", dict(cut=W - 500, floor=W - 501, sure=OLD, first=W - 400)),
    ("one second too old", dict(cut=OLD - 100, floor=OLD - 101, sure=OLD - 1, first=YOUNG - 100)),
    ("not sure at all", dict(cut=W - 500, floor=W - 501, sure=None, first=W - 490)),
    ("the first row is old: the gap ends ten seconds behind it and lifts nothing", dict(cut=OLD - 700, floor=OLD - 701, sure=OLD - 800, first=YOUNG - 11)),
    ("ten seconds are cut at the bound", dict(cut=OLD - 700, floor=OLD - 701, sure=OLD - 800, first=YOUNG - 9)),
    ("a first row at the bound: the gap lifts", dict(cut=OLD - 700, floor=OLD - 701, sure=OLD - 800, first=YOUNG)),
    ("a first row behind the bound: the gap lifts", dict(cut=OLD - 700, floor=OLD - 701, sure=OLD - 800, first=W - 10)),
    ("an empty page: the gap lifts", dict(cut=OLD - 700, floor=OLD - 701, sure=OLD - 800, first=None)),
    ("a floor that closed_through lifted bounds the gap, not the question", dict(cut=OLD - 700, floor=W - 100, sure=OLD - 800, first=W - 99)),
    ("a cut above all bounds the gap", dict(cut=W - 50, floor=W - 300, sure=None, first=None)),
    ("not found: always a gap, however sure", dict(cut=W - 500, floor=W - 501, sure=W - 501, first=None, not_found=True)),
    ("not found, long unread", dict(cut=OLD - 700, floor=OLD - 701, sure=OLD - 800, first=None, not_found=True)),
    ("a floor right below the first row", dict(cut=YOUNG - 20, floor=YOUNG - 21, sure=None, first=YOUNG - 20)),
]
BARRED = [("sure of the parent", dict(floor=W - 900, sure=W - 5000, epoch_floor=W - 9000)), ("not sure: the epoch's floor", dict(floor=W - 900, sure=None, epoch_floor=W - 9000)),
          ("a floor ahead of the listing", dict(floor=W + 5, sure=W, epoch_floor=W - 9000))]


def row_digest(rows):
    total = 0
    for row in rows:
        fixed = {name: row[name] and bytes.fromhex(row[name]) for name in ("key_hash", "old_digest")}
        total += canonical.h128(canonical.fields([
            row["epoch"], row["shard_id"], row["sequence"].rjust(40, "0"), row["kind"], row["changed_at"], row["cut_at"],
            fixed["key_hash"], row["new_image"], fixed["old_digest"],
        ]))
    return f"{total % canonical.MODULUS:032x}"


def stored(rows):
    """Rows as a segment holds them: digests as bytes, sequence numbers padded; by column."""
    fixed = ("key_hash", "new_digest", "old_digest", "image_digest")
    whole = [{k: bytes.fromhex(v) if k in fixed and v else v.rjust(40, "0") if k == "sequence" else v for k, v in row.items()} for row in rows]
    return {name: [row[name] for row in whole] for name in (rows[0] if rows else segments.names_of("segment"))}


def root(kind, rows):
    return {"of": kind, "rows": rows, "root": segments.rows_root(stored(rows), segments.names_of(kind))}


def grown(count):
    """Rows that differ in their sequence number."""
    return [dict(CHANGES[i % 3], sequence=str(1000 + i)) for i in range(count)]


def base_case(rows):
    names = segments.names_of("base")
    return {"rows": rows, "digest": f"{segments.row_digest(stored(rows), names):032x}" if rows else "0" * 32}


def trim_case(why, given):
    point = lambda at: None if at is None else rfc3339(at)
    gap = timing.trim(W, **given)
    if gap:
        gap = {k: point(v) for k, v in gap.items() if k != "late"} | {"late": {"from": point(gap["late"][0]), "to": point(gap["late"][1])}}
    return {"why": why, "at": rfc3339(W), "cut": point(given["cut"]), "floor": point(given["floor"]), "sure": point(given["sure"]),
            "first_cut": point(given["first"]), "not_found": given.get("not_found", False), "gap": gap}


def barred_case(why, given):
    start, end, late = timing.barred(W, **given)
    point = lambda at: None if at is None else rfc3339(at)
    return {"why": why, "at": rfc3339(W), **{k: point(v) for k, v in given.items()}, "from_cut": point(start), "to_cut": point(end), "late": {"from": point(late[0]), "to": point(late[1])}}


def key_case(pk, sk):
    part = lambda key: key and {"type": key[0], "text": key[1]}
    return {"pk": part(pk), "sk": part(sk), "hash": canonical.key_hash(pk, sk).hex()}


VECTORS = {
    "key_hash": [key_case(pk, sk) for pk, sk in KEYS],
    "number": [{"text": t, "canonical": canonical.number(t)} for t in NUMBERS] + [{"text": t, "canonical": None} for t in REFUSED],
    "canonical": [{"json": v, "bytes": canonical.value_bytes(json.loads(v)).hex()} for v in VALUES],
    "image_digest": [{"json": i, "digest": f"{canonical.image_digest(json.loads(i)):032x}"} for i in IMAGES],
    "row_digest": [{"rows": rows, "digest": row_digest(rows)} for rows in ([], ROWS[:1], ROWS, ROWS + ROWS[:1])],
    "base_row_digest": [base_case(rows) for rows in ([], BASE_ROWS[:1], BASE_ROWS, BASE_ROWS[::-1], BASE_ROWS + BASE_ROWS[:1])],
    "rows_root": [root("segment", rows) for rows in ([], CHANGES[:1], CHANGES[:2], CHANGES, grown(5), grown(8), grown(9))]
    + [root("base", rows) for rows in (BASE_ROWS[:1], BASE_ROWS, BASE_ROWS[::-1])],
    "trim": [trim_case(why, given) for why, given in TRIMS],
    "barred": [barred_case(why, given) for why, given in BARRED],
    "closed_through": histories.cases(),
}

def text(cases):
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in cases)
    return '{\n "cases": [\n' + lines + "\n ]\n}\n"


if __name__ == "__main__":
    for name, cases in VECTORS.items():
        (OUT / f"{name}.json").write_text(text(cases), encoding="utf-8")
