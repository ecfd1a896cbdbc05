//! Turns a draft into a lab: fills in defaults, resolves names to placements, and refuses what a
//! lab does not have.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::draft::{LabDraft, LatencyDraft, MixDraft, PlacementDraft, PlacementHopDraft};
use super::{EngineName, Lab, LatencyPass, Mix, Pass, Workload};
use crate::hop::{LinkSecurity, Replicas};
use crate::placement::{KnownPlacement, Placement, PlacementHop, Role};
use crate::problem::{self, Problem, Problems};
use crate::scenario::{TimingDraft, TlsDraft, Versions};
use crate::units::Nanos;

/// A lab, and whose certificates it uses.
#[derive(Clone, Debug, PartialEq)]
pub struct LabRequest {
    /// The lab.
    pub lab: Lab,
    /// A directory of `tlsbench pki`; `None` if certificates are made for the run.
    pub pki: Option<PathBuf>,
    /// PEM file of roots that are trusted instead of that directory's root.
    pub ca_bundle: Option<PathBuf>,
}

impl LabDraft {
    /// The lab, with defaults for what is not given; or all its problems.
    ///
    /// # Errors
    /// Each problem says what to do about it.
    pub fn finish(&self) -> Result<LabRequest, Vec<Problem>> {
        let mut problems = Problems::default();
        refuse(&self.tls, &self.timing, &mut problems);
        let seen = "a root of your own, which trusts no certificate that is made for this run";
        let alone = self.tls.ca_bundle.is_some() && self.pki.is_none();
        let cure = "make some with `tlsbench pki DIR`, and name it as `pki` (--pki DIR)";
        problems.when(alone, "tls.ca_bundle", seen, cure);
        let placements = self.chosen(&mut problems);
        let usual = match self.thorough {
            Some(true) => Lab::default().thorough(),
            Some(false) | None => Lab::default(),
        };
        let measures = |pass| self.passes.as_ref().is_none_or(|passes| passes.contains(&pass));
        let TlsDraft { version, suites, groups, provider, ca_bundle, .. } = self.tls.clone();
        let seen = "both versions, of which each server would choose";
        let cure = "name one, so that placements negotiate the same";
        problems.when(version == Some(Versions::Both), "tls.version", seen, cure);
        let workloads = if measures(Pass::Cpu) { self.workloads(&usual) } else { Vec::new() };
        let mixes = workloads.contains(&Workload::Mix);
        let seen = "a mix that is held out, beside the mix that is a workload";
        let cure = "leave out one or the other";
        problems.when(self.hold_out == Some(true) && mixes, "hold_out", seen, cure);
        // Costs come of the CPU pass.
        let hold_out = self.hold_out.unwrap_or(usual.hold_out && !mixes);
        let latency = usual.latency.filter(|_| measures(Pass::Latency));
        let lab = Lab {
            hold_out: hold_out && !workloads.is_empty(),
            workloads,
            placements: Lab::with_twins(&placements),
            engines: self.engines(),
            rounds: self.timing.rounds.unwrap_or(usual.rounds),
            slice_ns: self.timing.round.unwrap_or(usual.slice_ns),
            warm_up_ns: self.timing.warm_up.unwrap_or(usual.warm_up_ns),
            seed: self.seed.unwrap_or(usual.seed),
            pool: self.pool.unwrap_or(usual.pool),
            response_bytes: self.response_bytes.unwrap_or(usual.response_bytes),
            protocol: self.protocol.unwrap_or(usual.protocol),
            netns: self.netns.unwrap_or(usual.netns),
            version: version.and_then(Versions::only).unwrap_or(usual.version),
            key: self.key.unwrap_or(usual.key),
            suites: suites.unwrap_or(usual.suites),
            groups: groups.unwrap_or(usual.groups),
            provider: provider.unwrap_or(usual.provider),
            latency: latency.map(|pass| self.latency.over(pass, &self.timing)),
            mix: self.mix.over(usual.mix),
            idle_connections: self.idle_connections.unwrap_or(usual.idle_connections),
        };
        let mut all = problems.0;
        // Placements were looked at where they are described; that none is left follows from a
        // name.
        let more = lab.problems_but_of_placements().into_iter();
        let is_named =
            all.iter().any(|problem| matches!(&*problem.key, "placement" | "placements"));
        all.extend(more.filter(|more| more.key != "placements" || !is_named));
        match all.is_empty() {
            true => Ok(LabRequest { lab, pki: self.pki.clone(), ca_bundle }),
            false => Err(problem::first(all)),
        }
    }

    /// Workloads in the order of tables, each once.
    fn workloads(&self, usual: &Lab) -> Vec<Workload> {
        let Some(named) = &self.workloads else { return usual.workloads.clone() };
        Workload::ALL.iter().filter(|workload| named.contains(workload)).copied().collect()
    }

    fn engines(&self) -> BTreeMap<Role, EngineName> {
        let all = self.engine.map(|engine| Role::ALL.iter().map(move |role| (*role, engine)));
        let mut engines: BTreeMap<Role, EngineName> = all.into_iter().flatten().collect();
        engines.extend(&self.engines);
        engines
    }

    /// The placements to measure, without baselines.
    fn chosen(&self, problems: &mut Problems) -> Vec<Placement> {
        let named = self.placements.as_deref().unwrap_or_default();
        for (key, count) in [("placement", self.placement.len()), ("placements", named.len())] {
            if count > PLACEMENTS_MAX {
                let cure = format!("keep at most {PLACEMENTS_MAX} to a run");
                problems.add(key, format!("{count} placements"), cure);
                return Vec::new();
            }
        }
        let own: Vec<Placement> = self.placement.iter().map(Placement::from).collect();
        let twins: Vec<Placement> = own.iter().map(Placement::twin).collect();
        for (index, placement) in own.iter().enumerate() {
            let key = |field: &str| format!("placement[{index}].{field}");
            let found = placement.problems().into_iter();
            problems.0.extend(found.map(|p| Problem { key: key(&p.key), ..p }));
            let same_name = |other: &Placement| other.name == placement.name;
            let before = own.get(..index).unwrap_or_default();
            let is_taken = before.iter().any(same_name)
                || twins.iter().any(|twin| same_name(twin) && twin.hops != placement.hops)
                || placement.name.parse::<KnownPlacement>().is_ok();
            if is_taken {
                let seen = format!("`{}` is another placement already", placement.name);
                problems.add(key("name"), seen, "choose another name");
            }
        }
        let Some(names) = &self.placements else {
            let known = || KnownPlacement::PLACEMENTS.map(KnownPlacement::placement).to_vec();
            return if own.is_empty() { known() } else { own };
        };
        let mut chosen = Vec::new();
        for name in names {
            let found = own.iter().find(|placement| placement.name == *name).cloned();
            match found.map_or_else(|| name.parse().map(KnownPlacement::placement), Ok) {
                Ok(placement) => chosen.push(placement),
                Err(unknown) => {
                    let cure = "name one of these, or describe it as a `[[placement]]`";
                    problems.add("placements", unknown.to_string(), cure);
                }
            }
        }
        chosen
    }
}

/// Refuses keys that workloads and placements decide.
fn refuse(tls: &TlsDraft, timing: &TimingDraft, problems: &mut Problems) {
    let cure = "leave it out, and choose workloads and placements that do so";
    for (key, said) in [
        ("tls.resume", tls.resume.is_some()),
        ("tls.early_data", tls.early_data.is_some()),
        ("tls.client_certificate", tls.client_certificate.is_some()),
        ("tls.client_key", tls.client_key.is_some()),
        ("tls.verify", tls.verify.is_some()),
        ("timing.round_count", timing.round_count.is_some()),
        ("timing.ramp", timing.ramp.is_some()),
    ] {
        problems.when(said, key, "a key of endpoints, in a run over placements", cure);
    }
}

impl LatencyDraft {
    /// The pass has the length that is given for slices, and no more rounds than are given.
    fn over(self, usual: LatencyPass, timing: &TimingDraft) -> LatencyPass {
        let most = timing.rounds.map_or(usual.rounds, |rounds| rounds.min(usual.rounds));
        LatencyPass {
            rounds: self.rounds.unwrap_or(most),
            slice_ns: self.round.or(timing.round).unwrap_or(usual.slice_ns),
            warm_up_ns: self.warm_up.or(timing.warm_up).unwrap_or(usual.warm_up_ns),
            share: self.share.unwrap_or(usual.share),
        }
    }
}

impl MixDraft {
    fn over(self, usual: Mix) -> Mix {
        Mix {
            connections: self.connections.unwrap_or(usual.connections),
            requests: self.requests.unwrap_or(usual.requests),
            resume: self.resume.unwrap_or(usual.resume),
            response_bytes: self.response_bytes.unwrap_or(usual.response_bytes),
        }
    }
}

impl From<&PlacementDraft> for Placement {
    fn from(draft: &PlacementDraft) -> Self {
        Self { name: draft.name.clone(), hops: draft.hops.iter().map(PlacementHop::from).collect() }
    }
}

impl From<&PlacementHopDraft> for PlacementHop {
    fn from(draft: &PlacementHopDraft) -> Self {
        let usual = Replicas::default();
        Self {
            role: draft.role,
            kind: draft.kind,
            listen: draft.listen.unwrap_or(LinkSecurity::Plain),
            dial: draft.dial.unwrap_or(LinkSecurity::Plain),
            proxy_protocol: draft.proxy_protocol.unwrap_or(false),
            replicas: Replicas {
                count: draft.replicas.unwrap_or(usual.count),
                tickets: draft.ticket_keys.unwrap_or(usual.tickets),
            },
            delay: draft.delay.unwrap_or(Nanos(0)),
        }
    }
}

/// Placements of one run: at the half minute that each takes of the default round, more than an
/// hour and a half for every round.
pub(super) const PLACEMENTS_MAX: usize = 200;
