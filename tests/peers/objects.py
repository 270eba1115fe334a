"""Reads the objects of an archive, from a folder or an S3 bucket. Nothing here writes."""

import os
import urllib.parse


class Folder:
    """An archive in a local folder."""

    def __init__(self, root):
        self.root = root

    def get(self, path):
        """The object's bytes, or None."""
        try:
            with open(os.path.join(self.root, path), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    get_oldest = get

    def folders(self, prefix):
        """Names of the folders directly under `prefix`."""
        path = os.path.join(self.root, prefix)
        if not os.path.isdir(path):
            return []
        return sorted(name for name in os.listdir(path) if os.path.isdir(os.path.join(path, name)))

    def names(self, prefix):
        """Names of the objects directly under `prefix`; a name that begins with `.` is none."""
        path = os.path.join(self.root, prefix)
        if not os.path.isdir(path):
            return []
        return sorted(name for name in os.listdir(path) if os.path.isfile(os.path.join(path, name)) and not name.startswith("."))


class Bucket:
    """An archive in S3; endpoint and credentials come from the environment."""

    def __init__(self, bucket, prefix):
        import boto3
        from botocore.config import Config

        self.client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
        self.bucket, self.prefix = bucket, prefix.strip("/")

    def key(self, path):
        return f"{self.prefix}/{path}" if self.prefix else path

    def get(self, path, **version):
        """The object's bytes, or None."""
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.key(path), **version)
        except self.client.exceptions.NoSuchKey:
            return None
        return answer["Body"].read()

    def get_oldest(self, path):
        """The oldest version of a log slot: later ones are no part of the log."""
        key, versions = self.key(path), []
        for page in self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=key):
            versions += [v["VersionId"] for v in page.get("Versions", []) if v["Key"] == key]
            if any(m["Key"] == key for m in page.get("DeleteMarkers", [])) and not versions:
                raise SystemExit(f"{path} is hidden by a delete marker")
        if not versions:
            return None
        return self.get(path) if versions[-1] == "null" else self.get(path, VersionId=versions[-1])

    def folders(self, prefix):
        """Names of the folders directly under `prefix`."""
        start, found = self.key(prefix).rstrip("/") + "/", []
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start, Delimiter="/")
        for page in pages:
            found += [p["Prefix"][len(start):].rstrip("/") for p in page.get("CommonPrefixes", [])]
        return sorted(found)

    def names(self, prefix):
        """Names of the objects directly under `prefix`."""
        start, found = self.key(prefix).rstrip("/") + "/", []
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start, Delimiter="/"):
            found += [o["Key"][len(start):] for o in page.get("Contents", [])]
        return sorted(found)


def open_archive(url):
    """`s3://bucket/prefix`, `file:///path` or a plain path."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "s3":
        return Bucket(parts.netloc, parts.path)
    return Folder(urllib.parse.unquote(parts.path) if parts.scheme == "file" else url)


def tables(archive):
    """The table folders of an archive."""
    for account in archive.folders("tables"):
        for region in archive.folders(f"tables/{account}"):
            for name in archive.folders(f"tables/{account}/{region}"):
                for table_id in archive.folders(f"tables/{account}/{region}/{name}"):
                    yield f"tables/{account}/{region}/{name}/{table_id}"


def find_table(archive, wanted):
    """The one table folder that `NAME`, `NAME@ID` or a whole folder means."""
    def matches(folder):
        parts = folder.split("/")
        return wanted in (folder, parts[3], f"{parts[3]}@{parts[4]}")

    found = [folder for folder in tables(archive) if matches(folder)]
    if len(found) != 1:
        raise SystemExit(f"{wanted}: {len(found)} tables of that name: {', '.join(found) or 'none'}")
    return found[0]
