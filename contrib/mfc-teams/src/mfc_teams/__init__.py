"""Namespaces by teams and roles, from a TOML file: who sees whose runs, who may change tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfc.hookspecs import hookimpl

if TYPE_CHECKING:
    from mfc.config import Config
    from mfc_teams._policy import TeamPolicy

#: The version of the plugin contract that this is written for.
MFC_CONTRACT = 1
#: The setting that names the file; without it the plugin stays out of the way.
SETTING = "MFC_TEAMS_FILE"


@hookimpl
def mfc_namespace_policy(config: Config) -> TeamPolicy | None:
    """Answer if setting `MFC_TEAMS_FILE` names a file.

    Raises:
        BadSettingsFile: the file is missing, or says something that cannot be understood.
    """
    file = config.text(SETTING)
    if not file:
        return None
    from mfc_teams._policy import TeamPolicy  # only clients with teams need it

    return TeamPolicy.of(file, config)
