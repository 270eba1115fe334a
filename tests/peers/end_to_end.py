#!/usr/bin/env python3
"""The whole path against servers that nobody here wrote: write, capture under SIGKILL, replay, compare.

A writer changes a table and keeps its own model. `tailrace capture`, the real binary, archives meanwhile; it
is killed at random moments and started again. Then `capture --once`, `verify`, and a replay at every cut, each
compared with the model item by item; the independent replayer must agree; every change must stand exactly once.

Cuts are by sequence number where the server stamps whole minutes (`--by sequence`), else by time. The ith record
of the stream is the ith change of the model, so the server itself says which sequence number a cut has.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import boto3
from botocore.config import Config

import canonical
import model
import replayer
from log import rfc3339

CLIENT = Config(retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=120)


class Failed(Exception):
    """The product did not do what it promises."""


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="the tailrace binary")
    parser.add_argument("--dynamodb", required=True, help="endpoint URL of a DynamoDB with streams")
    parser.add_argument("--s3", help="endpoint URL of an S3; without it the archive is a local folder")
    parser.add_argument("--by", choices=["sequence", "time"], required=True)
    parser.add_argument("--changes", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--cuts", type=int, default=5)
    parser.add_argument("--captures", type=int, default=1, help="capture processes at once")
    parser.add_argument("--flush-age", default="1s", help="of the captures; a longer one asks the server less often")
    parser.add_argument("--width", type=int, default=0, help="distinct keys (default: a fifth of the changes)")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--work", help="folder for outputs (default: a temporary one)")
    return parser.parse_args()


def environment(o):
    """What the binary, boto3 and the replayer read; credentials that local servers take."""
    env = dict(
        AWS_ACCESS_KEY_ID="minioadmin", AWS_SECRET_ACCESS_KEY="minioadmin", AWS_REGION="us-east-1",
        AWS_DEFAULT_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true",
        AWS_ENDPOINT_URL_DYNAMODB=o.dynamodb, AWS_ENDPOINT_URL_DYNAMODB_STREAMS=o.dynamodb,
    )
    if o.s3:
        env["AWS_ENDPOINT_URL_S3"] = o.s3
    os.environ.update(env)


class Run:
    """One pass: the table, the archive, the processes."""

    def __init__(self, o):
        self.o = o
        self.seed = o.seed if o.seed is not None else random.SystemRandom().randrange(10**9)
        self.rng = random.Random(self.seed)
        self.work = o.work or tempfile.mkdtemp(prefix="tailrace-peers-")
        os.makedirs(self.work, exist_ok=True)
        self.name = f"orders-{uuid.uuid4().hex[:8]}"
        self.client = boto3.client("dynamodb", config=CLIENT)
        self.streams = boto3.client("dynamodbstreams", config=CLIENT)
        self.archive = self.place()
        self.captures, self.killed, self.stopping = [], 0, threading.Event()
        self.lock = threading.Lock()

    def place(self):
        if not self.o.s3:
            return os.path.join(self.work, "archive")
        bucket = f"archive-{uuid.uuid4().hex[:8]}"
        boto3.client("s3", config=Config(s3={"addressing_style": "path"})).create_bucket(Bucket=bucket)
        return f"s3://{bucket}/tailrace"

    def tailrace(self, *arguments, expect=0):
        """Runs the binary to its end; returns what it printed."""
        done = subprocess.run([self.o.binary, *arguments, "--archive", self.archive], capture_output=True, text=True, timeout=1800)
        if done.returncode != expect:
            raise Failed(f"tailrace {' '.join(arguments)}: exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}")
        return done.stdout

    # The table.

    def create_table(self):
        made = self.client.create_table(
            TableName=self.name, BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": n, "AttributeType": t} for n, t in model.KEYS.items()],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        self.client.get_waiter("table_exists").wait(TableName=self.name, WaiterConfig={"Delay": 1})
        self.stream = made["TableDescription"]["LatestStreamArn"]

    def sequences(self):
        """The sequence number of every record, read from the stream itself."""
        shards = self.streams.describe_stream(StreamArn=self.stream)["StreamDescription"]["Shards"]
        if len(shards) != 1:
            raise Failed(f"this test expects a server with one shard, it lists {len(shards)}")
        where = dict(StreamArn=self.stream, ShardId=shards[0]["ShardId"], ShardIteratorType="TRIM_HORIZON")
        iterator, found, empty = self.streams.get_shard_iterator(**where)["ShardIterator"], [], 0
        while iterator and empty < 3:
            page = self.streams.get_records(ShardIterator=iterator, Limit=1000)
            found += [r["dynamodb"]["SequenceNumber"] for r in page["Records"]]
            empty = 0 if page["Records"] else empty + 1
            iterator = page.get("NextShardIterator")
        return found

    # The processes.

    def start_capture(self, i):
        log = open(os.path.join(self.work, f"capture-{i}.log"), "ab")
        command = [self.o.binary, "capture", "--archive", self.archive, "--table", self.name, "--settle", "5s", "--flush-age", self.o.flush_age]
        return subprocess.Popen(command, stdout=log, stderr=log)

    def start_captures(self):
        self.captures = [self.start_capture(i) for i in range(self.o.captures)]

    def watch(self):
        """A capture that ends by itself while the test runs is a failure."""
        for i, process in enumerate(self.captures):
            if process.poll() is not None:
                tail = open(os.path.join(self.work, f"capture-{i}.log")).read()[-4000:]
                raise Failed(f"capture {i} ended by itself with {process.returncode}:\n{tail}")

    def kill_one(self):
        """SIGKILL, then a new process in its place."""
        i = self.rng.randrange(len(self.captures))
        self.captures[i].send_signal(signal.SIGKILL)
        self.captures[i].wait()
        time.sleep(self.rng.random() * 2)
        self.captures[i] = self.start_capture(i)
        self.killed += 1

    def stop_captures(self):
        """SIGTERM must end a capture within 30 s, cleanly."""
        for process in self.captures:
            process.terminate()
        for i, process in enumerate(self.captures):
            if process.wait(timeout=30) not in (0, 143):
                raise Failed(f"capture {i} ended with {process.returncode} on SIGTERM, see {self.work}/capture-{i}.log")

    def end(self):
        for process in self.captures:
            if process.poll() is None:
                process.kill()

    # The story.

    def write(self):
        """All changes, with cuts and kills at random places among them; returns [(changes, second, items)]."""
        o = self.o
        writer = model.Writer(self.client, self.name, self.seed, o.width or max(50, o.changes // 5))
        marks = lambda count: sorted(self.rng.sample(range(o.changes // 20, o.changes), count))
        cut_marks, kill_marks, cuts = marks(o.cuts), marks(o.kills), []
        while writer.changes < o.changes:
            writer.step()
            if kill_marks and writer.changes >= kill_marks[0]:
                kill_marks.pop(0)
                self.kill_one()
            if cut_marks and writer.changes >= cut_marks[0]:
                cut_marks.pop(0)
                at = writer.quiet_second() if o.by == "time" else None
                cuts.append((writer.changes, at, writer.snapshot()))
            self.watch()
        if o.by == "time":
            writer.quiet_second()
        return writer, cuts

    def compare(self, cut, number, sequences):
        """One replay by the binary and one by the independent replayer, each against the model."""
        changes, at, items = cut
        truth = {(key[0], canonical.number(key[1])): model.plain(item) for key, item in items.items()}
        if self.o.by == "time":
            point, name = ["--at", rfc3339(at)], rfc3339(at)
            theirs, _ = replayer.image_at(self.table, at)
        else:
            sequence = sequences[changes - 1]
            point, name = ["--at-sequence", sequence], sequence
            theirs, _ = replayer.image_at_sequence(self.table, int(sequence))
        out = os.path.join(self.work, f"cut-{number}.jsonl")
        self.tailrace("replay", "--table", self.name, *point, "--into", f"file:{out}", "--json")
        self.differ(f"replay at {name}", truth, self.items_of(out))
        self.differ(f"the independent replayer at {name}", truth, {k: canonical.plain_item(v) for k, v in theirs.items()})

    def snapshot(self, writer):
        """A base of the table as it ended: both replayers give the model's last items, and every check holds with it."""
        patience = ["--settle", "5s", "--flush-age", "1s", "--slack", "5s"]
        self.tailrace("base", "--table", self.name, *patience, "--read-units", "100000")
        self.tailrace("verify")
        self.table = replayer.Table(self.archive, self.name)
        replayer.check(self.table)
        self.compare((writer.changes, self.table.manifest.closed_through, writer.snapshot()), "base", self.sequences())

    def items_of(self, path):
        """The items of a replayed file, by key; a key that stands twice is a failure."""
        found = {}
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                item = json.loads(line)["Item"]
                key = (item["pk"]["S"], canonical.number(item["sk"]["N"]))
                if key in found:
                    raise Failed(f"{path} holds {key} twice")
                found[key] = canonical.plain_item(item)
        return found

    def differ(self, what, truth, got):
        missing, extra = truth.keys() - got.keys(), got.keys() - truth.keys()
        changed = [k for k in truth.keys() & got.keys() if truth[k] != got[k]]
        if missing or extra or changed:
            lines = [f"{what}: {len(missing)} items missing, {len(extra)} too many, {len(changed)} differ (of {len(truth)})"]
            lines += [f"  missing {k}" for k in sorted(missing)[:3]] + [f"  extra {k}" for k in sorted(extra)[:3]]
            lines += [f"  {k}\n    model  {truth[k][:400]}\n    replay {got[k][:400]}" for k in sorted(changed)[:2]]
            raise Failed("\n".join(lines))

    def run(self):
        began = time.monotonic()
        self.create_table()
        self.tailrace("init")
        self.start_captures()
        writer, cuts = self.write()
        wrote = time.monotonic()
        self.stop_captures()
        self.tailrace("capture", "--table", self.name, "--once", "--settle", "5s", "--flush-age", "1s")
        caught_up = time.monotonic()
        self.tailrace("verify")
        sequences = self.sequences()
        if len(sequences) != writer.changes:
            raise Failed(f"the server has {len(sequences)} records, the writer made {writer.changes} changes")
        self.table = replayer.Table(self.archive, self.name)
        self.exactly_once(sequences)
        for number, cut in enumerate(cuts):
            self.compare(cut, number, sequences)
        self.snapshot(writer)
        manifest = self.table.manifest
        return dict(
            changes=writer.changes, kills=self.killed, captures=self.o.captures, cuts=len(cuts), by=self.o.by,
            items=len(writer.items), entries=manifest.next, segments=len(manifest.segments), gaps=len(manifest.gaps),
            bytes=sum(m["bytes"] for m in manifest.segments.values()), seed=self.seed,
            write_s=round(wrote - began, 1), catch_up_s=round(caught_up - wrote, 1), check_s=round(time.monotonic() - caught_up, 1),
        )

    def exactly_once(self, sequences):
        """Spans against rows, rows against the server's own sequence numbers."""
        replayer.check(self.table)
        stored = sorted(row.position[2] for rows in self.table.keys().values() for row in rows)
        if stored != sorted(map(int, sequences)):
            raise Failed(f"{len(sequences)} changes were delivered, {len(stored)} are archived, or others")
        if self.table.manifest.gaps:
            raise Failed(f"gaps were committed although nothing was lost: {self.table.manifest.gaps}")


def main():
    o = options()
    environment(o)
    run = Run(o)
    try:
        figures = run.run()
    except (Failed, replayer.Refused) as failure:
        print(f"FAILED (seed {run.seed}, outputs in {run.work})\n{failure}", file=sys.stderr)
        sys.exit(1)
    finally:
        run.end()
    readers = os.path.join(os.path.dirname(os.path.abspath(__file__)), "readers.py")
    subprocess.run([sys.executable, readers, run.archive, run.name], check=True, stdout=sys.stderr)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
