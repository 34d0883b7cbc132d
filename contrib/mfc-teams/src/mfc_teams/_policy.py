"""The rules of an organisation as a namespace policy."""

from __future__ import annotations

import os

import attrs

from mfc.config import Config
from mfc.errors import BadArgument, MetaflowUnknownUser
from mfc.model import Record
from mfc_teams._file import organisation
from mfc_teams._teams import Organisation

EVERYBODY = "everybody"
_USER, _TEAM = "user:", "team:"
#: Variables in which Metaflow looks for the user's name after the setting METAFLOW_USER.


@attrs.frozen
class TeamPolicy:
    """The visible runs and changeable tags of one user.

    The system tag `user:…` of a run names its owner; objects below a run have its tags.
    """

    _file: str
    _organisation: Organisation
    #: None for an unknown user.
    _user: str | None
    _production: str | None
    #: System tags of the runs that the user may see; None for all.
    _seen: frozenset[str] | None

    @classmethod
    def of(cls, file: str, config: Config) -> TeamPolicy:
        """Return the policy of a file, for the user that the configuration names.

        Raises:
            BadSettingsFile: the file is missing or invalid.
        """
        path = os.path.join(config.directory, os.path.expanduser(file))
        rules, user = organisation(path), config.user()
        seen = rules.seen_by(user)
        token = config.environment.get("METAFLOW_PRODUCTION_TOKEN")
        return cls(path, rules, user, token, None if seen is None else _tags(seen))

    def default(self) -> str:
        """Return the file's default: the user's own runs, those of the first team, or all.

        A production token takes precedence, as in Metaflow.

        Raises:
            MetaflowUnknownUser: the user is unknown, and the default depends on it.
        """
        if self._production:
            return f"production:{self._production}"
        if self._organisation.default == EVERYBODY:
            return EVERYBODY
        if self._user is None:
            raise MetaflowUnknownUser
        team = next(self._organisation.of(self._user), None)
        if self._organisation.default == "team" and team is not None:
            return f"{_TEAM}{team.name}"
        return f"{_USER}{self._user}"

    def required(self, namespace: str) -> frozenset[str]:
        """Return the namespace if it is a tag; runs of a team share no tag."""
        if namespace == EVERYBODY or namespace.startswith(_TEAM):
            return frozenset()
        return frozenset((namespace,))

    def sees(self, namespace: str, record: Record) -> bool:
        """Tell whether the record is in the namespace and its owner's runs are visible to the user.

        Raises:
            BadArgument: the namespace names an unknown team.
        """
        tags = record.system_tags
        if self._seen is not None and self._seen.isdisjoint(tags):
            return False
        if namespace == EVERYBODY:
            return True
        if namespace.startswith(_TEAM):
            return not self._team(namespace).isdisjoint(tags)
        if namespace.startswith(_USER):
            return namespace in tags
        return namespace in tags or namespace in record.tags

    def may_retag(self, namespace: str | None, record: Record) -> str | None:  # noqa: ARG002 - the same in all
        """Allow owners, maintainers of their teams, and admins; name them to other users."""
        owners = [tag for tag in record.system_tags if tag.startswith(_USER)]
        owner = min(owners).removeprefix(_USER) if owners else None
        return self._organisation.refusal(self._user, owner)

    def _team(self, namespace: str) -> frozenset[str]:
        team = self._organisation.teams.get(namespace.removeprefix(_TEAM))
        if team is None:
            known = ", ".join(f"{_TEAM}{name}" for name in self._organisation.teams)
            raise BadArgument(f"No {namespace!r} in {self._file}; expected one of {known}")
        return _tags(team.members)


def _tags(users: frozenset[str]) -> frozenset[str]:
    return frozenset(f"{_USER}{user}" for user in users)
