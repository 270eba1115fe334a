"""A writer that keeps its own model of the table: what every cut should look like, without asking anybody."""

import base64
import random
import time

import canonical

KEYS = {"pk": "S", "sk": "N"}


def number(rng):
    """Numbers of every shape that DynamoDB stores exactly: up to 38 digits, small and large magnitudes."""
    shape = rng.randrange(6)
    if shape == 0:
        return str(rng.randint(-10**6, 10**6))
    if shape == 1:
        return str(rng.randint(10**37, 10**38 - 1))
    if shape == 2:
        return f"{rng.randint(-999, 999)}.{rng.randint(1, 99999):05d}"
    if shape == 3:
        return f"{rng.randint(1, 9)}.5E+{rng.randint(1, 60)}"
    if shape == 4:
        return f"{rng.randint(1, 9)}E-{rng.randint(1, 60)}"
    return rng.choice(["0", "1", "-1", "0.1", "1.50"])


def text(rng):
    return rng.choice(["", "plain", 'a "quoted" \\ line\n', "grün 水 🜄", "\u0001\u007f", "x" * rng.randint(1, 300)])


def binary(rng):
    return {"B": rng.randbytes(rng.randint(1, 40))}


def nested(rng, depth):
    if depth == 0:
        return {"N": number(rng)}
    if rng.random() < 0.5:
        return {"L": [nested(rng, depth - 1), {"S": text(rng)}, {"NULL": True}]}
    return {"M": {"a.b": nested(rng, depth - 1), "set": {"BOOL": rng.random() < 0.5}, "é": {"S": text(rng)}}}


def attributes(rng):
    """A few attributes out of every type, with odd names among them."""
    makers = {
        "name": lambda: {"S": text(rng)},
        "Item": lambda: {"N": number(rng)},
        "a.b": lambda: binary(rng),
        "flag": lambda: {"BOOL": rng.random() < 0.5},
        "none": lambda: {"NULL": True},
        "drop": lambda: {"SS": sorted({f"s{rng.randrange(50)}" for _ in range(rng.randint(1, 5))})},
        "set": lambda: {"NS": sorted({str(rng.randrange(-50, 50)) for _ in range(rng.randint(1, 5))})},
        "blobs": lambda: {"BS": sorted({rng.randbytes(6) for _ in range(rng.randint(1, 3))})},
        "list": lambda: nested(rng, rng.randint(1, 4)),
        "n" * 300: lambda: {"S": "long name"},
    }
    return {name: makers[name]() for name in rng.sample(list(makers), rng.randint(1, 6))}


def wire(attribute):
    """An attribute as the service's JSON has it: binaries in base64."""
    ((tag, value),) = attribute.items()
    if tag == "B":
        return {tag: base64.b64encode(value).decode()}
    if tag == "BS":
        return {tag: [base64.b64encode(x).decode() for x in value]}
    if tag == "L":
        return {tag: [wire(x) for x in value]}
    if tag == "M":
        return {tag: {k: wire(x) for k, x in value.items()}}
    return attribute


def plain(item):
    """An item of boto3's low-level client as canonical JSON text."""
    return canonical.plain_item({name: wire(value) for name, value in item.items()})


class Writer:
    """Makes random changes to one table; `items` is the model, `changes` how many there were."""

    def __init__(self, client, table, seed, width):
        self.client, self.table, self.rng, self.width = client, table, random.Random(seed), width
        self.items, self.changes, self.version = {}, 0, 0

    def key(self):
        n = self.rng.randrange(self.width)
        return f"customer-{n % 997}", str(n // 997)

    def fresh(self, key):
        self.version += 1  # no write is without effect, so each is one record
        return {"pk": {"S": key[0]}, "sk": {"N": key[1]}, "version": {"N": str(self.version)}, **attributes(self.rng)}

    def batch(self):
        """Up to 25 puts and deletes of distinct keys in one request."""
        wanted, requests = {}, []
        for key in {self.key() for _ in range(25)}:
            if key in self.items and self.rng.random() < 0.3:
                wanted[key] = None
                requests.append({"DeleteRequest": {"Key": {"pk": {"S": key[0]}, "sk": {"N": key[1]}}}})
            else:
                wanted[key] = self.fresh(key)
                requests.append({"PutRequest": {"Item": wanted[key]}})
        answer = self.client.batch_write_item(RequestItems={self.table: requests})
        assert not answer.get("UnprocessedItems"), "the server left items unprocessed"
        for key, item in wanted.items():
            self.note(key, item)

    def note(self, key, item):
        self.changes += 1
        if item is None:
            del self.items[key]
        else:
            self.items[key] = item

    def single(self):
        """One put, update or delete."""
        key = self.key()
        name = {"pk": {"S": key[0]}, "sk": {"N": key[1]}}
        old, choice = self.items.get(key), self.rng.random()
        if old is not None and choice < 0.3:
            self.client.delete_item(TableName=self.table, Key=name)
            self.note(key, None)
        elif old is not None and choice < 0.8:
            self.update(key, name, old)
        else:
            item = self.fresh(key)
            self.client.put_item(TableName=self.table, Item=item)
            self.note(key, item)

    def update(self, key, name, old):
        """UpdateItem: some attributes set, one removed."""
        new = {k: v for k, v in self.fresh(key).items() if k not in KEYS}
        gone = [k for k in old if k not in KEYS and k not in new][:1]
        names = {f"#{i}": k for i, k in enumerate([*new, *gone])}
        values = {f":{i}": v for i, v in enumerate(new.values())}
        text = "SET " + ", ".join(f"#{i} = :{i}" for i in range(len(new)))
        text += f" REMOVE #{len(new)}" if gone else ""
        self.client.update_item(TableName=self.table, Key=name, UpdateExpression=text,
                                ExpressionAttributeNames=names, ExpressionAttributeValues=values)
        self.note(key, {k: v for k, v in old.items() if k not in gone} | new)

    def step(self):
        if self.rng.random() < 0.7:
            self.batch()
        else:
            self.single()

    def snapshot(self):
        """The model now. Items are never changed in place, so a shallow copy is enough."""
        return dict(self.items)

    def quiet_second(self):
        """Waits until a whole second lies between what was written and what comes; returns that second."""
        at = int(time.time())
        while time.time() < at + 1.1:
            time.sleep(0.02)
        return at
