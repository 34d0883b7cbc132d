"""Teams: their members, their maintainers, and the runs that they see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

#: In `sees`: all users' runs, including those of users without a team.
ALL = "*"


@attrs.frozen
class Team:
    """A team: users that work together."""

    name: str
    members: frozenset[str]
    #: Users that may change tags of the members' runs; they need not be members.
    maintainers: frozenset[str] = frozenset()
    #: The other teams whose runs its members see, or `ALL`.
    sees: frozenset[str] = frozenset()


@attrs.frozen
class Organisation:
    """All teams, and the rules between them."""

    teams: Mapping[str, Team]
    #: Users that see everything and may change any tags.
    admins: frozenset[str] = frozenset()
    #: The namespace at start: `user`, `team` (the user's first) or `everybody`.
    default: str = "user"

    def of(self, user: str | None) -> Iterator[Team]:
        """Yield the teams that a user belongs to, in the order of the file."""
        return (team for team in self.teams.values() if user in team.members)

    def seen_by(self, user: str | None) -> frozenset[str] | None:
        """Return the users whose runs `user` sees; None means all users.

        Users see their own runs, those of their teams, of the teams that these see, and of the
        teams that they maintain.

        >>> sorted(Organisation({"a": Team("a", frozenset({"ada", "bob"}))}).seen_by("ada"))
        ['ada', 'bob']
        """
        own = list(self.of(user))
        if user in self.admins or any(ALL in team.sees for team in own):
            return None
        seen = [self.teams[name] for team in own for name in team.sees]
        kept = [team for team in self.teams.values() if user in team.maintainers]
        users = frozenset[str]().union(*(team.members for team in (*own, *seen, *kept)))
        return users if user is None else users | {user}

    def refusal(self, user: str | None, owner: str | None) -> str | None:
        """Return None if `user` may change tags of a run of `owner`, else the reason."""
        if user is None:
            return "your user name is unknown; set METAFLOW_USER"
        teams = list(self.of(owner))
        if user in self.admins or user == owner or any(user in t.maintainers for t in teams):
            return None
        keepers = [
            f"{', '.join(sorted(team.maintainers))} for team {team.name}"
            for team in teams
            if team.maintainers
        ]
        whose = f"it is a run of {owner}" if owner else "no user is recorded for it"
        allowed = [*filter(None, [owner]), *keepers, *sorted(self.admins)]
        may = f"only {'; '.join(allowed)} may" if allowed else "no user may"
        return f"{whose}, you are {user}; {may}"
