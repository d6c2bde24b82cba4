//! Paths: told of changes by inotify, and looked at by ourselves where that does not reach (LV-ST1..LV-ST8).
//!
//! An event of inotify is only a hint: the attributes are read again and compared, to the nanosecond (DD-02).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::backend::system;
use crate::internal::Internal;
use crate::kinds::Kind;
use crate::{Error, Events, Flags, Key, Loop, Result};

/// How often to look where nothing else is said (LV-ST5).
const DEFAULT_NS: i64 = 5_007_489_100;
/// On a remote file system that inotify watches for local changes only.
const REMOTE_NS: i64 = 30_107_489_100;
/// No more often than this.
const SHORTEST_NS: i64 = 107_489_100;

/// What lstat says of a path; all zero, `nlink` above all, when there is no such path.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub struct Attributes {
    /// The device it is on.
    pub dev: u64,
    /// Its number there.
    pub ino: u64,
    /// Kind and permissions.
    pub mode: u32,
    /// How many names it has; at least 1 if it exists.
    pub nlink: u64,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The device it is, if it is one.
    pub rdev: u64,
    /// Its size in bytes.
    pub size: i64,
    /// Last access, in nanoseconds since 1970.
    pub atime_ns: i64,
    /// Last change of the contents.
    pub mtime_ns: i64,
    /// Last change of the attributes.
    pub ctime_ns: i64,
}

pub(crate) struct Stat {
    path: PathBuf,
    interval_ns: i64,
    attributes: Attributes,
    previous: Attributes,
    /// The inotify watch, and whether it is on the path itself (or on a directory above, as a hint).
    watch: Option<i32>,
    exact: bool,
}

impl Stat {
    pub(crate) fn new(path: PathBuf, interval_ns: i64) -> Stat {
        // 0 asks for the default, which is chosen at the start; anything else is raised to the shortest, also what is negative.
        let interval_ns = if interval_ns == 0 {
            0
        } else {
            interval_ns.max(SHORTEST_NS)
        };
        let nothing = Attributes::default();
        Stat {
            path,
            interval_ns,
            attributes: nothing,
            previous: nothing,
            watch: None,
            exact: false,
        }
    }
}

/// Which watchers an inotify watch is for.
#[derive(Default)]
pub(crate) struct Paths {
    by_watch: BTreeMap<i32, Vec<u32>>,
}

impl<T: Copy> Loop<T> {
    /// The attributes of a stat watcher's path before the last change, and now.
    pub fn stat_attributes(&self, key: Key) -> Result<(Attributes, Attributes)> {
        match &self.slab[self.watcher(key)?].kind {
            Kind::Stat(stat) => Ok((stat.previous, stat.attributes)),
            _ => Err(Error::WrongKind),
        }
    }

    /// How often a stat watcher looks, as far as it has to: what was set, raised to 0.107 s, or the default in use.
    pub fn stat_interval_ns(&self, key: Key) -> Result<i64> {
        match &self.slab[self.watcher(key)?].kind {
            Kind::Stat(stat) => Ok(stat.interval_ns),
            _ => Err(Error::WrongKind),
        }
    }

    /// Reads the attributes of a stat watcher's path now, without telling a change (libev's ev_stat_stat).
    pub fn stat_now(&mut self, key: Key) -> Result<Attributes> {
        let index = self.watcher(key)?;
        match &mut self.slab[index].kind {
            Kind::Stat(stat) => {
                stat.attributes = look(&stat.path);
                Ok(stat.attributes)
            }
            _ => Err(Error::WrongKind),
        }
    }

    pub(crate) fn start_stat(&mut self, index: u32) -> Result<()> {
        let Kind::Stat(stat) = &mut self.slab[index].kind else {
            return Err(Error::WrongKind);
        };
        stat.attributes = look(&stat.path);
        stat.previous = stat.attributes;
        self.watch_path(index);
        Ok(())
    }

    pub(crate) fn stop_stat(&mut self, index: u32) {
        self.timers.remove(index);
        self.unwatch_path(index);
    }

    /// Looks; tells a change. True if there was one.
    pub(crate) fn check_stat(&mut self, index: u32) -> bool {
        let Kind::Stat(stat) = &mut self.slab[index].kind else {
            return false;
        };
        let attributes = look(&stat.path);
        if attributes == stat.attributes {
            return false;
        }
        stat.previous = std::mem::replace(&mut stat.attributes, attributes);
        // The path may name another file now, or exist at last.
        self.unwatch_path(index);
        self.watch_path(index);
        self.feed_index(index, Events::STAT);
        true
    }

    /// The timer of a stat watcher expired.
    pub(crate) fn expire_stat(&mut self, index: u32) {
        if !self.check_stat(index) {
            self.schedule_look(index);
        }
    }

    fn schedule_look(&mut self, index: u32) {
        let Kind::Stat(stat) = &self.slab[index].kind else {
            return;
        };
        let at = self.now.monotonic_ns.saturating_add(stat.interval_ns);
        self.timers.update(index, at);
    }

    /// Finds the best way to be told about a path: inotify on it, with no looking at all on a local file system;
    /// inotify on the nearest directory above that exists, and looking; or looking alone (LV-ST6).
    fn watch_path(&mut self, index: u32) {
        let told = self.inotify().and_then(|fd| self.add_watch(fd, index));
        let local = told.unwrap_or(false);
        let Kind::Stat(stat) = &mut self.slab[index].kind else {
            return;
        };
        if stat.interval_ns == 0 {
            stat.interval_ns = if stat.exact && !local { REMOTE_NS } else { DEFAULT_NS };
        }
        if local {
            self.timers.remove(index);
        } else {
            self.schedule_look(index);
        }
    }

    /// Whether inotify alone is enough.
    fn add_watch(&mut self, fd: i32, index: u32) -> Option<bool> {
        let Some(Internal::Paths(object)) = self.internals.get(fd) else {
            return None;
        };
        let Kind::Stat(stat) = &mut self.slab[index].kind else {
            return None;
        };
        let mut path: &Path = &stat.path;
        loop {
            if let Some(watch) = system::watch_path(object, path) {
                stat.watch = Some(watch);
                stat.exact = path == stat.path;
                let local = stat.exact && system::is_local(path);
                self.paths.by_watch.entry(watch).or_default().push(index);
                return Some(local);
            }
            path = match path.parent() {
                Some(above) if above.as_os_str().is_empty() => Path::new("."),
                Some(above) => above,
                None => return None,
            };
            if path == Path::new(".") && stat.path == Path::new(".") {
                return None;
            }
        }
    }

    fn unwatch_path(&mut self, index: u32) {
        let Kind::Stat(stat) = &mut self.slab[index].kind else {
            return;
        };
        let Some(watch) = stat.watch.take() else { return };
        let Some(watchers) = self.paths.by_watch.get_mut(&watch) else {
            return;
        };
        watchers.retain(|&other| other != index);
        if watchers.is_empty() {
            self.paths.by_watch.remove(&watch);
            if let Some(Internal::Paths(object)) = self.internals.paths.and_then(|fd| self.internals.get(fd)) {
                system::unwatch_path(object, watch);
            }
        }
    }

    /// The inotify object, made at first use.
    fn inotify(&mut self) -> Option<i32> {
        if self.flags().contains(Flags::NO_INOTIFY) || self.backend() == 0 {
            return None;
        }
        if self.internals.paths.is_none() {
            let object = system::open_path_watches()?;
            self.internals.paths = Some(self.add_internal(Internal::Paths(object)));
        }
        self.internals.paths
    }

    /// inotify has something to say: everybody concerned looks.
    pub(crate) fn read_paths(&mut self, fd: i32) {
        let mut concerned: Vec<u32> = Vec::new();
        if let Some(Internal::Paths(object)) = self.internals.get(fd) {
            let by_watch = &self.paths.by_watch;
            system::read_path_watches(object, |watch| match watch {
                Some(watch) => concerned.extend(by_watch.get(&watch).into_iter().flatten()),
                None => concerned.extend(by_watch.values().flatten()),
            });
        }
        concerned.sort_unstable();
        concerned.dedup();
        for index in concerned {
            if !self.check_stat(index) {
                // The hint may have been that a directory on the way came into being: get nearer.
                let far = matches!(&self.slab[index].kind, Kind::Stat(stat) if !stat.exact);
                if far {
                    self.unwatch_path(index);
                    self.watch_path(index);
                }
            }
        }
    }

    /// In a forked child: the parent's object would take our events.
    pub(crate) fn recreate_paths(&mut self) {
        let Some(fd) = self.internals.paths.take() else { return };
        let all: Vec<u32> = std::mem::take(&mut self.paths.by_watch)
            .into_values()
            .flatten()
            .collect();
        self.remove_internal(fd);
        for index in all {
            if let Kind::Stat(stat) = &mut self.slab[index].kind {
                stat.watch = None;
                self.watch_path(index);
            }
        }
    }
}

fn look(path: &Path) -> Attributes {
    let Ok(found) = rustix::fs::lstat(path) else {
        return Attributes::default();
    };
    let ns = |seconds: i64, nanoseconds: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds);
    #[allow(clippy::unnecessary_cast, reason = "the types of the fields differ between systems")]
    Attributes {
        dev: found.st_dev as u64,
        ino: found.st_ino as u64,
        mode: found.st_mode as u32,
        nlink: (found.st_nlink as u64).max(1),
        uid: found.st_uid,
        gid: found.st_gid,
        rdev: found.st_rdev as u64,
        size: found.st_size as i64,
        atime_ns: ns(found.st_atime as i64, found.st_atime_nsec as i64),
        mtime_ns: ns(found.st_mtime as i64, found.st_mtime_nsec as i64),
        ctime_ns: ns(found.st_ctime as i64, found.st_ctime_nsec as i64),
    }
}
