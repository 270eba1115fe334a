"""Canonical values and digests, from `schemas/README.md` §4. Needs the `xxhash` package."""

import base64
import json
import re
import struct

import xxhash

NUMBER = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?")
MODULUS = 2**128
MOST_DIGITS = 512


def h128(data):
    return xxhash.xxh3_128_intdigest(data)


def number(text):
    """The canonical text of a number, by moving digits: nothing passes through a float."""
    match = NUMBER.fullmatch(text)
    if not match or not (match[2] or match[3]):
        raise ValueError(f"{text!r} is no number")
    sign, whole, part, exponent = match[1], match[2] or "", match[3] or "", int(match[4] or 0)
    digits, point = whole + part, len(whole) + exponent
    if not digits.strip("0"):
        return "0"
    if abs(point) > 10 * MOST_DIGITS:
        raise ValueError(f"{text!r} is out of any bounds")
    if point <= 0:
        digits, point = "0" * (1 - point) + digits, 1
    digits += "0" * max(0, point - len(digits))
    whole, part = digits[:point].lstrip("0") or "0", digits[point:].rstrip("0")
    if max(len(whole), len(part)) > MOST_DIGITS:
        raise ValueError(f"{text!r} has more than {MOST_DIGITS} digits on one side of the point")
    plain = whole + ("." + part if part else "")
    return "-" + plain if sign == "-" and plain != "0" else plain


def ordered(text):
    """A sort key by value for canonical number text, without floats."""
    negative = text.startswith("-")
    whole, _, part = text.lstrip("-").partition(".")
    # Padded, texts compare as numbers.
    magnitude = whole.rjust(MOST_DIGITS, "0") + part.ljust(MOST_DIGITS, "0")
    if not negative:
        return (1, magnitude)
    return (0, magnitude.translate(str.maketrans("0123456789", "9876543210")))


def sized(data):
    return struct.pack(">I", len(data)) + data


def counted(parts):
    parts = list(parts)
    return struct.pack(">I", len(parts)) + b"".join(parts)


def content(tag, value):
    """The canonical bytes behind the tag."""
    if tag in ("BOOL", "NULL"):
        return sized(b"true" if value else b"false")
    if tag == "S":
        return sized(value.encode())
    if tag == "N":
        return sized(number(value).encode())
    if tag == "B":
        return sized(base64.b64decode(value))
    if tag == "SS":
        return counted(map(sized, sorted(x.encode() for x in value)))
    if tag == "NS":
        return counted(sized(x.encode()) for x in sorted(map(number, value), key=ordered))
    if tag == "BS":
        return counted(map(sized, sorted(map(base64.b64decode, value))))
    if tag == "L":
        return counted(map(value_bytes, value))
    if tag == "M":
        named = sorted(((name.encode(), member) for name, member in value.items()), key=lambda pair: pair[0])
        return counted(sized(name) + value_bytes(member) for name, member in named)
    raise ValueError(f"{tag} is no type of an attribute")


def value_bytes(attribute):
    """The canonical bytes of `{"S": "…"}` and its like."""
    ((tag, value),) = attribute.items()
    return tag.encode() + content(tag, value)


def image_digest(image):
    """The digest of an image (a dict of attributes), as an integer."""
    total = 0
    for name, attribute in image.items():
        raw = name.encode()
        total += h128(sized(raw) + value_bytes(attribute))
    return total % MODULUS


def key_part(tag, text):
    """What one key value contributes to the hash: tag, length, bytes."""
    raw = base64.b64decode(text) if tag == "B" else text.encode()
    return tag.encode() + sized(raw)


def key_hash(pk, sk=None):
    """16 bytes; `pk` and `sk` are (tag, text as segments store it)."""
    first = key_part(*pk)
    whole = first + (key_part(*sk) if sk else b"")
    mask = (1 << 64) - 1
    return ((h128(first) & ~mask) | (h128(whole) & mask)).to_bytes(16, "big")


def fields(values):
    """Field bytes: length-prefixed, null as FFFFFFFF, integers as 8 bytes."""
    out = bytearray()
    for value in values:
        if value is None:
            out += b"\xff\xff\xff\xff"
            continue
        if isinstance(value, int):
            value = struct.pack(">q", value)
        elif isinstance(value, str):
            value = value.encode()
        out += sized(value)
    return bytes(out)


def plain(attribute):
    """An attribute value as JSON text in which equal values are equal, to compare items of different origin."""
    def walk(a):
        ((tag, v),) = a.items()
        if tag == "N":
            return {tag: number(v)}
        if tag == "NS":
            return {tag: sorted((number(x) for x in v), key=ordered)}
        if tag in ("SS", "BS"):
            return {tag: sorted(v)}
        if tag == "L":
            return {tag: [walk(x) for x in v]}
        if tag == "M":
            return {tag: {k: walk(x) for k, x in v.items()}}
        return {tag: v}

    return json.dumps(walk(attribute), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def plain_item(image):
    """A whole item as canonical JSON text."""
    return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{plain(v)}" for k, v in sorted(image.items())) + "}"
