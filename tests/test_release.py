"""What a release promises and contains: the public names, the versions that are named, the wheel and the sdist."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest
import yaml
from packaging.metadata import Metadata

import kgym
from test_layers import FOR_PLUGINS, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = (ROOT / "docs" / "release.md").read_text()


def test_the_page_lists_the_public_names():
    table = re.findall(r"^\| [^|]+ \| (`.+`) \|$", PAGE, flags=re.MULTILINE)
    names = [name for row in table for name in re.findall(r"`(\w+)`", row)]
    assert sorted(names) == sorted(kgym.__all__)


def test_the_page_lists_the_modules_for_plugins():
    section = PAGE.partition("Plugins may also import")[2].partition("- **Command line**")[0]
    assert set(re.findall(r"`kgym\.(\w+)`", section)) == FOR_PLUGINS


def test_the_citation_is_of_this_version_and_invents_nobody():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert citation["authors"] == [{"name": "The kgym authors"}]
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"


def test_the_classifiers_name_the_versions_that_were_tried():
    named = {entry.rpartition(" ")[2] for entry in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", entry)}
    tried = (
        PAGE.partition("## Supported versions of Python")[2]
        .partition("\n## ")[0]
        .partition("and later. ")[2]
        .partition("`.ci/pythons`")[0]
    )
    assert named == set(re.findall(r"3\.\d+", tried))
    assert PROJECT["requires-python"] == ">=3.11"
    assert min(named, key=lambda version: int(version.partition(".")[2])) == "3.11"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist of this checkout."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def tracked(*folders):
    """The files of folders that git knows, by their paths below the root."""
    listed = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.splitlines() if (ROOT / name).is_file()}


@pytest.mark.slow
def test_the_wheel_has_the_packages_their_data_and_the_licence_and_nothing_else(built):
    names = set(zipfile.ZipFile(built[0]).namelist())
    info = f"kgym-{PROJECT['version']}.dist-info"
    packages = {
        "kgym": "kgym",
        "envs/kgym_envs": "kgym_envs",
        "plugins/kgym_plugins": "kgym_plugins",
        "leaderboards/kgym_boards": "kgym_boards",
    }
    wanted = {name.replace(place, package, 1) for place, package in packages.items() for name in tracked(place)}
    licence = {f"{info}/licenses/{name}" for name in ("LICENSE", "NOTICE")}
    assert names == wanted | licence | {
        f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")
    }
    assert {"kgym/py.typed", "kgym_envs/py.typed", "kgym_plugins/py.typed", "kgym/page/static/page.html"} <= names
    assert not [name for name in names if "test_" in name or name.startswith("tests/")]


@pytest.mark.slow
def test_the_sdist_has_what_the_wheel_is_built_from_and_no_runs(built):
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "CITATION.cff", "CHANGELOG.md", "PKG-INFO"} <= names
    assert tracked("kgym", "envs", "plugins", "leaderboards") <= names
    assert not [name for name in names if name.startswith(("runs/", ".venv", "build/"))]


@pytest.mark.slow
def test_the_metadata_is_valid_and_complete(built):
    archive = zipfile.ZipFile(built[0])
    text = archive.read(f"kgym-{PROJECT['version']}.dist-info/METADATA")
    metadata = Metadata.from_email(text, validate=True)
    assert (metadata.name, str(metadata.version), metadata.license_expression) == (
        "kgym",
        PROJECT["version"],
        "Apache-2.0",
    )
    assert metadata.license_files == ["LICENSE", "NOTICE"]
    assert metadata.description_content_type == "text/markdown"
    assert "".join(metadata.description.split()) == "".join((ROOT / "README.md").read_text().split())
    assert {str(each.name) for each in metadata.requires_dist if each.marker is None} == {
        re.match(r"[\w-]+", each)[0] for each in PROJECT["dependencies"]
    }


@pytest.mark.slow
def test_a_command_runs_from_the_wheel_alone(built, tmp_path):
    zipfile.ZipFile(built[0]).extractall(tmp_path / "site")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    code = "import kgym, kgym_plugins, kgym_envs; print(kgym.__file__, kgym_plugins.__file__, kgym_envs.__file__)"
    places = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    ).stdout
    assert all(place.startswith(str(tmp_path / "site")) for place in places.split())
    words = [
        "eval",
        "--bench",
        "arithmetic:validation",
        "--problems",
        "2",
        "--max-tokens",
        "8",
        "--run",
        "run",
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "kgym", *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page = [sys.executable, "-m", "kgym", "runs", "view", "run"]
    assert subprocess.run(page, cwd=tmp_path, env=env, capture_output=True, check=False).returncode == 0, (
        "templates are package data"
    )
