//! Remarks for readers of a record in which nothing is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::gate::few_errors;
use super::limits::ERRORS_MAX;
use crate::record::{AddressRecord, RunRecord, TargetRecord};

/// Remarks on what was measured: failures too few to spoil a verdict, redirects, several TLS
/// versions in one figure, requests that were sent again, addresses of which some fail more than
/// others.
#[must_use]
pub fn remarks(record: &RunRecord) -> Vec<String> {
    let expected = record.scenario().ok().and_then(|scenario| scenario.request?.expect_status);
    let of = |target| {
        let (redirects, versions) = (redirects(target, expected), versions(target));
        let (resent, addresses) = (resent(target), addresses(target));
        [failures(target), redirects, versions, resent, addresses].into_iter().flatten()
    };
    record.targets.iter().flat_map(of).collect()
}

/// Failures with their cure, which only a gate would tell otherwise.
fn failures(target: &TargetRecord) -> Option<String> {
    few_errors(target).map(|warning| format!("{}: {warning}", target.name))
}

fn redirects(target: &TargetRecord, expected: Option<u16>) -> Option<String> {
    let mut by_status: BTreeMap<u16, u64> = BTreeMap::new();
    let statuses = target.rounds.iter().flat_map(|round| &round.statuses);
    for (status, count) in statuses {
        let sum = by_status.entry(*status).or_default();
        *sum = sum.saturating_add(*count);
    }
    let all: u64 = by_status.values().copied().fold(0, u64::saturating_add);
    by_status.retain(|status, _| is_redirect(*status));
    let count: u64 = by_status.values().copied().fold(0, u64::saturating_add);
    if expected.is_some() || count == 0 {
        return None;
    }
    let listed: Vec<String> = by_status.keys().map(u16::to_string).collect();
    Some(format!(
        "{}: {count} of {all} responses were redirects ({}), which are not followed: what they lead \
         to was not measured; name that URL, or say `request.expect_status` if it is the redirect \
         that counts",
        target.name,
        listed.join(", ")
    ))
}

/// Statuses that send a client elsewhere (RFC 9110, section 15.4); 304 and 300 do not.
const fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

fn versions(target: &TargetRecord) -> Option<String> {
    let negotiated = target.rounds.iter().flat_map(|round| round.shape.negotiated.keys());
    let versions: BTreeSet<&str> = negotiated.filter_map(|text| text.split(' ').nth(1)).collect();
    (versions.len() > 1).then(|| {
        let listed: Vec<&str> = versions.into_iter().collect();
        format!(
            "{}: connections negotiated TLS {}, and the figures are of all of them together; say \
             `tls.version` to measure one",
            target.name,
            listed.join(" and ")
        )
    })
}

fn resent(target: &TargetRecord) -> Option<String> {
    let resent = target.sum(|round| round.resent);
    (resent > 0).then(|| {
        format!(
            "{}: {resent} requests were sent again on another connection, because the server closed \
             kept connections without having taken them; their times include that",
            target.name
        )
    })
}

/// Addresses that fail, unless all of them fail alike.
fn addresses(target: &TargetRecord) -> Option<String> {
    let mut all: Vec<_> = target.addresses.iter().filter(|(_, of)| of.ended() > 0).collect();
    let share = |of: &AddressRecord| of.failures() as f64 / of.ended() as f64;
    all.sort_by(|(_, one), (_, other)| share(other).total_cmp(&share(one)));
    let (Some((_, worst)), Some((_, best))) = (all.first(), all.last()) else { return None };
    // Shares that differ by less than the limit of gate `errors` do so by chance.
    if share(worst) - share(best) < ERRORS_MAX {
        return None;
    }
    let told = |(address, of): &(&SocketAddr, &AddressRecord)| {
        let why: Vec<String> = of.failed.iter().map(|(why, n)| format!("{why} {n}")).collect();
        let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
        format!("{} of {} at {address}{why}", of.failures(), of.ended())
    };
    let mut listed: Vec<String> = all.iter().take(ADDRESSES_MAX).map(told).collect();
    let more = all.len().saturating_sub(ADDRESSES_MAX);
    if more > 0 {
        listed.push(format!("{more} addresses more, which failed no more often"));
    }
    Some(format!("{}: addresses failed differently: {}", target.name, listed.join("; ")))
}

/// Addresses that are listed; the record has all of them.
const ADDRESSES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Measured, SCHEMA};
    use crate::scenario::Draft;
    use crate::tally::{Failed, Failure, Reason, Tally};
    use crate::units::Nanos;
    use crate::usage::Lap;
    use crate::warning::judge;
    use crate::warning::reason::cure;

    fn record(more: &str, fill: impl Fn(&mut Tally)) -> RunRecord {
        let scenario = format!("{more}\n[[target]]\nname = 'a'\nurl = 'https://127.0.0.1/'\n");
        let scenario = Draft::from_toml(&scenario).unwrap().finish().unwrap();
        let mut tally = Tally::new();
        fill(&mut tally);
        let mut target = TargetRecord::new("a");
        target.push(&Measured {
            round: 0,
            tally: &tally,
            lap: &Lap::default(),
            wait_max: Nanos(0),
        });
        target.push_addresses(&tally);
        RunRecord {
            schema: SCHEMA,
            program: String::new(),
            started: String::new(),
            ended: String::new(),
            complete: true,
            interrupted: None,
            scenario: scenario.to_toml().unwrap(),
            environments: Vec::new(),
            notes: Vec::new(),
            targets: vec![target],
        }
    }

    fn redirected(tally: &mut Tally) {
        [200, 301, 301, 304, 308].into_iter().for_each(|status| tally.status(status));
    }

    #[test]
    fn redirects_are_told_unless_they_are_what_was_expected() {
        let [told] = &remarks(&record("", redirected))[..] else { panic!() };
        assert!(told.starts_with("a: 3 of 5 responses were redirects (301, 308)"), "{told}");
        let expected = record("[request]\nexpect_status = 301", redirected);
        assert!(remarks(&expected).is_empty());
        assert!(remarks(&record("", |tally| tally.status(200))).is_empty());
    }

    #[test]
    fn failures_too_few_for_a_gate_have_their_cure_too() {
        let failed = |count: u64, succeeded| {
            record("", move |tally| {
                let reason = Reason::Status(404);
                (0..count).for_each(|_| tally.fail(Failed::new(Failure::Status, reason)));
                tally.succeeded = succeeded;
            })
        };
        // Three of four, and four of very many: neither shuts the gate.
        for (count, succeeded) in [(3, 1), (4, 100_000)] {
            let record = failed(count, succeeded);
            assert!(judge(&record).iter().all(|gate| gate.name != "errors"));
            let [told] = &remarks(&record)[..] else { panic!("{:?}", remarks(&record)) };
            let all = count + succeeded;
            let seen = format!("a: {count} of {all} operations failed, likely because of `status`");
            assert!(told.starts_with(&seen) && told.contains("404"), "{told}");
            assert!(told.ends_with(cure(Failure::Status, "404").unwrap()), "{told}");
        }
        // The gate says it.
        let many = failed(4, 1);
        assert!(judge(&many).iter().any(|gate| gate.name == "errors"));
        assert!(remarks(&many).is_empty());
    }

    #[test]
    fn several_versions_in_one_figure_and_requests_sent_again_are_told() {
        let of = |version| format!("TLS {version} aes-128-gcm x25519 ED25519 http/1.1");
        let mixed = record("", |tally| {
            tally.shape.negotiated(&of("1.3"));
            tally.shape.negotiated(&of("1.2"));
            tally.resent = 2;
        });
        let told = remarks(&mixed);
        assert!(told[0].starts_with("a: connections negotiated TLS 1.2 and 1.3"), "{told:?}");
        assert!(told[1].starts_with("a: 2 requests were sent again"), "{told:?}");
        let one = record("", |tally| tally.shape.negotiated(&of("1.3")));
        assert!(remarks(&one).is_empty());
    }
    #[test]
    fn addresses_of_which_some_fail_are_told_with_why() {
        let end = |tally: &mut Tally, last, result, count: usize| {
            for _ in 0..count {
                tally.end_at(([127, 0, 0, last], 80).into(), result);
            }
        };
        let differing = record("", |tally| {
            end(tally, 1, Ok(()), 12);
            end(tally, 2, Err(Failure::ConnectRefused), 11);
            end(tally, 2, Ok(()), 1);
        });
        assert_eq!(
            remarks(&differing),
            ["a: addresses failed differently: 11 of 12 at 127.0.0.2:80 (connect_refused 11); \
              0 of 12 at 127.0.0.1:80"]
        );
        let alike = record("", |tally| {
            (1..4).for_each(|last| end(tally, last, Err(Failure::Timeout), 3));
        });
        assert!(remarks(&alike).is_empty());
        assert!(remarks(&record("", |tally| end(tally, 1, Err(Failure::Timeout), 3))).is_empty());
        let many = record("", |tally| {
            (1..=12).for_each(|last| end(tally, last, Ok(()), 1));
            end(tally, 13, Err(Failure::Timeout), 1);
        });
        let [told] = &remarks(&many)[..] else { panic!() };
        assert!(told.ends_with("; 5 addresses more, which failed no more often"), "{told}");
    }
}
