"""Visible runs of each user."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mfc import Client, MfcWarning
from mfc.config import Config
from mfc.errors import BadArgument, MetaflowNamespaceMismatch, MetaflowUnknownUser
from mfc_testing import MemoryProvider

from .conftest import TEAMS, runs


def seen(client: Client) -> str:
    """Return the numbers of the runs that a client sees, in order."""
    return "".join(sorted(run.id for flow in client.flows() for run in flow))


@pytest.mark.parametrize(
    ("user", "numbers"),
    [
        ("ada", "126"),  # her own and her team's
        ("grace", "126"),
        ("bob", "1236"),  # and those of the team that his sees
        ("chair", "1234567"),  # all users' runs, including those without a team
        ("root-of-all", "1234567"),
        ("linus", "126"),  # those of the team that he maintains
        ("stray", "5"),  # without a team
        ("nobody", ""),
        (None, ""),
    ],
)
def test_everybody_means_all_visible_runs(client, user, numbers):
    assert seen(client(user)) == numbers


@pytest.mark.parametrize(
    ("user", "namespace", "numbers"),
    [
        ("ada", "team:forecast", "126"),
        ("bob", "team:forecast", "126"),
        ("ada", "team:pricing", ""),  # such runs exist, and she does not see them
        ("chair", "team:pricing", "3"),
        ("ada", "user:grace", "2"),
        ("ada", "user:bob", ""),
        ("bob", "user:bob", "3"),  # a user tag does not set the owner
        ("ada", "spring", "6"),  # any tag is a namespace, as in Metaflow
        ("stray", "spring", ""),
        ("ada", "production:t", "6"),
        ("chair", "nothing has this tag", ""),
    ],
)
def test_a_namespace_is_a_team_a_user_or_a_tag(client, user, namespace, numbers):
    assert seen(client(user, namespace)) == numbers


def test_invisible_differs_from_missing(client):
    with pytest.raises(MetaflowNamespaceMismatch, match="'team:forecast'"):
        client("ada", "team:forecast").run("F/3")
    assert client("ada", "team:forecast").run("F/2").id == "2"


def test_without_a_namespace_the_policy_is_not_called(client):
    assert seen(client("stray", None)) == "1234567"


def test_an_unknown_team_is_reported(client):
    with pytest.raises(
        BadArgument, match="No 'team:forcast' in .*teams.toml; expected one of team:fo"
    ):
        seen(client("chair", "team:forcast"))


@pytest.mark.parametrize(
    ("text", "user", "namespace"),
    [
        (TEAMS, "ada", "user:ada"),
        ("default = 'team'" + TEAMS, "ada", "team:forecast"),
        ("default = 'team'" + TEAMS, "stray", "user:stray"),
        ("default = 'everybody'" + TEAMS, "ada", "everybody"),
        ("default = 'everybody'" + TEAMS, None, "everybody"),
    ],
)
def test_the_file_sets_the_default_namespace(client, text, user, namespace):
    assert client(user, text=text).policy.default() == namespace


def test_a_user_is_found_as_in_metaflow(client):
    assert client("ada", METAFLOW_USER="bob").policy.default() == "user:bob"
    assert client("ada", SUDO_USER="chair").policy.default() == "user:chair"
    assert client("root", USER="ada").policy.default() == "user:ada"
    assert client("ada", METAFLOW_PRODUCTION_TOKEN="t").policy.default() == "production:t"
    with pytest.raises(MetaflowUnknownUser):
        client("root").policy.default()


def test_without_the_setting_namespaces_are_metaflows():
    for setting in ({}, {"MFC_TEAMS_FILE": ""}):
        config = Config(setting, {"METAFLOW_HOME": "/nowhere", "USER": "bob"}, "/")
        client = Client(MemoryProvider(runs()), config=config)
        assert (client.namespace, seen(client)) == ("user:bob", "36")


def test_the_setting_may_be_in_the_environment_or_in_metaflows_file(client, tmp_path):
    client("ada")  # the test writes the file
    file = str(tmp_path / "teams.toml")
    home = {"METAFLOW_HOME": str(tmp_path), "USER": "ada"}
    environment = Config({}, {**home, "MFC_TEAMS_FILE": file}, "/")
    (tmp_path / "config.json").write_text(
        '{"MFC_TEAMS_FILE": "~/teams.toml"}'.replace("~", str(tmp_path))
    )
    for config in (environment, Config({}, home, "/")):
        assert seen(Client(MemoryProvider(runs()), namespace="everybody", config=config)) == "126"


def test_an_unknown_user_sees_all_with_a_warning_as_in_metaflow(client):
    unknown = client("root")
    fresh = Client(MemoryProvider(runs()), config=unknown._reader.config)
    with pytest.warns(MfcWarning, match="seeing all runs"):
        assert fresh.namespace is None


def test_objects_below_a_run_are_visible_with_it(client):
    # Records below a run carry its tags, so the policy needs no other facts.
    policy = client("ada", "team:forecast").policy
    (ours, theirs) = runs()[1], runs()[3]
    assert policy.sees("team:forecast", ours)
    assert not policy.sees("team:forecast", theirs)


def test_required_tags_hold_for_all_visible_runs(client):
    policy = client("chair").policy
    for namespace in ("everybody", "team:forecast", "user:ada", "spring", "production:t"):
        for record in runs()[1:]:
            if policy.sees(namespace, record):
                assert policy.required(namespace) <= record.system_tags | record.tags


def test_a_client_without_teams_loads_nothing():
    code = (
        "import sys; from mfc.config import Config; import mfc_teams\n"
        "assert mfc_teams.mfc_namespace_policy(Config({}, {'METAFLOW_HOME': '/nowhere'}, '/')) is None\n"
        "print({'tomllib', 'tomli', 'mfc_teams._policy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
