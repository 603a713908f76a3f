#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Mounts one lower layer many times and shows that a library is in memory once.

    share.py TYPE LOWER COUNT

Every mount has an upper of its own on a tmpfs. The C library is mapped through each of them; the
physical page behind its first page, and behind all pages of a hundred mappings, has to be the
same everywhere.
"""

import ctypes
import glob
import mmap
import os
import struct
import sys
import tempfile

LIBC = ctypes.CDLL(None, use_errno=True)
PAGE = mmap.PAGESIZE


def mount(source, target, kind, flags, data):
    """mount(2)."""
    if LIBC.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()):
        err = ctypes.get_errno()
        raise OSError(err, os.strerror(err), target)


def umount(target):
    """umount2(2)."""
    if LIBC.umount2(target.encode(), 0):
        err = ctypes.get_errno()
        raise OSError(err, os.strerror(err), target)


def meminfo():
    """/proc/meminfo in KiB, after everything that can be freed late was freed."""
    with open("/proc/meminfo", encoding="ascii") as file:
        return {line.split(":")[0]: int(line.split()[1]) for line in file}


class Mapping:
    """A private mapping of a whole file, read page by page."""

    def __init__(self, path):
        fd = os.open(path, os.O_RDONLY)
        try:
            self.map = mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        finally:
            os.close(fd)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))

    def frames(self, pages):
        """The physical page numbers of the first pages."""
        for page in range(pages):
            self.map[page * PAGE]
        with open("/proc/self/pagemap", "rb", buffering=0) as file:
            file.seek(self.address // PAGE * 8)
            words = struct.unpack(f"{pages}Q", file.read(pages * 8))
        if not all(word >> 63 for word in words):
            raise RuntimeError("a page that was read is not in memory")
        return [word & ((1 << 55) - 1) for word in words]


def main(kind, lower, count):
    """See the text at the top."""
    count = int(count)
    library = glob.glob("usr/lib/*/libc.so.6", root_dir=lower)[0]
    pages = os.stat(os.path.join(lower, library)).st_size // PAGE
    top = tempfile.mkdtemp(dir="/mnt/tmpfs")
    places = []
    for n in range(count):
        place = f"{top}/{n}"
        for name in ("u", "w", "m"):
            os.makedirs(f"{place}/{name}")
        places.append(place)
    start = meminfo()
    for place in places:
        mount(kind, f"{place}/m", kind, 0, f"lowerdir={lower},upperdir={place}/u,workdir={place}/w")
    mounted = meminfo()
    print(f"   {count} mounts: {(used(mounted) - used(start)) / count:.1f} KiB of kernel memory each")

    first = Mapping(f"{places[0]}/m/{library}")
    expected = first.frames(pages)
    once = meminfo()
    mappings = [first]
    for n, place in enumerate(places[1:], 1):
        mapping = Mapping(f"{place}/m/{library}")
        got = mapping.frames(pages if n <= 100 else 1)
        if got != expected[: len(got)]:
            raise RuntimeError(f"mount {n} has pages of its own")
        mappings.append(mapping)
    mapped = meminfo()
    print(f"   {library}: {pages * PAGE // 1024} KiB, mapped through {len(mappings)} mounts")
    print(f"   page cache grew by {mapped['Cached'] - once['Cached']} KiB between the first and the last")
    print(f"   every one of them maps the same physical pages (first page: frame {expected[0]:#x})")
    if mapped["Cached"] - once["Cached"] > pages * PAGE // 1024:
        raise RuntimeError("the page cache holds the library more than once")
    mappings.clear()
    del first, mapping
    for place in places:
        umount(f"{place}/m")


def used(info):
    """Memory of the kernel's own structures, in KiB."""
    return info["Slab"] + info["KernelStack"] + info["PageTables"] + info.get("Percpu", 0)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
