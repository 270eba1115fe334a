"""Points of time, refusals, and the JSON of stored objects (`schemas/README.md` §6.1)."""

import datetime
import json
import re

SECOND = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")
DAY = 24 * 3600


class Refused(Exception):
    """The archive does not allow an answer, or is not what the format says."""


class Invalid(Refused):
    """An entry without effect: it occupies its number."""


class Newer(Refused):
    """Something that only a newer program understands."""


def second(text):
    """RFC 3339 with Z and whole seconds -> seconds since 1970."""
    match = SECOND.fullmatch(text)
    if not match:
        raise Refused(f"{text!r} is no whole second in UTC")
    try:
        return int(datetime.datetime(*map(int, match.groups()), tzinfo=datetime.timezone.utc).timestamp())
    except ValueError as why:
        raise Refused(f"{text!r} is no second: {why}") from None


def rfc3339(at):
    """Seconds since 1970 -> RFC 3339."""
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=at)).strftime("%Y-%m-%dT%H:%M:%SZ")


def day_of(at):
    """The UTC date of a second."""
    return rfc3339(at)[:10]


def last_second(day):
    """23:59:59 of a day."""
    return second(f"{day}T00:00:00Z") + DAY - 1


def following(day):
    """The day after a day."""
    return day_of(last_second(day) + 1)


def unique(pairs):
    """Refuses repeated member names."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member name is repeated")
    return members


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


def parse(text):
    """Strict JSON from bytes: UTF-8, no repeated names, no NaN, no half of a surrogate pair. Raises ValueError."""
    value = json.loads(text.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_constant)
    json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def texts(text, name):
    """The elements of the list `name` of a JSON object, each as it is written. The text is known to be JSON."""
    scan, found = json.JSONDecoder().raw_decode, []
    place = re.compile(r"[ \t\n\r]*\{[ \t\n\r]*").match(text).end()
    while text[place] == '"':
        member, place = scan(text, place)
        if member != name:
            place = re.compile(r"[ \t\n\r:]*").match(text, place).end()
            _, place = scan(text, place)
            place = re.compile(r"[ \t\n\r,]*").match(text, place).end()
            continue
        place = re.compile(r"[ \t\n\r:]*\[[ \t\n\r]*").match(text, place).end()
        while text[place] != "]":
            _, end = scan(text, place)
            found.append(text[place:end])
            place = re.compile(r"[ \t\n\r,]*").match(text, end).end()
        return found
    return found
