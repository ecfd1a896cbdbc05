//! CPU quotas of control groups, and how often they throttled this process. Versions 1 and 2, with
//! every group above as well: the tightest holds.

use std::path::{Path, PathBuf};

use super::files::text;

/// The CPU quota of this process's control groups.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// CPUs' worth of time; `None` if there is no quota.
    pub cpus: Option<f64>,
    /// The number of times that the groups were throttled since they were made.
    pub throttled: u64,
}

impl Quota {
    pub(super) fn read(root: &Path) -> Option<Self> {
        let groups = text(root, "proc/self/cgroup")?;
        let mut all = Self { cpus: None, throttled: 0 };
        for line in groups.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
            if controllers.is_empty() {
                all.add(root, "sys/fs/cgroup", group, version_2);
            } else if controllers.split(',').any(|name| name == "cpu") {
                all.add(root, &format!("sys/fs/cgroup/{controllers}"), group, version_1);
            }
        }
        Some(all)
    }

    fn add(&mut self, root: &Path, mount: &str, group: &str, cpus: fn(&Path) -> Option<f64>) {
        // A container sees its own group at the mount and a path of the host in `/proc`: folders
        // that are not there say nothing.
        let group = Path::new(group.trim_start_matches('/'));
        for part in group.ancestors() {
            let folder: PathBuf = root.join(mount).join(part);
            if let Some(cpus) = cpus(&folder) {
                self.cpus = Some(self.cpus.map_or(cpus, |known| known.min(cpus)));
            }
            self.throttled = self.throttled.saturating_add(throttled(&folder).unwrap_or(0));
        }
    }
}

/// `cpu.max`: the quota, or `max`, and the period.
fn version_2(folder: &Path) -> Option<f64> {
    let text = text(folder, "cpu.max")?;
    let (quota, period) = text.trim().split_once(' ')?;
    cpus(quota.parse().ok()?, period.parse().ok()?)
}

/// The quota is -1 where there is none.
fn version_1(folder: &Path) -> Option<f64> {
    let number = |name| text(folder, name)?.trim().parse::<f64>().ok();
    cpus(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
}

fn cpus(quota: f64, period: f64) -> Option<f64> {
    (quota > 0.0 && period > 0.0).then(|| quota / period).filter(|cpus| cpus.is_finite())
}

fn throttled(folder: &Path) -> Option<u64> {
    let text = text(folder, "cpu.stat")?;
    text.lines().find_map(|line| line.strip_prefix("nr_throttled "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;

    fn quota(files: &[(&str, &str)]) -> Option<Quota> {
        Quota::read(tree(files).path())
    }

    #[test]
    fn the_tightest_quota_of_all_groups_above_holds_and_throttling_adds_up() {
        let files = [
            ("proc/self/cgroup", "0::/pod/container\n"),
            ("sys/fs/cgroup/pod/container/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/pod/container/cpu.stat", "usage_usec 9\nnr_throttled 3\n"),
            ("sys/fs/cgroup/pod/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/pod/cpu.stat", "nr_periods 7\nnr_throttled 4\n"),
            ("sys/fs/cgroup/cpu.max", "400000 100000\n"),
        ];
        assert_eq!(quota(&files), Some(Quota { cpus: Some(1.5), throttled: 7 }));
    }

    #[test]
    fn version_1_says_no_quota_by_a_negative_one() {
        let files = |quota| {
            [
                ("proc/self/cgroup", "3:cpu,cpuacct:/user\n2:cpuset:/x\n0::/\n"),
                ("sys/fs/cgroup/cpu,cpuacct/user/cpu.cfs_quota_us", quota),
                ("sys/fs/cgroup/cpu,cpuacct/user/cpu.cfs_period_us", "100000\n"),
                ("sys/fs/cgroup/cpu,cpuacct/user/cpu.stat", "nr_throttled 1\n"),
            ]
        };
        assert_eq!(quota(&files("-1\n")), Some(Quota { cpus: None, throttled: 1 }));
        assert_eq!(quota(&files("50000\n")), Some(Quota { cpus: Some(0.5), throttled: 1 }));
    }

    #[test]
    fn without_groups_nothing_is_known_and_strange_files_say_nothing() {
        assert_eq!(quota(&[]), None);
        let none = Some(Quota { cpus: None, throttled: 0 });
        assert_eq!(quota(&[("proc/self/cgroup", "strange\n0::/gone\n")]), none);
        for text in ["", "1", "x y\n", "0 0\n", "5 0\n", "max max\n"] {
            let files = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", text)];
            assert_eq!(quota(&files), none, "{text}");
        }
    }
}
