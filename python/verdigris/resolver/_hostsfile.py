"""The hosts file: names that need no asking."""

import os

from ._addresses import is_ipv4_addr, is_ipv6_addr


class HostsFile:
    """`/etc/hosts`, read again when it has changed.

    `v4` and `v6` map names to addresses, `aliases` other names to the first name of their line, and
    `reverse` addresses to names.
    """

    def __init__(self, fname=None):
        self.fname = fname or "/etc/hosts"
        self.v4 = {}
        self.v6 = {}
        self.aliases = {}
        self.reverse = {}
        self._last_load = 0

    def load(self):
        """Read the file, unless it is as it was the last time."""
        changed = os.stat(self.fname).st_mtime
        if changed == self._last_load:
            return
        for table in (self.v4, self.v6, self.aliases, self.reverse):
            table.clear()
        with open(self.fname, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                self._take_line(line.partition("#")[0].split())
        self._last_load = changed

    def _take_line(self, words):
        if len(words) < 2:
            return
        address, name, *others = words
        if is_ipv4_addr(address):
            table = self.v4
        elif is_ipv6_addr(address):
            table = self.v6
        else:
            return
        table.setdefault(name, address)
        self.reverse.setdefault(address, name)
        for other in others:
            table.setdefault(other, address)
            self.aliases.setdefault(other, name)

    def iter_all_host_addr_pairs(self):
        """All pairs of a name and an address."""
        self.load()
        for table in (self.v4, self.v6):
            yield from table.items()
