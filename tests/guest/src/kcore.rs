// SPDX-License-Identifier: GPL-2.0
//! The kernel's memory, as root may read it (`/proc/kcore`), and the layout of its structures (BTF):
//! enough to follow the pointers from an open file of this process to its tables of operations.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use crate::check::{Skip, R};
use crate::f;
use anyhow::{bail, Context};

const STRUCT: u32 = 4;
const UNION: u32 = 5;

/// One member of a structure.
struct Member {
    name: String,
    kind: u32,
    bits: u32,
}

/// The structures that BTF knows.
struct Layouts {
    by_name: HashMap<String, u32>,
    members: HashMap<u32, Vec<Member>>,
    /// The kinds of all types, and what the ones that only refer to another refer to.
    types: Vec<(u32, u32)>,
}

fn u32_at(b: &[u8], at: usize) -> R<u32> {
    let four = b.get(at..at + 4).context("BTF ends too early")?;
    Ok(u32::from_le_bytes(four.try_into()?))
}

impl Layouts {
    fn load() -> R<Self> {
        let b = f::read("/sys/kernel/btf/vmlinux")?;
        let head = u32_at(&b, 4)? as usize;
        let (types_at, types_len) = (u32_at(&b, 8)? as usize, u32_at(&b, 12)? as usize);
        let strings = head + u32_at(&b, 16)? as usize;
        let text = |off: u32| -> String {
            let s = b.get(strings + off as usize..).unwrap_or(&[]);
            let s = s.split(|c| *c == 0).next().unwrap_or(&[]);
            String::from_utf8_lossy(s).into_owned()
        };
        let mut all = Self {
            by_name: HashMap::new(),
            members: HashMap::new(),
            types: vec![(0, 0)],
        };
        let (mut at, end) = (head + types_at, head + types_at + types_len);
        while at < end {
            let (name, info) = (u32_at(&b, at)?, u32_at(&b, at + 4)?);
            let to = u32_at(&b, at + 8)?;
            let (n, kind, flag) = (info & 0xffff, (info >> 24) & 0x1f, info >> 31 == 1);
            at += 12;
            let id = all.types.len() as u32;
            all.types.push((kind, to));
            if kind == STRUCT || kind == UNION {
                let mut v = Vec::new();
                for i in 0..n as usize {
                    let bits = u32_at(&b, at + 12 * i + 8)?;
                    v.push(Member {
                        name: text(u32_at(&b, at + 12 * i)?),
                        kind: u32_at(&b, at + 12 * i + 4)?,
                        bits: if flag { bits & 0xff_ffff } else { bits },
                    });
                }
                if name != 0 {
                    all.by_name.entry(text(name)).or_insert(id);
                }
                all.members.insert(id, v);
            }
            at += match kind {
                1 | 14 | 17 => 4,
                3 => 12,
                STRUCT | UNION | 15 | 19 => 12 * n as usize,
                6 | 13 => 8 * n as usize,
                _ => 0,
            };
        }
        Ok(all)
    }

    /// What a type is, without the words around it (const, typedef and so on): its number, kind.
    fn plain(&self, mut id: u32) -> (u32, u32) {
        loop {
            let (kind, to) = self.types.get(id as usize).copied().unwrap_or((0, 0));
            match kind {
                8..=11 | 18 => id = to,
                _ => return (id, kind),
            }
        }
    }

    /// All members with a name, those of nameless parts too: name, offset in bytes, kind of type.
    fn flat(&self, id: u32, base: u32, out: &mut Vec<(String, u32, u32)>) {
        for m in self.members.get(&id).into_iter().flatten() {
            let (inner, kind) = self.plain(m.kind);
            let at = base + m.bits / 8;
            if m.name.is_empty() {
                self.flat(inner, at, out);
            } else {
                out.push((m.name.clone(), at, kind));
            }
        }
    }

    fn of(&self, name: &str) -> R<Vec<(String, u32, u32)>> {
        let id = self
            .by_name
            .get(name)
            .with_context(|| format!("BTF has no struct {name}"))?;
        let mut v = Vec::new();
        self.flat(*id, 0, &mut v);
        Ok(v)
    }
}

/// The running kernel.
pub struct Kernel {
    layouts: Layouts,
    core: File,
    /// Address, length and place in the file of what can be read.
    parts: Vec<(u64, u64, u64)>,
    /// The addresses of this process's open files.
    files: u64,
}

/// Kind of type in BTF: a pointer.
const PTR: u32 = 2;
/// Kind of type in BTF: an integer.
const INT: u32 = 1;

impl Kernel {
    /// Skips the test on a kernel without one of them, such as the debug kernel.
    pub fn open() -> R<Self> {
        for needed in ["/proc/kcore", "/sys/kernel/btf/vmlinux"] {
            if !std::path::Path::new(needed).exists() {
                return Err(Skip(format!("this kernel has no {needed}")).into());
            }
        }
        let core = f::open_ro("/proc/kcore")?;
        let mut head = [0; 64];
        core.read_exact_at(&mut head, 0)?;
        let at = u64::from_le_bytes(head[32..40].try_into()?);
        let count = u16::from_le_bytes(head[56..58].try_into()?);
        let mut parts = Vec::new();
        for i in 0..u64::from(count) {
            let mut p = [0; 56];
            core.read_exact_at(&mut p, at + 56 * i)?;
            let word = |n: usize| -> R<u64> { Ok(u64::from_le_bytes(p[n..n + 8].try_into()?)) };
            if p[0] == 1 {
                parts.push((word(16)?, word(40)?, word(8)?));
            }
        }
        let mut k = Self {
            layouts: Layouts::load()?,
            core,
            parts,
            files: 0,
        };
        k.files = k.own_files()?;
        Ok(k)
    }

    fn read(&self, addr: u64, buf: &mut [u8]) -> R {
        for (start, len, place) in &self.parts {
            if let Some(off) = addr.checked_sub(*start).filter(|o| o < len) {
                return Ok(self.core.read_exact_at(buf, place + off)?);
            }
        }
        bail!("{addr:#x} is no address of the kernel")
    }

    fn word(&self, addr: u64) -> R<u64> {
        let mut b = [0; 8];
        self.read(addr, &mut b)?;
        Ok(u64::from_le_bytes(b))
    }

    fn int(&self, addr: u64) -> R<u32> {
        let mut b = [0; 4];
        self.read(addr, &mut b)?;
        Ok(u32::from_le_bytes(b))
    }

    fn offset(&self, structure: &str, member: &str) -> R<u64> {
        let all = self.layouts.of(structure)?;
        let m = all
            .iter()
            .find(|m| m.0 == member)
            .with_context(|| format!("struct {structure} has no {member}"))?;
        Ok(m.1.into())
    }

    /// The pointer `member` of the structure at `addr`.
    pub fn follow(&self, addr: u64, structure: &str, member: &str) -> R<u64> {
        self.word(addr + self.offset(structure, member)?)
    }

    /// The array of the descriptors of this process.
    fn own_files(&self) -> R<u64> {
        let symbols = f::text("/proc/kallsyms")?;
        let init = symbols
            .lines()
            .find(|l| l.ends_with(" init_task"))
            .and_then(|l| u64::from_str_radix(l.split(' ').next()?, 16).ok())
            .context("no init_task in /proc/kallsyms")?;
        let list = self.offset("task_struct", "tasks")?;
        let tgid = self.offset("task_struct", "tgid")?;
        let mut task = init;
        for _ in 0..100_000 {
            task = self.word(task + list)? - list;
            if self.int(task + tgid)? == std::process::id() {
                let files = self.follow(task, "task_struct", "files")?;
                let table = self.follow(files, "files_struct", "fdt")?;
                return self.follow(table, "fdtable", "fd");
            }
        }
        bail!("this process is not in the list of tasks")
    }

    /// The address of the `struct file` behind a descriptor.
    pub fn file(&self, f: &File) -> R<u64> {
        self.word(self.files + 8 * f.as_raw_fd() as u64)
    }

    /// The members of the structure at `addr` that are set, with the value of those that are plain
    /// numbers; none at all for a null pointer.
    pub fn set_members(&self, addr: u64, structure: &str) -> R<Vec<String>> {
        let mut v = Vec::new();
        if addr == 0 {
            return Ok(vec!["(none)".into()]);
        }
        for (name, at, kind) in self.layouts.of(structure)? {
            match kind {
                PTR if self.word(addr + u64::from(at))? != 0 => v.push(name),
                INT if name.contains("flags") => {
                    v.push(format!("{name}={:#x}", self.int(addr + u64::from(at))?));
                }
                _ => {}
            }
        }
        v.sort();
        Ok(v)
    }

    /// The pointers of an array that ends with a null pointer.
    pub fn array(&self, addr: u64) -> R<Vec<u64>> {
        let mut v = Vec::new();
        while addr != 0 && v.len() < 64 {
            match self.word(addr + 8 * v.len() as u64)? {
                0 => break,
                p => v.push(p),
            }
        }
        Ok(v)
    }

    /// A C string of at most 63 bytes.
    pub fn text(&self, addr: u64) -> R<String> {
        if addr == 0 {
            return Ok("(none)".into());
        }
        let mut b = [0; 63];
        self.read(addr, &mut b)?;
        let s = b.split(|c| *c == 0).next().unwrap_or(&[]);
        Ok(String::from_utf8_lossy(s).into_owned())
    }
}
