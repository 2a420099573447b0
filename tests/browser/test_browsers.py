"""The set-up gets a browser: what is there, Playwright's own, or Debian's package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyapp.settings import ROOT

APT = """#!/bin/sh
echo "$DEBIAN_FRONTEND" "$@" >> "$0.log"
case "$*" in *--no-download*) cp "$0" "$(dirname "$0")/chromium" ;; esac
"""


def set_up(folder: Path, apt: str | None) -> str:
    """Run the set-up where nothing can be downloaded by Playwright, and no browser is there."""
    if apt:
        (folder / "apt-get").write_text(apt)
        (folder / "apt-get").chmod(0o755)
    for name in ("sh", "cp", "dirname"):
        (folder / name).symlink_to(f"/bin/{name}" if name != "dirname" else "/usr/bin/dirname")
    gone = "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, "-m", "tests.browsers"],
        cwd=ROOT,
        env={
            "PATH": str(folder),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HOME": str(folder),
            "PLAYWRIGHT_BROWSERS_PATH": str(folder / "browsers"),
            "PLAYWRIGHT_DOWNLOAD_HOST": gone,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")
def test_where_playwrights_download_fails_root_gets_debians_package(tmp_path: Path) -> None:
    said = set_up(tmp_path, APT)
    assert f"apt-get installed chromium for tests/browser: {tmp_path}/chromium" in said
    asked = (tmp_path / "apt-get.log").read_text().splitlines()
    assert [line.split()[0] for line in asked] == ["noninteractive"] * 3
    assert asked[0].endswith("update")
    assert set_up_again(tmp_path) == ""  # now one is there


def set_up_again(folder: Path) -> str:
    for name in ("sh", "cp", "dirname"):
        (folder / name).unlink()
    return set_up(folder, None)


@pytest.mark.parametrize("apt", [None, "#!/bin/sh\nexit 100\n"])
def test_without_any_the_set_up_goes_on_and_says_how_to_get_one(
    tmp_path: Path, apt: str | None
) -> None:
    said = set_up(tmp_path, apt)
    assert "tests/browser will be skipped" in said
    assert "apt-get install chromium" in said
