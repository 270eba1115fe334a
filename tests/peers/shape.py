"""What `schemas/*.schema.json` say of a JSON value. Only the words of JSON Schema that these files use; any other stops the program."""

import functools
import json
import pathlib
import re

SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "schemas"
SAID = {"$schema", "$id", "$defs", "title", "description", "default"}
KINDS = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: type(v) is int,
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
}


class Misshapen(Exception):
    """A value is not what its schema says."""


@functools.cache
def document(name):
    return json.loads((SCHEMAS / name).read_text(encoding="utf-8"))


def resolve(reference, root):
    """(schema, the document it stands in) of a `$ref`."""
    name, _, place = reference.partition("#")
    root = document(name) if name else root
    found = root
    for part in place.strip("/").split("/") if place else []:
        found = found[part]
    return found, root


def same(a, b):
    """Equality of JSON values: true is not 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def fail(where, why):
    raise Misshapen(f"{where or 'the value'}: {why}")


def objects(schema, value, root, where):
    missing = set(schema.get("required", ())) - set(value)
    if missing:
        fail(where, f"lacks {sorted(missing)[0]}")
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, member in value.items():
        inner = f"{where}.{name}" if where else name
        if name in known:
            check(known[name], member, root, inner)
        elif others is False:
            fail(where, f"has an unknown member {name!r}")
        elif others is not True:
            check(others, member, root, inner)


def arrays(schema, value, root, where):
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        fail(where, f"has {len(value)} elements")
    for i, item in enumerate(value):
        firsts = schema.get("prefixItems", [])
        inner = firsts[i] if i < len(firsts) else schema.get("items", True)
        check(inner, item, root, f"{where}[{i}]")


def one_of(choices, value, root, where):
    """Exactly one choice fits; of the reasons that none does the last is told that is not about an action's name."""
    fits, reasons = 0, []
    for choice in choices:
        try:
            check(choice, value, root, where)
            fits += 1
        except Misshapen as reason:
            reasons.append(str(reason))
    if fits != 1:
        telling = [r for r in reasons if ".action:" not in r and not r.startswith("action:")] or reasons
        fail(where, f"fits {fits} of its forms" + (f" ({telling[0]})" if telling and not fits else ""))


def check(schema, value, root, where=""):
    """Raises Misshapen unless `value` is what `schema`, a part of the document `root`, says."""
    if schema is True or schema == {}:
        return
    for word, said in schema.items():
        if word in SAID or word in ("properties", "required", "additionalProperties", "items", "prefixItems", "minItems", "maxItems"):
            continue
        if word == "$ref":
            inner, other = resolve(said, root)
            check(inner, value, other, where)
        elif word == "type":
            if not any(KINDS[kind](value) for kind in ([said] if isinstance(said, str) else said)):
                fail(where, f"is no {said}")
        elif word == "const":
            same(value, said) or fail(where, f"is not {said!r}")
        elif word == "enum":
            any(same(value, each) for each in said) or fail(where, f"is none of {said}")
        elif word == "pattern":
            # `\d` of JSON Schema knows ASCII digits only, and `$` no line end.
            plain = said.replace(r"\d", "[0-9]")
            isinstance(value, str) and re.search(plain[:-1] + r"\Z" if plain.endswith("$") else plain, value) or fail(where, "has another form")
        elif word in ("minimum", "maximum"):
            (value >= said if word == "minimum" else value <= said) or fail(where, f"is out of bounds: {value}")
        elif word == "minLength":
            len(value) >= said or fail(where, "is too short")
        elif word == "not":
            try:
                check(said, value, root, where)
            except Misshapen:
                continue
            fail(where, f"is excluded: {value!r}")
        elif word == "oneOf":
            one_of(said, value, root, where)
        else:
            raise NotImplementedError(f"this program does not know the word {word!r} of JSON Schema")
    if isinstance(value, dict):
        objects(schema, value, root, where)
    if isinstance(value, list):
        arrays(schema, value, root, where)


def is_a(name, value, place=""):
    """Raises Misshapen unless `value` is what the schema `name` says, or its part `place`."""
    schema, root = resolve(f"{name}#{place}", None)
    check(schema, value, root)
