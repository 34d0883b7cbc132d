"""Changes of tags, and the rules for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from mfc._arguments import members
from mfc.errors import BadArgument, BadTag, MetaflowTaggingError

#: Limit of user tags of a run; a set that is already larger may shrink or stay.
MAX_TAGS = 50
#: Limit of characters of a tag.
MAX_LENGTH = 500


@attrs.frozen
class TagEdit:
    """A change of a run's user tags: removals first, then additions.

    Called with the current tags of a run, it returns the new ones.
    """

    #: User tags to remove; missing tags are ignored.
    remove: frozenset[str]
    #: User tags to add; system tags are left out.
    add: frozenset[str]

    @classmethod
    def of(cls, remove: Iterable[str] | None, add: Iterable[str] | None) -> TagEdit:
        """Return the edit for two collections of tags.

        Raises:
            BadTag: a value is not a tag, or not a collection of tags.
            MetaflowTaggingError: both collections are empty.
        """
        edit = cls(_tags("tags_to_remove", remove), _tags("tags_to_add", add))
        if not edit.remove and not edit.add:
            raise MetaflowTaggingError("Must add or remove at least one tag")
        return edit

    def __call__(self, user: frozenset[str], system: frozenset[str]) -> frozenset[str]:
        """Return the new user tags.

        Args:
            user: the current user tags.
            system: the system tags.

        Raises:
            MetaflowTaggingError: a system tag would be removed, or the run would have too many
                tags.

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


def _tags(name: str, given: Iterable[str] | None) -> frozenset[str]:
    if given is None:
        return frozenset()
    expected = f"a collection of tags, text of 1 to {MAX_LENGTH} characters that UTF-8 can encode"
    try:
        # A mapping stands for its keys, as in Metaflow.
        tags = list(members(name, given.keys() if isinstance(given, Mapping) else given, "tags"))
    except BadArgument:
        raise BadTag.of(name, given, expected) from None
    for tag in tags:
        if not _is_tag(tag):
            raise BadTag.of(name, tag, expected)
    return frozenset(tags)


def _is_tag(tag: object) -> bool:
    try:
        return isinstance(tag, str) and 0 < len(tag) <= MAX_LENGTH and bool(tag.encode())
    except UnicodeEncodeError:
        return False
