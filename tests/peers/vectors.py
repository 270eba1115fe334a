"""Writes `schemas/vectors/{key_hash,number,canonical,image_digest,row_digest}.json` from the page `schemas/README.md` alone.

The inputs are below; the results come from `canonical.py`, which shares no code with the archiver. Needs `xxhash`.
Usage: python3 tests/peers/vectors.py
"""

import json
import pathlib

import canonical

OUT = pathlib.Path(__file__).resolve().parents[2] / "schemas" / "vectors"

KEYS = [
    (("S", "a"), None), (("S", "a"), ("S", "b")), (("S", "ab"), None), (("S", "a"), ("N", "1")), (("N", "1"), None),
    (("N", "-12.5"), ("B", "AAEC/w==")), (("B", "aGk="), ("S", "hi")), (("S", "ключ"), ("S", "😀")), (("S", "x" * 2048), None),
]
NUMBERS = ["0", "-0", "+0.000", "00012", "+7", "1.50", ".5", "5.", "-.5e-1", "1E2", "1e+002", "1.25e1", "100e-2", "-120e-3", "1e125", "1e-130",
           "9" * 38, "-" + "9" * 38 + "e88", "0.00000000000000000000000000000000000001"]
REFUSED = ["", "-", "+", ".", "e1", "1e", "1e+", "--1", " 1", "1 ", "1_0", "0x1", "NaN", "Infinity", "1.2.3", "1e999999"]
VALUES = [
    '{"S":""}', '{"S":"a"}', '{"S":"\\u00e9\\n\\"\\ud83d\\ude00"}', '{"N":"1.0"}', '{"N":"-0"}', '{"B":""}', '{"B":"AAEC/w=="}', '{"BOOL":true}',
    '{"BOOL":false}', '{"NULL":true}', '{"SS":["b","a",""]}', '{"SS":["\U0001f600","\uffee","a"]}', '{"NS":["10","9","-1.50","-2","0.1","1e-3"]}',
    '{"BS":["/w==","AA==",""]}', '{"L":[]}', '{"L":[{"S":"b"},{"N":"01"},{"L":[{"NULL":true}]}]}', '{"M":{}}',
    '{"M":{"b":{"N":"2"},"a":{"M":{"set":{"S":"x"},"":{"S":"y"}}},"ab":{"BOOL":true}}}',
]
IMAGES = [
    "{}", '{"pk":{"S":"a"}}', '{"pk":{"S":"a"},"n":{"N":"1"}}', '{ "n" : { "N" : "1.00" } , "p\\u006b" : {"S":"a"} }',
    '{"a.b":{"S":"x"},"Item":{"M":{"S":{"N":"1"}}},"drop":{"NULL":true},"tags":{"SS":["y","x"]}}',
]
ROWS = [
    dict(epoch=1, shard_id="shardId-00000001", sequence="100000000000000000001", kind="INSERT", changed_at=1795305600123456, cut_at=1795305600000000,
         key_hash="000102030405060708090a0b0c0d0e0f", new_image='{"pk":{"S":"a"}}', old_digest=None),
    dict(epoch=2, shard_id="shardId-00000002", sequence="9" * 40, kind="REMOVE", changed_at=-1, cut_at=1795305601000000,
         key_hash="ff" * 16, new_image=None, old_digest="f0" * 16),
    dict(epoch=1, shard_id="shardId-00000001", sequence="7", kind="UNKNOWN", changed_at=0, cut_at=1795305601000000,
         key_hash=None, new_image='{"eventName":"ODD"}', old_digest=None),
]


def row_digest(rows):
    total = 0
    for row in rows:
        fixed = {name: row[name] and bytes.fromhex(row[name]) for name in ("key_hash", "old_digest")}
        total += canonical.h128(canonical.fields([
            row["epoch"], row["shard_id"], row["sequence"].rjust(40, "0"), row["kind"], row["changed_at"], row["cut_at"],
            fixed["key_hash"], row["new_image"], fixed["old_digest"],
        ]))
    return f"{total % canonical.MODULUS:032x}"


def key_case(pk, sk):
    part = lambda key: key and {"type": key[0], "text": key[1]}
    return {"pk": part(pk), "sk": part(sk), "hash": canonical.key_hash(pk, sk).hex()}


VECTORS = {
    "key_hash": [key_case(pk, sk) for pk, sk in KEYS],
    "number": [{"text": t, "canonical": canonical.number(t)} for t in NUMBERS] + [{"text": t, "canonical": None} for t in REFUSED],
    "canonical": [{"json": v, "bytes": canonical.value_bytes(json.loads(v)).hex()} for v in VALUES],
    "image_digest": [{"json": i, "digest": f"{canonical.image_digest(json.loads(i)):032x}"} for i in IMAGES],
    "row_digest": [{"rows": rows, "digest": row_digest(rows)} for rows in ([], ROWS[:1], ROWS, ROWS + ROWS[:1])],
}

for name, cases in VECTORS.items():
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in cases)
    (OUT / f"{name}.json").write_text('{\n "cases": [\n' + lines + "\n ]\n}\n", encoding="utf-8")
