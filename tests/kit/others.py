"""Policies, trigger decoders and artifact decoders with one fault each."""

from __future__ import annotations

import json
import os
import pickle
from types import SimpleNamespace
from typing import ClassVar

from mfc._plugins.defaults import metaflow_events, metaflow_namespaces, pickles
from mfc.config import Config
from mfc.errors import MetaflowUnknownUser, UndecodableArtifact
from mfc.hookspecs import Event, hookimpl
from mfc.model import Level, Pathspec, Record
from mfc.trust import Trust
from mfc_testing.decoder import Trap

RUN = Record(Pathspec(("F", "1")), 1, "ada", frozenset({"blue"}), frozenset({"user:ada"}))
BARE = Record(Pathspec(("F", "2")), 2, "ada")
VISIBLE = [("user:ada", RUN), ("blue", RUN)]
HIDDEN = [("user:bob", RUN), ("user:ada", BARE), ("BLUE", RUN), ("user:a", RUN)]
LOCKED = [("user:ada", RUN)]


class Policy:
    """Metaflow's rules, but only owners may change tags."""

    def __init__(self):
        self.tags = metaflow_namespaces.TagNamespaces(Config({"USER": "ada"}))
        self.process = os.getpid()
        self.asked = 0

    def default(self):
        return "user:ada"

    def required(self, namespace):
        return self.tags.required(namespace)

    def sees(self, namespace, record):
        return self.tags.sees(namespace, record)

    def may_retag(self, namespace, record):
        return "only the team may change tags" if namespace == "user:ada" else None


class EverybodySeesAll(Policy):
    def sees(self, namespace, record):
        return True


class NobodySeesAnything(Policy):
    def sees(self, namespace, record):
        return False


class AnyCase(Policy):
    def sees(self, namespace, record):
        return namespace.lower() in {tag.lower() for tag in record.tags | record.system_tags}


class TruthInsteadOfBool(Policy):
    def sees(self, namespace, record):
        return (record.tags | record.system_tags) & {namespace}


class RunsOnly(Policy):
    def sees(self, namespace, record):
        return record.path.level is Level.RUN and super().sees(namespace, record)


class RequiresTooMuch(Policy):
    def required(self, namespace):
        return frozenset({namespace, "team"})


class RequiresAList(Policy):
    def required(self, namespace):
        return [namespace]


class FalseForAllowed(Policy):
    def may_retag(self, namespace, record):
        return super().may_retag(namespace, record) or False


class RefusesWithoutReason(Policy):
    def may_retag(self, namespace, record):
        return super().may_retag(namespace, record) and "no"


class NoDefault(Policy):
    def default(self):
        return None


class DefaultChanges(Policy):
    def default(self):
        self.asked += 1
        return f"user:{self.asked}"


class RemembersWhoWasSeen(Policy):
    def sees(self, namespace, record):
        self.asked += 1
        return self.asked > len([*VISIBLE, *HIDDEN]) or super().sees(namespace, record)


class UnknownNamespaceFails(Policy):
    def sees(self, namespace, record):
        known = {"user:ada", "blue", "user:bob", "BLUE", "user:a"}
        return {name: Policy.sees(self, name, record) for name in known}[namespace]


class PolicyDiesInChildren(Policy):
    def sees(self, namespace, record):
        return self.process == os.getpid() and super().sees(namespace, record)


class NobodyIsUnknown(Policy):
    def default(self):
        raise MetaflowUnknownUser


POLICIES = [
    (EverybodySeesAll, {"policy-hides"}),
    (NobodySeesAnything, {"policy-sees"}),
    (AnyCase, {"policy-hides"}),
    (TruthInsteadOfBool, {"policy-sees", "policy-hides"}),
    (RunsOnly, {"policy-below"}),
    (RequiresTooMuch, {"policy-required"}),
    (RequiresAList, {"policy-required"}),
    (FalseForAllowed, {"policy-retag"}),
    (RefusesWithoutReason, {"policy-retag"}),
    (NoDefault, {"policy-default"}),
    (DefaultChanges, {"policy-default"}),
    (RemembersWhoWasSeen, {"policy-again", "policy-threads", "policy-fork"}),
    (UnknownNamespaceFails, {"policy-odd"}),
    (PolicyDiesInChildren, {"policy-fork"}),
]

SALE = Event("sale", "a-1", 1_700_000_000, "event")
RUN_ENDED = Event("metaflow.F.end", "F/1/end/2", 1_700_000_009, "run")
FIELD = metaflow_events.FIELD
RECORDED = [
    {"timestamp": e.timestamp, "id": e.id, "name": e.name, "type": e.type}
    for e in (SALE, RUN_ENDED)
]
SAMPLES = [({FIELD: json.dumps(RECORDED), "attempt": "0"}, [SALE, RUN_ENDED])]
_right = metaflow_events.mfc_trigger


def trigger(decode):
    """Return a plugin with this hook."""
    return SimpleNamespace(mfc_trigger=hookimpl(lambda metadata: decode(metadata)))  # noqa: PLW0108


def milliseconds(metadata):
    found = _right(metadata)
    return found and [
        Event(e.name, e.id, e.timestamp and e.timestamp * 1000, e.type) for e in found
    ]


def names_as_they_come(metadata):
    found = _right(metadata)
    return found and [Event(e.name, 5 if e.id else e.id, e.timestamp, e.type) for e in found]


def taken_out(metadata):
    return _right({FIELD: metadata.pop(FIELD)}) if FIELD in metadata else None


def unguarded(metadata):
    if FIELD not in metadata:
        return None
    return [
        Event(e["name"], e["id"], e["timestamp"], e["type"]) for e in json.loads(metadata[FIELD])
    ]


TRIGGERS = {
    "nothing for None": (lambda m: _right(m) or [], {"trigger-others"}),
    "milliseconds": (milliseconds, {"trigger-events"}),
    "the first only": (lambda m: (_right(m) or [])[:1] or None, {"trigger-events"}),
    "none at all": (lambda _: None, {"trigger-events"}),
    "ids as numbers": (names_as_they_come, {"trigger-events", "trigger-types"}),
    "metadata emptied": (taken_out, {"trigger-unchanged"}),
    "damage raises": (unguarded, {"trigger-damaged"}),
}

VALUES = (None, 5, "größe", [1, [2]], {"a": (1, 2.5)}, b"bytes")
PICKLED = [(pickle.dumps(value, 4), value) for value in VALUES]
UNSAFE = [pickle.dumps([Trap()], 4)]


class Decoder:
    """The right one."""

    def __init__(self):
        self.process, self.known = os.getpid(), {}

    def decode(self, blob, artifact, trust):
        return pickles.PickleDecoder().decode(blob, artifact, trust)


class ReadsFiles(Decoder):
    """Also right."""

    def decode_file(self, file, artifact, trust):
        return pickles.PickleDecoder().decode_file(file, artifact, trust)


class TrustsFiles(Decoder):
    def decode_file(self, file, artifact, trust):
        return pickles.PickleDecoder().decode_file(file, artifact, Trust.full())


class NeedsItsFile(Decoder):
    def decode_file(self, file, artifact, trust):
        return iter(file)


class TrustsEverybody(Decoder):
    def decode(self, blob, artifact, trust):
        return super().decode(blob, artifact, Trust.full())


class ErrorOfTheLibrary(Decoder):
    def decode(self, blob, artifact, trust):
        try:
            return super().decode(blob, artifact, trust)
        except UndecodableArtifact as error:
            raise ValueError(str(error)) from error


class ErrorWithoutSubject(Decoder):
    def decode(self, blob, artifact, trust):
        try:
            return super().decode(blob, artifact, trust)
        except UndecodableArtifact as error:
            raise UndecodableArtifact("", "", "damaged") from error


class NoneForDamage(Decoder):
    def decode(self, blob, artifact, trust):
        try:
            return super().decode(blob, artifact, trust)
        except UndecodableArtifact:
            return None


class SameValueAgain(Decoder):
    def decode(self, blob, artifact, trust):
        if trust.level != "full":
            return super().decode(blob, artifact, trust)
        if blob not in self.known:
            self.known[blob] = super().decode(blob, artifact, trust)
        return self.known[blob]


class TuplesAreLists(Decoder):
    def decode(self, blob, artifact, trust):
        found = super().decode(blob, artifact, trust)
        return json.loads(json.dumps(found)) if isinstance(found, dict) else found


class LeavesFilesOpen(Decoder):
    kept: ClassVar[list] = []

    def decode(self, blob, artifact, trust):
        self.kept.append(open(os.devnull))
        return super().decode(blob, artifact, trust)


DECODERS = [
    (ReadsFiles, set()),
    (TrustsFiles, {"decoder-file"}),
    (NeedsItsFile, {"decoder-file"}),
    (TrustsEverybody, {"decoder-trust"}),
    (ErrorOfTheLibrary, {"decoder-damaged"}),
    (ErrorWithoutSubject, {"decoder-damaged"}),
    (NoneForDamage, {"decoder-damaged"}),
    (SameValueAgain, {"decoder-apart"}),
    (TuplesAreLists, {"decoder-values", "decoder-safe", "decoder-apart"}),
    (LeavesFilesOpen, {"nothing-left-open"}),
]


def decoding(decoder, wanted=lambda encoding: encoding == "pickle-v4"):
    """Return a plugin that answers with this decoder."""
    return SimpleNamespace(
        mfc_artifact_decoder=hookimpl(lambda encoding: decoder if wanted(encoding) else None)
    )
