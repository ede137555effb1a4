"""`make install-profile`: Snakemake finds the profile by its name."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def install(folder):
    script = ROOT / "scripts" / "tools" / "install_profile.sh"
    environment = {**os.environ, "XDG_CONFIG_HOME": str(folder)}
    return subprocess.run([script], env=environment, capture_output=True, text=True, check=False)


def test_the_link_leads_to_this_checkout_and_may_be_made_again(tmp_path):
    for _ in range(2):
        done = install(tmp_path)
        assert done.returncode == 0
        assert "snakemake --profile htcondor" in done.stdout
        assert (tmp_path / "snakemake" / "htcondor").resolve() == ROOT / "profiles" / "htcondor"


def test_a_profile_of_the_users_own_is_left_alone(tmp_path):
    own = tmp_path / "snakemake" / "htcondor"
    own.mkdir(parents=True)
    done = install(tmp_path)
    assert done.returncode == 1
    assert "profile of your own" in done.stderr
    assert not own.is_symlink()
