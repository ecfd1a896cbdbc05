//! Events on a generator's machine while it measured endpoints.

use super::{ALL, Gate};
use crate::record::Environment;
use crate::units::{Nanos, Share};
use crate::warning::limits::{OTHERS_MAX, STEAL_MAX};
use crate::warning::{Family, Warning};

/// Judges the machine of each generator; what could not be read is not held against it.
pub(super) fn judge(environments: &[Environment]) -> Vec<Gate> {
    let mut gates = Vec::new();
    for environment in environments {
        let Some(meanwhile) = &environment.meanwhile else { continue };
        let had = meanwhile.had_ns;
        let mut add = |name, spoils, warning: Option<Warning>| {
            gates.extend(warning.map(|warning| Gate { name, target: None, warning, spoils }));
        };
        let stolen = meanwhile.stolen_ns.and_then(|stolen| above(stolen, had, STEAL_MAX));
        add(
            "steal",
            ALL,
            stolen.map(|share| Warning {
                seen: format!("the hypervisor gave {share} of the CPU time to others"),
                cause: "the host is shared, and its neighbours are busy".into(),
                cure: "use a dedicated machine, or measure when its neighbours rest".into(),
            }),
        );
        let wall = Nanos(had.0 / u64::from(environment.cores.max(1)));
        let throttled = meanwhile.throttled.and_then(|periods| {
            let stopped = Nanos(periods.saturating_mul(PERIOD.0));
            above(stopped, wall, THROTTLED_MAX).map(|_| periods)
        });
        add(
            "throttled",
            ALL,
            throttled.map(|periods| Warning {
                seen: format!(
                    "a control group stopped the generator in {periods} periods of 100 ms"
                ),
                cause: "it used up its CPU quota (`cpu.max`, a CPU limit in Kubernetes)".into(),
                cure: "raise or drop the quota, or lower the load".into(),
            }),
        );
        let others = meanwhile.others_ns.and_then(|others| above(others, had, OTHERS_MAX));
        add(
            "others",
            &[Family::Cpu],
            others.map(|share| Warning {
                seen: format!("other processes used {share} of the machine"),
                cause: match &meanwhile.others_top {
                    Some(top) => format!("of `{top}` most of all"),
                    None => "something else runs".to_owned(),
                },
                cure: "stop them, or measure when they rest".into(),
            }),
        );
    }
    gates
}

fn above(part: Nanos, whole: Nanos, limit: Share) -> Option<Share> {
    // Clocks are read one after the other, so a part may come out larger than the whole.
    Share::of(part.0.min(whole.0), whole.0).filter(|share| *share > limit)
}

/// A period that was cut short stops every thread for up to its length: 1 % of the run is enough to
/// move a 99th percentile.
const THROTTLED_MAX: Share = Share::from_percent(1);
/// The kernel's default, `cpu.cfs_period_us`.
const PERIOD: Nanos = Nanos::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::HostEvents;

    fn names(meanwhile: HostEvents) -> Vec<&'static str> {
        let had_ns = Nanos::from_millis(20_000);
        let meanwhile = Some(HostEvents { had_ns, ..meanwhile });
        let environment = Environment { cores: 2, meanwhile, ..Environment::default() };
        judge(&[environment]).iter().map(|gate| gate.name).collect()
    }

    #[test]
    fn each_limit_shuts_its_gate_alone() {
        let millis = |n| Some(Nanos::from_millis(n));
        for (meanwhile, wanted) in [
            (HostEvents::default(), None),
            (HostEvents { stolen_ns: millis(200), ..HostEvents::default() }, None),
            (HostEvents { stolen_ns: millis(201), ..HostEvents::default() }, Some("steal")),
            (HostEvents { others_ns: millis(1_000), ..HostEvents::default() }, None),
            (HostEvents { others_ns: millis(1_001), ..HostEvents::default() }, Some("others")),
            // 10 s of wall clock.
            (HostEvents { throttled: Some(1), ..HostEvents::default() }, None),
            (HostEvents { throttled: Some(2), ..HostEvents::default() }, Some("throttled")),
        ] {
            assert_eq!(names(meanwhile.clone()), Vec::from_iter(wanted), "{meanwhile:?}");
        }
        assert_eq!(judge(&[Environment::default()]), []);
    }
}
