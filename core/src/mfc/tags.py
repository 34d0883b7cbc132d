"""Changes of tags, and the rules that they obey."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from mfc.errors import MetaflowTaggingError

#: User tags of a run; a set that is larger already may shrink or stay.
MAX_TAGS = 50
#: Characters of a tag.
MAX_LENGTH = 500


@attrs.frozen
class TagEdit:
    """A change of a run's user tags: what goes, then what comes.

    Called with the tags that a run has, it returns those that it shall have.
    """

    #: User tags to go; one that is not there is no matter.
    remove: frozenset[str]
    #: User tags to come; one that is a system tag already is left out.
    add: frozenset[str]

    @classmethod
    def of(cls, remove: Iterable[str] | None, add: Iterable[str] | None) -> TagEdit:
        """Return the edit that is asked for.

        Raises:
            MetaflowTaggingError: nothing is asked for, or something that cannot be a tag.
        """
        edit = cls(_tags("tags_to_remove", remove), _tags("tags_to_add", add))
        if not edit.remove and not edit.add:
            raise MetaflowTaggingError("Must add or remove at least one tag")
        return edit

    def __call__(self, user: frozenset[str], system: frozenset[str]) -> frozenset[str]:
        """Return the user tags afterwards.

        Args:
            user: the user tags now.
            system: the system tags.

        Raises:
            MetaflowTaggingError: a system tag is to go, or there would be too many tags.

        >>> sorted(TagEdit.of(["a"], ["b", "sys"])(frozenset("ac"), frozenset(["sys"])))
        ['b', 'c']
        """
        if protected := sorted(self.remove & system):
            raise MetaflowTaggingError(
                f"Cannot remove a tag that is an existing system tag ({', '.join(protected)})"
            )
        after = (user - self.remove) | (self.add - system)
        if len(after) > MAX_TAGS and len(after) > len(user):
            raise MetaflowTaggingError(
                f"Cannot increase size of tag set beyond {MAX_TAGS}, to {len(after)} tags"
            )
        return after


def _tags(argument: str, given: Iterable[str] | None) -> frozenset[str]:
    if given is None:
        return frozenset()
    if isinstance(given, (str, bytes)):
        raise MetaflowTaggingError(
            f"{argument} may not be a string, got {given!r}; put it in a list"
        )
    try:
        tags = list(given)
    except TypeError:
        raise MetaflowTaggingError(f"{argument} must be iterable, got {given!r}") from None
    for tag in tags:
        _check(tag)
    return frozenset(tags)


def _check(tag: object) -> None:
    if not isinstance(tag, str):
        raise MetaflowTaggingError(f"Tags must be text, got {type(tag).__name__} {tag!r}")
    if not tag:
        raise MetaflowTaggingError("Tags must not be empty string")
    if len(tag) > MAX_LENGTH:
        raise MetaflowTaggingError(f"Tag is too long {len(tag)} > {MAX_LENGTH}")
    try:
        tag.encode()
    except UnicodeEncodeError:
        raise MetaflowTaggingError(f"Tags must be UTF-8 encodable, got {tag!r}") from None
