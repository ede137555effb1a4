"""Make an older version of the model live again: `make rollback VERSION=…`."""

import argparse
import logging
import sys
from pathlib import Path

from scripts.shared.access import Access
from scripts.shared.config import load_config
from scripts.shared.errors import UserError
from scripts.shared.plan import read_yaml
from scripts.shared.registry import roll_back
from scripts.tools.models import CONFIG


def main() -> int:
    """Roll back; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="as `make models` lists it")
    parser.add_argument("--config", type=Path, default=CONFIG, help="config file (default: %(default)s)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if not options.version:
            raise UserError("which version? make rollback VERSION=…; make models lists what is there")
        deploy = load_config(read_yaml(options.config), str(options.config)).deploy
        changed = roll_back(Path(deploy.folder), options.version, Access.of(deploy.group, deploy.mode))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"version {options.version} {'is live now' if changed else 'is live already; nothing was changed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
