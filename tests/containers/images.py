#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What the container tests put in and look at.

images.py image FILE          an image of three layers, as a docker archive: whiteouts, an opaque
                              directory, hard links, a setuid program, a capability, 1,000 files
images.py layers N FILE       an image of N layers
images.py pause NAME FILE     an image whose program waits
images.py tree DIR            what is in a directory, line by line
images.py tar FILE            what is in an archive (- is standard input), line by line
images.py top FILE            what is in the topmost layer of a saved image
"""

import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile

BUSYBOX = "/bin/busybox"
# cap_net_raw=ep, as the kernel keeps it in security.capability.
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
CHANGE = """\
#!/bin/sh
set -e
echo new >/new
rm /etc/keep
echo more >>/big
rm -r /opq2
mkdir /opq2
echo 1 >/opq2/new
rm -r /opq
mv /mv /etc/mv2
mv /hl3 /etc/hl3
ln /hl1 /hl4
chmod 600 /many/f0001
rm /many/f0002
chown 7:8 /many/f0003
mv /dir /dir2
mkfifo /fifo
ln -s new /link
cp -a /suid /suid2
: >/etc/hosts2
mkdir -p /a/b/c
echo deep >/a/b/c/d
ln /new /a/new2
mv /a/b /a/e
rm -r /a/e/c
"""
LIST = """\
#!/bin/sh
find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /etc/resolv.conf \\
    -o -path /etc/hosts -o -path /etc/hostname -o -path /etc/mtab -o -path /.dockerenv \\) -prune -o ! -type d -print0 |
    xargs -0 stat -c '%n %F %a %u:%g %h %s %N' | sort
find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run \\) -prune -o -type d -print0 |
    xargs -0 stat -c '%n %F %a %u:%g' | sort
find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /etc/resolv.conf \\
    -o -path /etc/hosts -o -path /etc/hostname \\) -prune -o -type f -links -2 -print0 | xargs -0 md5sum | sort -k2
"""


class Layer:
    """A layer of an image: an uncompressed archive in memory."""

    def __init__(self):
        self.data = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.data, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, content=None, mode=0o644, kind=tarfile.REGTYPE, link="", pax=None, owner=0):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.linkname, info.mtime = kind, mode, link, 1600000000
        info.uid = info.gid = owner
        info.pax_headers = pax or {}
        if content is not None:
            info.size = len(content)
        self.tar.addfile(info, io.BytesIO(content) if content is not None else None)

    def dir(self, name, mode=0o755):
        self.add(name, kind=tarfile.DIRTYPE, mode=mode)

    def done(self):
        self.tar.close()
        return self.data.getvalue()


def base():
    """The first layer of all images: a system of busybox."""
    layer = Layer()
    for d in ["bin", "dev", "etc", "proc", "sys", "run", "root", "var"]:
        layer.dir(d)
    layer.dir("tmp", 0o1777)
    with open(BUSYBOX, "rb") as f:
        layer.add("bin/busybox", f.read(), 0o755)
    for applet in subprocess.check_output([BUSYBOX, "--list"], text=True).split():
        if applet != "busybox":
            layer.add(f"bin/{applet}", kind=tarfile.SYMTYPE, link="busybox")
    layer.add("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")
    layer.add("etc/group", b"root:x:0:\nuser:x:1000:\n")
    layer.add("etc/resolv.conf", b"")
    layer.add("etc/hosts", b"")
    layer.add("etc/hostname", b"")
    layer.add("change", CHANGE.encode(), 0o755)
    layer.add("list", LIST.encode(), 0o755)
    return layer


def image(path):
    """The image that every runtime works with."""
    one = base()
    for n in ["etc/gone", "etc/keep", "mv"]:
        one.add(n, n.encode())
    one.add("hl1", b"hard link\n")
    one.add("hl2", kind=tarfile.LNKTYPE, link="hl1")
    one.add("hl3", kind=tarfile.LNKTYPE, link="hl1")
    one.add("suid", b"#!/bin/sh\n", 0o4755)
    one.add("sgid", b"#!/bin/sh\n", 0o2755, owner=1000)
    # The text form of a binary value, as tar keeps it.
    cap = {"SCHILY.xattr.security.capability": CAPABILITY.decode("utf-8", "surrogateescape")}
    one.add("cap", b"#!/bin/sh\n", 0o755, pax=cap)
    one.add("big", bytes(range(256)) * 8192)
    one.dir("many")
    for i in range(1000):
        one.add(f"many/f{i:04}", str(i).encode())
    for d in ["opq", "opq2", "dir", "dir/sub", "dir/sub/deep"]:
        one.dir(d)
        one.add(f"{d}/file", d.encode())
    two = Layer()
    two.dir("etc")
    two.add("etc/.wh.gone", b"")
    two.dir("opq2", 0o750)
    two.add("opq2/.wh..wh..opq", b"")
    two.add("opq2/fresh", b"fresh")
    two.dir("many")
    two.add("many/f0005", b"changed", 0o600)
    two.dir("dir", 0o711)
    three = Layer()
    three.add("hl2", b"its own\n")
    three.dir("etc")
    three.add("etc/added", b"added")
    write(path, "localhost/ovl/test:1", [one.done(), two.done(), three.done()])


def layers(count, path):
    """Each layer but the first changes one file, adds one, and removes the one added three before."""
    made = [base().done()]
    for i in range(1, count):
        layer = Layer()
        layer.dir("l")
        layer.add("l/last", str(i).encode())
        layer.add(f"l/f{i:03}", str(i).encode())
        if i > 3:
            layer.add(f"l/.wh.f{i - 3:03}", b"")
        made.append(layer.done())
    write(path, "localhost/ovl/deep:1", made)


def write(path, name, made, command=("/bin/sh",)):
    """A docker archive of these layers."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2020-01-01T00:00:00Z",
        "config": {"Cmd": list(command), "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(d).hexdigest() for d in made]},
        "history": [{"created": "2020-01-01T00:00:00Z", "created_by": f"layer {i}"} for i in range(len(made))],
    }
    text = json.dumps(config).encode()
    entry = {
        "Config": hashlib.sha256(text).hexdigest() + ".json",
        "RepoTags": [name],
        "Layers": [f"{i}/layer.tar" for i in range(len(made))],
    }
    with tarfile.open(path, "w") as out:

        def put(member, data):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))

        put(entry["Config"], text)
        for i, d in enumerate(made):
            put(f"{i}/layer.tar", d)
        put("manifest.json", json.dumps([entry]).encode())


# What the runtimes make for a container, each in its own way.
NOT_OURS = ("dev", "proc", "sys", "run", "etc/resolv.conf", "etc/hosts", "etc/hostname", "etc/mtab", ".dockerenv")


def skip(name):
    return any(name == n or name.startswith(n + "/") for n in NOT_OURS)


def list_tar(fileobj):
    """Lines that two archives of the same tree share, whatever their order and times."""
    lines = []
    with tarfile.open(fileobj=fileobj, mode="r|*") as tar:
        for m in tar:
            name = m.name.removeprefix("./").strip("/")
            if skip(name):
                continue
            data = tar.extractfile(m).read() if m.isreg() else b""
            xattrs = sorted((k, v) for k, v in m.pax_headers.items() if "xattr" in k)
            kind = {b"0": "file", b"1": "hard link", b"2": "link", b"3": "char", b"5": "dir", b"6": "fifo"}[m.type]
            digest = hashlib.md5(data).hexdigest() if m.isreg() else ""
            lines.append(f"{name} {kind} {m.mode:o} {m.uid}:{m.gid} {m.size} {m.linkname} {digest} {xattrs}")
    print("\n".join(sorted(lines)))


def list_tree(top):
    """The same of a directory, with what an archive does not say."""
    for path, dirs, files in os.walk(top):
        dirs.sort()
        if path == top:
            dirs[:] = [d for d in dirs if not skip(d)]
        for n in sorted(dirs + files):
            full = os.path.join(path, n)
            rel = os.path.relpath(full, top)
            if skip(rel):
                continue
            st = os.lstat(full)
            size = st.st_size if not stat.S_ISDIR(st.st_mode) else "-"
            links = st.st_nlink if not stat.S_ISDIR(st.st_mode) else "-"
            digest = ""
            if stat.S_ISREG(st.st_mode):
                with open(full, "rb") as f:
                    digest = hashlib.md5(f.read()).hexdigest()
            elif stat.S_ISLNK(st.st_mode):
                digest = os.readlink(full)
            xattrs = [(x, os.getxattr(full, x, follow_symlinks=False).hex()) for x in sorted(os.listxattr(full, follow_symlinks=False))]
            # Names of layers, which differ from run to run.
            xattrs = [(x, v if not x.endswith(("overlay.origin", "overlay.uuid")) else "") for x, v in xattrs]
            print(rel, oct(st.st_mode), f"{st.st_uid}:{st.st_gid}", links, size, digest, xattrs)


def top(path):
    with tarfile.open(path) as tar:
        last = json.load(tar.extractfile("manifest.json"))[0]["Layers"][-1]
        list_tar(tar.extractfile(last))


def main():
    what, args = sys.argv[1], sys.argv[2:]
    if what == "image":
        image(args[0])
    elif what == "layers":
        layers(int(args[0]), args[1])
    elif what == "pause":
        write(args[1], args[0], [base().done()], ["/bin/sleep", "100000"])
    elif what == "tree":
        list_tree(args[0])
    elif what == "tar":
        list_tar(sys.stdin.buffer if args[0] == "-" else open(args[0], "rb"))
    elif what == "top":
        top(args[0])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
