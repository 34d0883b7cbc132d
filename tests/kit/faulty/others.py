"""Policies, trigger decoders and artifact decoders: right ones, and ones with one fault each."""

from __future__ import annotations

import base64
import copy
import datetime as dt
import json
import os
import pickle
import struct
import tempfile
import zlib
from types import SimpleNamespace

from mfc.errors import UndecodableArtifact, UntrustedValue
from mfc.hookspecs import Event, hookimpl
from mfc.model import Level, Pathspec, Record


def run(name, user, tags, flow="F"):
    system = frozenset({f"user:{user}"}) if user else frozenset()
    return Record(Pathspec((flow, name)), 1_000 + len(name), user, frozenset(tags), system)


ADAS, BOBS, NOBODYS = (
    run("1", "ada", ["blue"]),
    run("22", "bob", ["blue", "red"]),
    run("3", None, ["red"]),
)
VISIBLE = [("user:ada", ADAS), ("blue", ADAS), ("blue", BOBS), ("user:bob", BOBS), ("red", NOBODYS)]
HIDDEN = [
    ("user:ada", BOBS),
    ("user:ada", NOBODYS),
    ("red", ADAS),
    ("blue", NOBODYS),
    ("user:bob", ADAS),
    ("user:ada", run("4", "eve", [])),
    ("BLUE", ADAS),
]
LOCKED = [("user:bob", BOBS)]


class Policy:
    """A namespace is a tag; only ada may change other users' tags."""

    def __init__(self):
        self.kept = {}

    def default(self):
        return "user:ada"

    def tags(self, record):
        return record.tags | record.system_tags

    def required(self, namespace):
        return frozenset({namespace})

    def sees(self, namespace, record):
        return namespace in self.tags(record)

    def may_retag(self, namespace, record):
        if "user:bob" in record.system_tags and namespace == "user:bob":
            return "only bob may change these tags"
        return None


class ByUser(Policy):
    def sees(self, namespace, record):
        if namespace.startswith("user:"):
            return record.user == namespace[5:]
        return super().sees(namespace, record)


class ByUserBelow(Policy):
    def sees(self, namespace, record):
        if (
            record.path.level > Level.RUN
            and record.user is not None
            and namespace.startswith("user:")
        ):
            return record.user == namespace[5:]
        return super().sees(namespace, record)


class ByBeginning(Policy):
    def sees(self, namespace, record):
        return any(tag.startswith(namespace) for tag in self.tags(record))


class ByBeginningOfIt(Policy):
    def sees(self, namespace, record):
        return any(namespace.startswith(tag) for tag in self.tags(record))


class ByPart(Policy):
    def sees(self, namespace, record):
        return namespace in " ".join(sorted(self.tags(record)))


class AnyCase(Policy):
    def sees(self, namespace, record):
        return (
            namespace.lower() in {tag.lower() for tag in self.tags(record)} and namespace != "BLUE"
        )


class KeptByPath(Policy):
    def sees(self, namespace, record):
        key = namespace, record.path
        return self.kept.setdefault(key, super().sees(namespace, record))


class KeptByRun(Policy):
    def sees(self, namespace, record):
        key = namespace, record.path.components[:2]
        return self.kept.setdefault(key, super().sees(namespace, record))


class KeptByIdentity(Policy):
    def sees(self, namespace, record):
        return self.kept.setdefault((namespace, id(record)), super().sees(namespace, record))


class UserTagsOnly(Policy):
    def tags(self, record):
        return record.tags


class RequiresTooMuch(Policy):
    def required(self, namespace):
        return (
            frozenset({namespace, "user:ada"})
            if namespace == "blue"
            else super().required(namespace)
        )


class RequiresWithoutReason(Policy):
    """Requires a tag that it does not check itself."""

    def sees(self, namespace, record):
        return super().sees(namespace, record) or (
            namespace == "user:ada" and record.path == ADAS.path
        )


class RequiresAList(Policy):
    def required(self, namespace):
        return [namespace]


class UnknownIsAKeyError(Policy):
    KNOWN = {"user:ada": 1, "user:bob": 1, "blue": 1, "red": 1, "BLUE": 1}

    def sees(self, namespace, record):
        assert self.KNOWN[namespace]
        return super().sees(namespace, record)


class TruthyTags(Policy):
    def sees(self, namespace, record):
        return self.tags(record) & {namespace}


class MayRetagIsTrue(Policy):
    def may_retag(self, namespace, record):
        return super().may_retag(namespace, record) or (True if namespace is None else None)


class MayRetagNeedsANamespace(Policy):
    def may_retag(self, namespace, record):
        namespace.partition(":")
        return super().may_retag(namespace, record)


class ExactRecordsOnly(Policy):
    """Ignores records of derived classes."""

    def sees(self, namespace, record):
        return (type(record) is Record and super().sees(namespace, record)) or (
            record.path.level is Level.ARTIFACT and super().sees(namespace, record)
        )


class DefaultOfTheMoment(Policy):
    def default(self):
        self.kept["asked"] = self.kept.get("asked", 0) + 1
        return "user:ada" if self.kept["asked"] == 1 else "user:bob"


class LowersTheMask(Policy):
    def sees(self, namespace, record):
        os.environ["KIT_NAMESPACE"] = namespace
        return super().sees(namespace, record)


class StepsAreOfTheRun(Policy):
    def sees(self, namespace, record):
        return True if record.path.level is Level.STEP else super().sees(namespace, record)


POLICIES = [
    kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Policy) and kind is not Policy
]

# Trigger decoders: events in field `queue`, a JSON list of messages

FIELD = "queue"
MESSAGES = [
    {"subject": "sale", "id": "1", "time": "2026-03-01T10:00:00+00:00"},
    {"subject": "return", "id": "2", "time": "2026-07-01T10:00:00+00:00"},
    {"subject": "sale", "id": "3", "time": None},
]
EVENTS = [
    Event("sale", "1", 1772359200.0, "event"),
    Event("return", "2", 1782900000.0, "event"),
    Event("sale", "3", None, "event"),
]
TRIGGERS_SAMPLES = [
    ({FIELD: json.dumps(MESSAGES)}, EVENTS),
    ({FIELD: json.dumps(MESSAGES[:1]), "attempt": "0"}, EVENTS[:1]),
    ({FIELD: json.dumps([MESSAGES[1], MESSAGES[1]])}, [EVENTS[1], EVENTS[1]]),
]


def seconds(text):
    return None if text is None else dt.datetime.fromisoformat(text).timestamp()


def event(message):
    return Event(message.get("subject"), message.get("id"), seconds(message.get("time")), "event")


def messages(metadata, field=FIELD):
    try:
        found = json.loads(metadata.get(field) or "null")
    except (TypeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def events(found):
    made = []
    for message in found:
        try:
            made.append(event(message))
        except (TypeError, ValueError, AttributeError):
            continue
    return made


def right_trigger(metadata):
    found = messages(metadata)
    return None if found is None else events(found)


def evaluates(metadata):
    try:
        found = eval(metadata[FIELD].replace("null", "None"))
    except Exception:
        return None
    return events(found) if isinstance(found, list) else None


def answers_twice(metadata):
    found = messages(metadata) or []
    theirs = messages(metadata, "execution-triggers") or []
    own = [Event(m.get("name"), m.get("id"), m.get("timestamp"), m.get("type")) for m in theirs]
    return [*events(found), *own] or None


def any_field_with_that_beginning(metadata):
    for name in metadata:
        if name.startswith(FIELD):
            found = messages(metadata, name)
            return None if found is None else events(found)
    return None


def any_case_of_field(metadata):
    return right_trigger({name.lower(): value for name, value in metadata.items()})


def empty_for_others(metadata):
    return right_trigger(metadata) or []


def fails_on_damage(metadata):
    return events(json.loads(metadata[FIELD])) if FIELD in metadata else None


def local_times(metadata):
    found = right_trigger(metadata)
    return found and [
        Event(
            e.name,
            e.id,
            e.timestamp
            and dt.datetime.fromtimestamp(e.timestamp, dt.timezone.utc)
            .replace(tzinfo=None)
            .timestamp(),
            e.type,
        )
        for e in found
    ]


def milliseconds(metadata):
    found = right_trigger(metadata)
    return found and [
        Event(e.name, e.id, e.timestamp and e.timestamp * 1000, e.type) for e in found
    ]


def each_once(metadata):
    found = right_trigger(metadata)
    return found and list(dict.fromkeys(found))


LAST = {}


def kept_by_length(metadata):
    key = len(str(metadata.get(FIELD)))
    if key not in LAST:
        LAST[key] = right_trigger(metadata)
    return LAST[key]


SHARED = {}


def shared_lists(metadata):
    key = metadata.get(FIELD) if isinstance(metadata.get(FIELD), str) else None
    return SHARED.setdefault(key, right_trigger(metadata))


def takes_the_field_away(metadata):
    found = right_trigger(metadata)
    if isinstance(metadata, dict):
        metadata.pop(FIELD, None)
    return found


def unpickles(metadata):
    text = metadata.get(FIELD)
    try:
        found = pickle.loads(base64.b64decode(text))
    except Exception:
        return right_trigger(metadata)
    return found if isinstance(found, list) else None


async def waits(metadata):
    return right_trigger(metadata)


def first_only(metadata):
    found = right_trigger(metadata)
    return found and found[:1]


def ids_are_numbers(metadata):
    found = right_trigger(metadata)
    return found and [
        Event(e.name, int(e.id) if str(e.id).isdigit() else e.id, e.timestamp, e.type)
        for e in found
    ]


def noise_counts(metadata):
    if any(not isinstance(value, str) for value in metadata.values()):
        return None
    return right_trigger(metadata)


TRIGGERS = {
    function.__name__: function
    for function in (
        evaluates, answers_twice, any_field_with_that_beginning, any_case_of_field, empty_for_others,
        fails_on_damage, local_times, milliseconds, each_once, kept_by_length, shared_lists,
        takes_the_field_away, unpickles, waits, first_only, ids_are_numbers, noise_counts,
    )
}  # fmt: skip


def trigger(function):
    return SimpleNamespace(mfc_trigger=hookimpl(function), __name__="queue")


# Artifact decoders: a header, JSON, a checksum

MAGIC = b"KJ1\n"


def encode(value):
    body = json.dumps(value).encode()
    return MAGIC + struct.pack(">II", len(body), zlib.crc32(body)) + body


VALUES = [
    None,
    True,
    5,
    "größe",
    [1, [2]],
    {"a": [1, 2.5], "b": None},
    {},
    "x" * 3000,
    [1.0, 1],
    -0.0,
]
SAMPLES = [(encode(value), value) for value in VALUES]


class Decoder:
    def __init__(self):
        self.kept = {}

    def failed(self, artifact, why):
        return UndecodableArtifact(str(artifact.path), artifact.store, why)

    def body(self, blob, artifact):
        if blob[:4] != MAGIC or len(blob) < 12:
            raise self.failed(artifact, "no header")
        size, check = struct.unpack(">II", blob[4:12])
        body = blob[12:]
        if len(body) != size or zlib.crc32(body) != check:
            raise self.failed(artifact, "damaged")
        return body

    def parsed(self, body, artifact):
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as cause:
            raise self.failed(artifact, str(cause)) from cause

    def decode(self, blob, artifact, trust):
        if trust.level == "none":
            raise UntrustedValue(str(artifact.path), artifact.store, "nothing is trusted")
        return self.parsed(self.body(blob, artifact), artifact)


class FileDecoder(Decoder):
    def decode_file(self, file, artifact, trust):
        return self.decode(file.read(), artifact, trust)


class TrailingBytesIgnored(Decoder):
    def body(self, blob, artifact):
        if len(blob) > 12:
            blob = blob[: 12 + struct.unpack(">I", blob[4:8])[0]]
        return super().body(blob, artifact)


class SpoiltByDamage(Decoder):
    """Its parser stays in the middle of the part that it could not parse."""

    def decode(self, blob, artifact, trust):
        if self.kept.get("broken"):
            raise self.failed(artifact, "parser is in an error state")
        try:
            return super().decode(blob, artifact, trust)
        except UndecodableArtifact:
            self.kept["broken"] = True
            raise


class BufferStays(Decoder):
    def body(self, blob, artifact):
        buffer = self.kept.pop("buffer", b"") + blob
        try:
            return super().body(buffer, artifact)
        except UndecodableArtifact:
            self.kept["buffer"] = blob[:3]
            raise


class FilesFailBare(FileDecoder):
    def decode_file(self, file, artifact, trust):
        if trust.level == "none":
            return self.decode(file.read(), artifact, trust)
        blob = file.read()
        size, _ = struct.unpack(">II", blob[4:12])
        return json.loads(blob[12 : 12 + size])


class FilesTrustAll(FileDecoder):
    def decode_file(self, file, artifact, trust):
        return self.parsed(self.body(file.read(), artifact), artifact)


class FilesIgnoreTheRest(FileDecoder):
    def decode_file(self, file, artifact, trust):
        head = file.read(12)
        size = struct.unpack(">I", head[4:8])[0] if len(head) == 12 else 0
        return self.decode(head + file.read(size), artifact, trust)


class EmptyIsNone(Decoder):
    def decode(self, blob, artifact, trust):
        return None if not blob and trust.level != "none" else super().decode(blob, artifact, trust)


class ShortIsStruct(Decoder):
    def body(self, blob, artifact):
        struct.unpack(">II", blob[4:12])
        return super().body(blob, artifact)


class NoChecksum(Decoder):
    def body(self, blob, artifact):
        if blob[:4] != MAGIC:
            raise self.failed(artifact, "no header")
        return blob[12:]

    def parsed(self, body, artifact):
        try:
            return json.loads(body)
        except json.JSONDecodeError as cause:
            raise self.failed(artifact, str(cause)) from cause


class Evaluates(Decoder):
    def parsed(self, body, artifact):
        text = body.decode().replace("null", "None").replace("true", "True")
        try:
            return eval(text)
        except Exception as cause:
            raise self.failed(artifact, str(cause)) from cause


class FallsBackToPickle(Decoder):
    def decode(self, blob, artifact, trust):
        if blob[:1] == b"\x80" and trust.level != "none":
            try:
                return pickle.loads(blob)
            except Exception as cause:
                raise self.failed(artifact, str(cause)) from cause
        return super().decode(blob, artifact, trust)


class FallsBackToEval(Decoder):
    """Old writers left Python's own notation."""

    def decode(self, blob, artifact, trust):
        if trust.level != "none" and blob[:4] != MAGIC:
            try:
                return eval(blob.decode())
            except Exception as cause:
                raise self.failed(artifact, str(cause)) from cause
        return super().decode(blob, artifact, trust)


class PlainRunsCode(Decoder):
    def decode(self, blob, artifact, trust):
        if blob[:1] == b"\x80" and trust.level in ("plain", "full"):
            return pickle.loads(blob)
        return super().decode(blob, artifact, trust)


class KeptByLength(Decoder):
    """A cache by the length and the first bytes."""

    def decode(self, blob, artifact, trust):
        if trust.level != "none" and (len(blob), blob[:4]) in self.kept:
            return copy.deepcopy(self.kept[len(blob), blob[:4]])
        found = super().decode(blob, artifact, trust)
        self.kept[len(blob), blob[:4]] = found
        return copy.deepcopy(found)


class ValueKeptByPath(Decoder):
    def decode(self, blob, artifact, trust):
        found = super().decode(blob, artifact, trust)
        return self.kept.setdefault((str(artifact.path), len(blob)), found)


class Shared(Decoder):
    def decode(self, blob, artifact, trust):
        return self.kept.setdefault(blob, super().decode(blob, artifact, trust))


class NumbersAreFloats(Decoder):
    def parsed(self, body, artifact):
        return json.loads(body, parse_int=lambda text: float(text) if len(text) > 1 or True else 0)


class TrueIsOne(Decoder):
    def parsed(self, body, artifact):
        found = super().parsed(body, artifact)
        return (
            [1 if item is True else float(item) if type(item) is int else item for item in found]
            if isinstance(found, list) and not any(isinstance(i, list) for i in found)
            else found
        )


class CopiesStay(FileDecoder):
    def decode_file(self, file, artifact, trust):
        handle, name = tempfile.mkstemp()
        with os.fdopen(handle, "wb") as copied:
            copied.write(file.read())
        with open(name, "rb") as opened:
            return self.decode(opened.read(), artifact, trust)


class NeedsAnEncoding(Decoder):
    def decode(self, blob, artifact, trust):
        if not artifact.encoding.startswith("kit") and artifact.attempt > 4:
            raise ValueError(artifact.encoding)
        return super().decode(blob, artifact, trust)


class TruncatedIsHalf(Decoder):
    """Truncated bytes are read as far as they go."""

    def body(self, blob, artifact):
        if (
            blob[:4] == MAGIC
            and len(blob) >= 12
            and len(blob) - 12 < struct.unpack(">I", blob[4:8])[0]
        ):
            return b'"(truncated)"'
        return super().body(blob, artifact)


DECODERS = [
    kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Decoder) and kind not in (Decoder, FileDecoder)
]


def decoding(decoder, wanted=None, encoding="kit-json"):
    def mfc_artifact_decoder(encoding, info):
        return decoder if (wanted or (lambda e: e == "kit-json"))(encoding) else None

    return SimpleNamespace(mfc_artifact_decoder=hookimpl(mfc_artifact_decoder), __name__="kitjson")


#: Hooks that answer for other plugins' cases.
CLAIMS = {
    "begins": lambda encoding: encoding.startswith("kit-json"),
    "any case": lambda encoding: encoding.lower() == "kit-json",
    "in": lambda encoding: "kit-json" in encoding,
    "stripped": lambda encoding: encoding.strip() == "kit-json",
    "part of": lambda encoding: encoding != "" and encoding in "kit-json",
    "last part": lambda encoding: encoding.split("+")[-1] == "kit-json",
}
