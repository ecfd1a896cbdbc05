//! The frequency that the CPU may have, threads that share its cores, and the power supply.

use std::collections::BTreeSet;
use std::path::Path;

use super::files::{number, text};

/// The power supply of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// A battery that is being emptied.
    Battery,
    /// The mains, with a battery beside it.
    Mains,
    /// There is no battery.
    NoBattery,
}

/// Frequencies of a CPU, in kHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequency {
    /// Now.
    pub current_khz: u64,
    /// The highest that it can have.
    pub max_khz: u64,
}

/// Reads the frequency of the first of these CPUs; `root` is `/` unless a test says otherwise.
#[must_use]
pub fn frequency(root: &Path, cores: &[usize]) -> Option<Frequency> {
    let of = |name| number(root, &format!("{CPUS}/cpu{}/cpufreq/{name}", cores.first()?));
    Some(Frequency { current_khz: of("scaling_cur_freq")?, max_khz: of("cpuinfo_max_freq")? })
}

/// CPUs that share a core of hardware name the same siblings.
pub(super) fn physical_cores(root: &Path, cores: &[usize]) -> Option<usize> {
    let siblings = |core| text(root, &format!("{CPUS}/cpu{core}/topology/thread_siblings_list"));
    let known: Option<BTreeSet<String>> = cores.iter().map(siblings).collect();
    known.map(|known| known.len()).filter(|count| *count > 0)
}

pub(super) fn boost(root: &Path) -> Option<bool> {
    let no_turbo = number(root, &format!("{CPUS}/intel_pstate/no_turbo")).map(|off| off == 0);
    no_turbo.or_else(|| number(root, &format!("{CPUS}/cpufreq/boost")).map(|on| on == 1))
}

pub(super) fn power(root: &Path) -> Option<Power> {
    let mut found = Power::NoBattery;
    for supply in std::fs::read_dir(root.join("sys/class/power_supply")).ok()? {
        let supply = supply.ok()?.path();
        let is = |file, word| text(&supply, file).is_some_and(|text| text.trim() == word);
        // Batteries of mice and headsets say `Device`, and do not run the machine.
        if is("type", "Battery") && !is("scope", "Device") {
            if is("status", "Discharging") {
                return Some(Power::Battery);
            }
            found = Power::Mains;
        }
    }
    Some(found)
}

const CPUS: &str = "sys/devices/system/cpu";

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;

    #[test]
    fn siblings_are_counted_once() {
        let root = tree(&[
            ("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,2\n"),
            ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1,3\n"),
            ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "0,2\n"),
        ]);
        assert_eq!(physical_cores(root.path(), &[0, 1, 2]), Some(2));
        assert_eq!(physical_cores(root.path(), &[0, 2]), Some(1));
        assert_eq!(physical_cores(root.path(), &[0, 9]), None);
        assert_eq!(physical_cores(root.path(), &[]), None);
    }

    #[test]
    fn boost_is_read_in_both_forms() {
        let read = |path, value| boost(tree(&[(path, value)]).path());
        let intel = "sys/devices/system/cpu/intel_pstate/no_turbo";
        assert_eq!((read(intel, "1\n"), read(intel, "0\n")), (Some(false), Some(true)));
        let other = "sys/devices/system/cpu/cpufreq/boost";
        assert_eq!((read(other, "1\n"), read(other, "0\n")), (Some(true), Some(false)));
        assert_eq!(read("x", "1\n"), None);
    }

    #[test]
    fn a_battery_counts_when_it_runs_the_machine() {
        let read = |kind, status, scope| {
            let root = tree(&[
                ("sys/class/power_supply/AC/type", "Mains\n"),
                ("sys/class/power_supply/BAT0/type", kind),
                ("sys/class/power_supply/BAT0/status", status),
                ("sys/class/power_supply/BAT0/scope", scope),
            ]);
            power(root.path())
        };
        assert_eq!(read("Battery\n", "Discharging\n", "System\n"), Some(Power::Battery));
        assert_eq!(read("Battery\n", "Charging\n", "System\n"), Some(Power::Mains));
        assert_eq!(read("Battery\n", "Discharging\n", "Device\n"), Some(Power::NoBattery));
        assert_eq!(read("UPS\n", "Discharging\n", ""), Some(Power::NoBattery));
        assert_eq!(power(tree(&[]).path()), None);
    }

    #[test]
    fn the_frequency_is_that_of_the_first_cpu() {
        let root = tree(&[
            ("sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq", "2400000\n"),
            ("sys/devices/system/cpu/cpu3/cpufreq/cpuinfo_max_freq", "3500000\n"),
        ]);
        let expected = Frequency { current_khz: 2_400_000, max_khz: 3_500_000 };
        assert_eq!(frequency(root.path(), &[3, 4]), Some(expected));
        assert_eq!(frequency(root.path(), &[0]), None);
        assert_eq!(frequency(root.path(), &[]), None);
    }
}
