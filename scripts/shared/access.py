"""Who may read and write the registry: one group and one mode for all its files and folders."""

import grp
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scripts.shared.errors import UserError, did_you_mean

OWNER_WORKS = stat.S_IRUSR | stat.S_IWUSR


@dataclass(frozen=True)
class Access:
    """What files and folders get.

    Attributes
    ----------
    group
        Number of the group, None for the user's own.
    mode
        Permissions of files, None for those of the umask. Folders get x where files have r.
    """

    group: int | None = None
    mode: int | None = None

    @classmethod
    def of(cls, group: str | None, mode: str | None) -> Self:
        """Return what the config's `deploy.group` and `deploy.mode` say.

        Raises
        ------
        UserError
            Where there is no such group, the user isn't a member, or the mode locks the owner out.
        """
        return cls(_number(group) if group else None, _bits(mode) if mode else None)

    def grant(self, path: Path) -> None:
        """Give a file, folder or link its group and mode; what belongs to another user is left as it is.

        Group first: a change of group clears the bit by which new files in a folder inherit it.
        """
        if self == NO_CHANGE:
            return
        try:
            found = path.lstat()
            if os.geteuid() not in {0, found.st_uid}:
                return
            if self.group is not None and found.st_gid != self.group:
                os.chown(path, -1, self.group, follow_symlinks=False)
            wanted = self._wanted(found.st_mode)
            if not stat.S_ISLNK(found.st_mode) and stat.S_IMODE(path.stat().st_mode) != wanted:
                path.chmod(wanted)
        except FileNotFoundError:  # another publisher has replaced or removed it, and granted what is there now
            pass

    def grant_all(self, folder: Path) -> None:
        """Give a folder, and all that is in it, group and mode; what is being written there has a name with a dot."""
        if self == NO_CHANGE:
            return
        self.grant(folder)
        for path in folder.iterdir() if folder.is_dir() and not folder.is_symlink() else ():
            if path.name[0] != ".":
                self.grant_all(path)

    def _wanted(self, mode: int) -> int:
        bits = stat.S_IMODE(mode) if self.mode is None else self.mode
        if not stat.S_ISDIR(mode):
            return bits
        if self.mode is not None:
            bits |= (bits & 0o444) >> 2
        return bits | (stat.S_ISGID if self.group is not None or mode & stat.S_ISGID else 0)


NO_CHANGE = Access()


def _number(group: str) -> int:
    try:
        number = grp.getgrnam(group).gr_gid
    except KeyError:
        known = [each.gr_name for each in grp.getgrall()]
        raise UserError(
            f"deploy.group: this host knows no group '{group}'{did_you_mean(group, known)}; "
            "name another in the config, or leave it out"
        ) from None
    if os.geteuid() != 0 and number not in {os.getegid(), *os.getgroups()}:
        raise UserError(
            f"deploy.group: you are no member of the group '{group}', so the registry's files can't be given to it; "
            "ask an administrator to make you one, then log in anew"
        )
    return number


def _bits(mode: str) -> int:
    bits = int(mode, 8)
    if bits & OWNER_WORKS != OWNER_WORKS:
        raise UserError(
            f"deploy.mode: '{mode}' would keep the owner from reading or writing the registry; use '664', say"
        )
    return bits
