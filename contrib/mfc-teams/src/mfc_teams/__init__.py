"""Namespaces by teams and roles, from a TOML file: visible runs, and tags that may be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfc.hookspecs import hookimpl

if TYPE_CHECKING:
    from mfc.config import Config
    from mfc_teams._policy import TeamPolicy

#: Version of the plugin contract that this plugin implements.
MFC_CONTRACT = 1
#: The setting that names the file; without it the plugin is inactive.
SETTING = "MFC_TEAMS_FILE"


@hookimpl
def mfc_namespace_policy(config: Config) -> TeamPolicy | None:
    """Return the policy if the setting `MFC_TEAMS_FILE` names a file.

    Raises:
        BadSettingsFile: the file is missing or invalid.
    """
    file = config.text(SETTING)
    if not file:
        return None
    from mfc_teams._policy import TeamPolicy  # only clients with teams need it

    return TeamPolicy.of(file, config)
