"""Make a staged version of the model live, or say no to it: `make promote VERSION=… REASON="…"`, or `make reject …`."""

import argparse
import logging
import sys
from pathlib import Path

from scripts.shared.access import Access
from scripts.shared.config import load_config
from scripts.shared.errors import UserError
from scripts.shared.plan import read_yaml
from scripts.shared.registry import promote, reject
from scripts.tools.models import CONFIG


def main() -> int:
    """Promote or reject; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="as `make models` lists it")
    parser.add_argument("--reason", default="", help="why, for the log")
    parser.add_argument("--reject", action="store_true", help="say no to it: it waits no longer")
    parser.add_argument("--config", type=Path, default=CONFIG, help="config file (default: %(default)s)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    do, version, reason = "reject" if options.reject else "promote", options.version, options.reason.strip()
    try:
        if not version:
            raise UserError(f'which version? make {do} VERSION=… REASON="…"; make models lists what is staged')
        if not reason:
            raise UserError(f'why? make {do} VERSION={version} REASON="…"; the log keeps it beside your name')
        deploy = load_config(read_yaml(options.config), str(options.config)).deploy
        folder, access = Path(deploy.folder), Access.of(deploy.group, deploy.mode)
        if options.reject:
            reject(folder, version, reason, access)
            print(f"version {version} is rejected; what is live stays")
            return 0
        changed = promote(folder, version, reason, access, deploy.keep)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"version {version} is live now; the next run predicts with it"
        if changed
        else f"version {version} is live already; nothing was changed"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
