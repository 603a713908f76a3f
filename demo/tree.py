#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A manifest of directory trees, one line an object, for comparing trees with cmp(1).

    tree.py manifest [--inodes] DIR...     names, types, modes, owners, sizes, times, xattrs,
                                           contents; with --inodes device-independent identity too
    tree.py manifest --strip FILE          a manifest made with --inodes, as if made without
"""

import hashlib
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor


def digest(path):
    """Hash of a file's contents."""
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


def describe(path, st, inodes):
    """The line of one object, without its name."""
    kind = stat.S_IFMT(st.st_mode)
    fields = [f"{st.st_mode:o}", f"{st.st_uid}:{st.st_gid}", f"{st.st_mtime_ns}"]
    if kind == stat.S_IFREG:
        fields += [str(st.st_size), digest(path) if st.st_size else "-"]
    elif kind == stat.S_IFLNK:
        fields.append(os.readlink(path))
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        fields.append(f"{os.major(st.st_rdev)}:{os.minor(st.st_rdev)}")
    names = sorted(os.listxattr(path, follow_symlinks=False))
    fields += [f"{n}={os.getxattr(path, n, follow_symlinks=False).hex()}" for n in names]
    if inodes:
        fields.append(f"\tino={st.st_ino if kind != stat.S_IFDIR else '-'}")
    return " ".join(fields)


def walk(top):
    """Every object below top on its file system, parents first."""
    pending = [""]
    while pending:
        rel = pending.pop()
        yield rel
        path = os.path.join(top, rel)
        with os.scandir(path) as entries:
            entries = sorted(entries, key=lambda e: e.name)
        for entry in entries:
            name = os.path.join(rel, entry.name)
            if not entry.is_dir(follow_symlinks=False):
                yield name
            elif not os.path.ismount(entry.path):
                pending.append(name)


def manifest(top, inodes):
    """Prints the manifest of one tree."""

    def line(rel):
        path = os.path.join(top, rel) if rel else top
        return f"{rel!r} {describe(path, os.lstat(path), inodes)}"

    with ThreadPoolExecutor(2) as pool:
        lines = sorted(pool.map(line, walk(top), chunksize=64))
    sys.stdout.write("".join(line + "\n" for line in lines))


def main(args):
    """See the text at the top."""
    if args[:1] != ["manifest"]:
        sys.exit(__doc__)
    args = args[1:]
    if args[:1] == ["--strip"]:
        with open(args[1], encoding="utf-8") as file:
            for line in file:
                print(line.partition(" \tino=")[0].rstrip("\n"))
        return
    inodes = args[:1] == ["--inodes"]
    for top in args[inodes:]:
        manifest(top, inodes)


if __name__ == "__main__":
    main(sys.argv[1:])
