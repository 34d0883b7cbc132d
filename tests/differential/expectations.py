"""Predicates about mfc's answer where it is meant to differ from Metaflow's."""

from __future__ import annotations

from .canonical import Answer
from .comparison import ABSENT, Expected


def says(value: Answer) -> Expected:
    """Return the predicate that mfc answers exactly `value`."""
    return lambda _, mfc: bool(mfc == value)


def instead(metaflow: Answer, mfc: Answer) -> Expected:
    """Return the predicate that mfc answers `mfc` where Metaflow answers `metaflow`."""
    return lambda theirs, ours: bool(theirs == metaflow and ours == mfc)


def raises(name: str) -> Expected:
    """Return the predicate that mfc raises `name` or one of its subclasses."""
    return lambda _, mfc: isinstance(mfc, dict) and name in mfc.get("classes", ())


def not_raising(name: str, value: Answer) -> Expected:
    """Return the predicate that mfc answers `value` where Metaflow raises `name`."""
    return lambda metaflow, mfc: raised_name(metaflow) == name and bool(mfc == value)


def raised_name(answer: Answer) -> str:
    """Return the class of the exception in an answer, or an empty text."""
    return str(answer.get("raises", "")) if isinstance(answer, dict) else ""


def answered(metaflow: Answer, mfc: Answer) -> bool:
    """Tell whether mfc has an answer where Metaflow raises, or lacks an earlier answer."""
    return (
        bool(raised_name(metaflow) or metaflow == ABSENT) and not raised_name(mfc) and mfc != ABSENT
    )


def same_metadata_in_order_of_time(metaflow: Answer, mfc: Answer) -> bool:
    """Tell whether mfc gives the same metadata: a task's own oldest first, then that from the origin of a clone."""
    if not isinstance(mfc, list) or sorted(map(repr, metaflow)) != sorted(map(repr, mfc)):
        return False
    entries = [entry["Metadata"] for entry in mfc]
    names = [entry["name"] for entry in entries]
    own = len(entries)
    if "origin-task-id" in names:
        own = next(
            (i for i in range(1, own) if entries[i]["created_at"] < entries[i - 1]["created_at"]),
            own,
        )
    stamps = [entry["created_at"] for entry in entries[:own]]
    return stamps == sorted(stamps)


def same_pairs(metaflow: Answer, mfc: Answer) -> bool:
    """Tell whether both map the same keys to the same values, in any order."""
    return bool(sorted(metaflow["dict"]) == sorted(mfc["dict"]))


def no_origin(metaflow: Answer, mfc: Answer) -> bool:
    """Tell whether mfc answers None where Metaflow made an origin of the text "None", or failed for want of a step."""
    return mfc is None and ("/None" in str(metaflow) or raised_name(metaflow) == "StopIteration")


def same_in_another_order(metaflow: Answer, mfc: Answer) -> bool:
    """Tell whether both iterate over the same objects, in any order."""
    return bool(sorted(map(repr, metaflow["iterator"])) == sorted(map(repr, mfc["iterator"])))


def fewer(metaflow: Answer, mfc: Answer) -> bool:
    """Tell whether mfc gives some of Metaflow's names, and does not fail."""
    return (
        not raised_name(mfc)
        and bool(mfc["iterator"])
        and all(item in metaflow["iterator"] for item in mfc["iterator"])
    )


def found(metaflow: Answer, mfc: Answer) -> bool:
    """Tell whether mfc finds an object that Metaflow does not."""
    return bool(metaflow == {"iterator": []} and mfc["iterator"])


def existing_steps(metaflow: Answer, mfc: Answer) -> bool:
    """Tell whether mfc names the existing steps where Metaflow ended at a missing one."""
    return (
        raised_name(metaflow) in ("MetaflowNotFound", "KeyError", "TypeError")
        and not raised_name(mfc)
        and all(item in mfc["iterator"] for item in metaflow["iterator"])
    )


def user_code_only(metaflow: Answer, mfc: Answer) -> bool:
    """Tell whether mfc extracts the same files except those of Metaflow itself."""
    internal = (".mf_", "metaflow/", "INFO", "CONFIG")
    return bool(mfc == [file for file in metaflow if not file[0].startswith(internal)])


def placeholder(metaflow: Answer, mfc: Answer) -> bool:
    """Tell whether mfc stands in for a class that Metaflow cannot import."""
    return raised_name(metaflow) == "AttributeError" and (
        "placeholder" in str(mfc) or set(mfc) == {"type"}
    )


def same_lines_in_order_of_file(metaflow: Answer, mfc: Answer) -> bool:
    """Tell whether mfc gives the lines that Metaflow gives, none of them moved to the end."""
    if isinstance(metaflow, str):
        return sorted(line for line in metaflow.split("\n") if line) == sorted(mfc.split("\n")[:-1])
    return len(metaflow["iterator"]) == len(mfc["iterator"])
