//! How much memory this process may still take: what the machine has left, and what its control groups allow.
//!
//! ```text
//! machine   MemAvailable
//! group     its limit, less what it uses, but for the file cache, which gives way; and so for all groups around it
//! ```

/// Reads a file; none where it cannot be read.
type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where a version of control groups keeps its numbers.
struct Hierarchy {
    mount: &'static str,
    limit: &'static str,
    used: &'static str,
    /// Lines of `memory.stat`.
    cache: [&'static str; 2],
}

const FIRST: Hierarchy = Hierarchy {
    mount: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cache: ["total_inactive_file", "total_active_file"],
};
const SECOND: Hierarchy = Hierarchy {
    mount: "/sys/fs/cgroup",
    limit: "memory.max",
    used: "memory.current",
    cache: ["inactive_file", "active_file"],
};

/// Bytes that can be had without swapping and without going beyond a limit; not known outside Linux.
pub fn available() -> Option<usize> {
    least(&|path| std::fs::read_to_string(path).ok())
}

fn least(read: Read<'_>) -> Option<usize> {
    let machine = read("/proc/meminfo").and_then(|text| number(&text, "MemAvailable:"));
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let lines = groups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        match controllers {
            "" => SECOND.left(path, read),
            _ if controllers.split(',').any(|name| name == "memory") => FIRST.left(path, read),
            _ => None,
        }
    });
    machine.map(|kibibytes| kibibytes.saturating_mul(1024)).into_iter().chain(lines).min()
}

impl Hierarchy {
    /// What the group at `path` and those around it have left. In a container the path may be that of the host, of which
    /// only the mount point is there.
    fn left(&self, path: &str, read: Read<'_>) -> Option<usize> {
        let mut around = Some(path.trim_end_matches('/'));
        let groups = std::iter::from_fn(|| {
            let group = around?;
            around = group.rsplit_once('/').map(|(parent, _)| parent);
            Some(group)
        });
        groups.filter_map(|group| self.left_in(&format!("{}{group}", self.mount), read)).min()
    }

    fn left_in(&self, folder: &str, read: Read<'_>) -> Option<usize> {
        let one = |file: &str| read(&format!("{folder}/{file}"));
        let limit: usize = one(self.limit)?.trim().parse().ok()?; // "max": none
        let used: usize = one(self.used)?.trim().parse().ok()?;
        let stat = one("memory.stat").unwrap_or_default();
        let cache = self.cache.iter().filter_map(|name| number(&stat, name)).fold(0, usize::saturating_add);
        Some(limit.saturating_sub(used.saturating_sub(cache)))
    }
}

/// The number behind a name at the beginning of a line.
fn number(text: &str, name: &str) -> Option<usize> {
    let mut words =
        text.lines().map(str::split_whitespace).find_map(|mut words| (words.next() == Some(name)).then_some(words))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: (&str, &str) = ("/proc/meminfo", "MemTotal:  9 kB\nMemAvailable:   2048 kB\nBuffers: 1 kB\n");

    fn least_of(files: &[(&str, &str)]) -> Option<usize> {
        least(&|path| files.iter().find(|file| file.0 == path).map(|file| file.1.into()))
    }

    #[test]
    fn the_machine_is_asked() {
        assert_eq!(least_of(&[MACHINE]), Some(2048 * 1024));
        assert_eq!(least_of(&[("/proc/meminfo", "MemTotal:  9 kB\n")]), None);
        assert_eq!(least_of(&[("/proc/meminfo", "MemAvailable: many kB\n")]), None);
        assert_eq!(least_of(&[]), None);
    }

    #[test]
    fn a_group_of_the_second_version_has_its_limit_less_its_use() {
        let group = ("/proc/self/cgroup", "0::/user/job\n");
        let limit = |text| ("/sys/fs/cgroup/user/job/memory.max", text);
        let used = ("/sys/fs/cgroup/user/job/memory.current", "900000\n");
        let stat =
            ("/sys/fs/cgroup/user/job/memory.stat", "anon 5\nfile 400000\nactive_file 200000\ninactive_file 100000\n");
        assert_eq!(least_of(&[MACHINE, group, limit("1000000\n"), used, stat]), Some(400_000));
        assert_eq!(least_of(&[MACHINE, group, limit("1000000\n"), used]), Some(100_000));
        assert_eq!(least_of(&[MACHINE, group, limit("800000\n"), used]), Some(0));
        assert_eq!(least_of(&[MACHINE, group, limit("max\n"), used, stat]), Some(2048 * 1024));
        assert_eq!(least_of(&[MACHINE, group, limit("1000000000\n"), used, stat]), Some(2048 * 1024));
        assert_eq!(least_of(&[group, limit("1000000\n"), used]), Some(100_000));
    }

    #[test]
    fn groups_around_have_limits_too() {
        let files = [
            MACHINE,
            ("/proc/self/cgroup", "0::/user/job\n"),
            ("/sys/fs/cgroup/user/job/memory.max", "1000000\n"),
            ("/sys/fs/cgroup/user/job/memory.current", "100000\n"),
            ("/sys/fs/cgroup/user/memory.max", "1200000\n"),
            ("/sys/fs/cgroup/user/memory.current", "1100000\n"),
        ];
        assert_eq!(least_of(&files), Some(100_000));
    }

    #[test]
    fn the_first_version_lists_controllers_and_a_container_sees_its_mount_point_only() {
        let files = [
            MACHINE,
            ("/proc/self/cgroup", "7:cpu,cpuacct:/docker/1\n4:memory,x:/docker/1\n0::/docker/1\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "700000\n"),
            (
                "/sys/fs/cgroup/memory/memory.stat",
                "cache 9\ninactive_file 1\ntotal_inactive_file 40000\ntotal_active_file 2000\n",
            ),
        ];
        assert_eq!(least_of(&files), Some(342_000));
        let unlimited = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(least_of(&[MACHINE, files[1], unlimited, files[3]]), Some(2048 * 1024));
    }

    #[test]
    fn this_machine_has_some() {
        assert_eq!(available().is_some_and(|bytes| bytes > 0), cfg!(target_os = "linux"));
    }
}
