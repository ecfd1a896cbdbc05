//! The three runners by turns, and what each took.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cluster::audit::{Event, Mark};
use cluster::{Controller, eventually};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{Request, header};
use jiff::Timestamp;
use kube::client::Body;
use serde_json::json;

use crate::gauge::Gauge;
use crate::say;
use crate::stage::{BUNDLE_NAME, Stage};
use crate::table::{Round, Row};

/// The programs to run.
pub(crate) struct Runners {
    pub(crate) trustd: PathBuf,
    pub(crate) peer: Option<PathBuf>,
}

/// How to run them.
pub(crate) struct How {
    pub(crate) parallel: usize,
    pub(crate) rounds: u32,
    pub(crate) peer_limit: Duration,
}

/// Runs all of them on this stage.
///
/// # Errors
/// Fails when a runner does not do what it should: a rate of something else is no rate.
pub(crate) async fn all(stage: &Stage, runners: &Runners, how: &How) -> Result<Vec<Row>> {
    let first = bodies(stage, first_sync(stage, runners, how).await?).await?;
    let (mut by_trustd, mut by_bare) = (Vec::new(), Vec::new());
    for round in 1..=how.rounds {
        say(&format!("  round {round} of {}: trustd, then the bare loop", how.rounds));
        by_trustd.push(trustd(stage, runners, how).await?);
        stage.rotate(0).await?;
        by_bare.push(bare(stage, &first, how).await?);
    }
    let mut rows =
        vec![Row::of(stage.size, "bare loop", &by_bare), Row::of(stage.size, "trustd", &by_trustd)];
    if let Some(program) = &runners.peer {
        say(&format!("  trust-manager, for {} s at the most", how.peer_limit.as_secs()));
        let round = peer(stage, program, how).await?;
        rows.push(Row::of(stage.size, "trust-manager", &[round]));
    }
    let limit = rows.first().map_or(f64::NAN, |row| row.rate);
    for row in &mut rows {
        row.rate_to_bare = row.rate / limit;
    }
    Ok(rows)
}

fn start_trustd(stage: &Stage, runners: &Runners, how: &How) -> Result<Controller> {
    let flags =
        ["--leader-elect=false".to_owned(), format!("--write-concurrency={}", how.parallel)];
    Controller::trustd(&stage.cluster, &runners.trustd, stage.trustd.kubeconfig(), flags)
}

/// Lets trustd make the targets.
async fn first_sync(stage: &Stage, runners: &Runners, how: &How) -> Result<()> {
    let mark = Mark::default();
    let controller = start_trustd(stage, runners, how)?;
    let mut gauge = Gauge::of(controller.process().id());
    let user = stage.trustd.user();
    let (written, _) = watch(stage, &user, mark, LONG, &mut gauge).await?;
    ensure!(written == stage.namespaces.len(), "trustd made only {written} targets");
    settle(&mut gauge).await?;
    controller.terminate(LONG).await.map(drop)
}

async fn trustd(stage: &Stage, runners: &Runners, how: &How) -> Result<Round> {
    let controller = start_trustd(stage, runners, how)?;
    let round = controlled(stage, &controller, &stage.trustd.user(), LONG).await?;
    ensure!(round.written == stage.namespaces.len(), "trustd wrote only {} targets", round.written);
    controller.terminate(LONG).await?;
    Ok(round)
}

async fn peer(stage: &Stage, program: &PathBuf, how: &How) -> Result<Round> {
    let flags = ["--leader-elect=false"];
    let controller = Controller::peer(&stage.cluster, program, stage.peer.kubeconfig(), flags)?;
    controlled(stage, &controller, &stage.peer.user(), how.peer_limit).await
}

/// Annotates namespaces and rotates the CA under a controller that finds everything in order.
async fn controlled(
    stage: &Stage,
    controller: &Controller,
    user: &str,
    limit: Duration,
) -> Result<Round> {
    let mark = stage.cluster.audit().mark()?;
    controller.ready(LONG).await?;
    let mut gauge = Gauge::of(controller.process().id());
    let before = settle(&mut gauge).await?;
    let annotated = stage.annotate(ANNOTATED).await?;
    let after = settle(&mut gauge).await?;
    let annotation_ms = (after - before).as_secs_f64() * 1000.0 / annotated as f64;
    let writes = written(stage, user, mark)?;
    let wrote: Vec<String> = writes.iter().take(3).map(ToString::to_string).collect();
    ensure!(
        writes.is_empty(),
        "{} writes of targets that were as they should be, such as {wrote:?}",
        writes.len()
    );

    let before = gauge.cpu()?;
    let mark = stage.rotate(1).await?;
    let (written, wall) = watch(stage, user, mark, limit, &mut gauge).await?;
    ensure!(written > 0, "{user} wrote nothing within {limit:?}");
    // The status comes last. Whoever was stopped at the limit is still at work.
    let complete = written == stage.namespaces.len();
    let after = if complete { settle(&mut gauge).await? } else { gauge.cpu()? };
    Ok(Round {
        written,
        wall,
        cpu: after - before,
        annotation_ms: Some(annotation_ms),
        memory_peak: Some(gauge.memory_peak()?),
    })
}

/// Waits until a user has written every target, or time is up. Gives how many it has written, and
/// how long after the change of the source the last one was answered, by the API server's own clock.
///
/// It reads the audit log, which costs the API server nothing.
async fn watch(
    stage: &Stage,
    user: &str,
    mut mark: Mark,
    limit: Duration,
    gauge: &mut Gauge,
) -> Result<(usize, Duration)> {
    let start = Instant::now();
    let mut targets = BTreeSet::new();
    let (mut begun, mut ended) = (None, None);
    while targets.len() < stage.namespaces.len() && start.elapsed() < limit {
        tokio::time::sleep(PAUSE).await;
        for event in stage.cluster.audit().read_on(&mut mark)? {
            if !event.is_write() || event.resource != "configmaps" || event.code >= 300 {
                continue;
            }
            if event.name != BUNDLE_NAME {
                // The source: it is written once after the mark, or before the Bundle is made.
                begun = begun.or(Some(event.received));
            } else if event.user == user {
                targets.insert(event.namespace);
                ended = Some(event.reached);
            }
        }
        gauge.cpu()?;
    }
    let wall = match (begun, ended) {
        (Some(begun), Some(ended)) => {
            let span = ended.parse::<Timestamp>()?.duration_since(begun.parse()?);
            span.try_into().context("the audit log goes back in time")?
        }
        _ => start.elapsed(),
    };
    Ok((targets.len(), wall))
}

/// What a user has asked to change in targets since the mark.
fn written(stage: &Stage, user: &str, mark: Mark) -> Result<Vec<Event>> {
    let mut writes = stage.cluster.audit().writes_of(user, mark)?;
    writes.retain(|event| event.name == BUNDLE_NAME && event.resource == "configmaps");
    Ok(writes)
}

/// Waits until a process rests, and gives the CPU time that it has used.
async fn settle(gauge: &mut Gauge) -> Result<Duration> {
    let mut last = gauge.cpu()?;
    let mut quiet = 0;
    eventually("the runner rests", LONG, async || {
        tokio::time::sleep(REST_LOOK).await;
        let now = gauge.cpu()?;
        quiet = if now - last < REST_CPU { quiet + 1 } else { 0 };
        last = now;
        ensure!(quiet >= REST_LOOKS, "it used {:?} last", now - last);
        Ok(now)
    })
    .await
}

/// The bodies by which trustd made the targets, as they stand now: one for each namespace.
async fn bodies(stage: &Stage, _synced: ()) -> Result<Vec<Request<Vec<u8>>>> {
    let target = stage.target().await?;
    let metadata = &target.metadata;
    let request = |namespace: &String| {
        let body = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": BUNDLE_NAME, "namespace": namespace, "labels": metadata.labels,
                "annotations": metadata.annotations, "ownerReferences": metadata.owner_references,
            },
            "data": target.data,
        });
        let uri = format!(
            "/api/v1/namespaces/{namespace}/configmaps/{BUNDLE_NAME}\
             ?fieldManager=trust-manager&force=true&timeout=5000ms"
        );
        let request = Request::patch(uri)
            .header(header::ACCEPT, METADATA)
            .header(header::CONTENT_TYPE, "application/apply-patch+yaml");
        Ok(request.body(serde_json::to_vec(&body)?)?)
    };
    stage.namespaces.iter().map(request).collect()
}

/// Sends them, so many at a time, and looks at nothing but the code of each answer.
async fn bare(stage: &Stage, bodies: &[Request<Vec<u8>>], how: &How) -> Result<Round> {
    let mut gauge = Gauge::of(std::process::id());
    let client = stage.cluster.admin().await?;
    tokio::time::sleep(REST_LOOK * REST_LOOKS).await;
    let before = gauge.cpu()?;
    let start = Instant::now();
    let sent = stream::iter(bodies.to_vec()).map(|request| {
        let client = client.clone();
        // On threads of the runtime, as trustd's writes are.
        let sent = tokio::spawn(async move {
            let answer = client.send(request.map(Body::from)).await?;
            let status = answer.status();
            answer.into_body().collect_bytes().await?;
            ensure!(status.is_success(), "the API server answered {status}");
            anyhow::Ok(())
        });
        async { sent.await? }
    });
    sent.buffer_unordered(how.parallel).try_collect::<()>().await?;
    let wall = start.elapsed();
    let cpu = gauge.cpu()? - before;
    Ok(Round { written: bodies.len(), wall, cpu, annotation_ms: None, memory_peak: None })
}

/// Answers are asked for as trustd asks for them.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// Namespaces that are annotated: enough to tell their CPU time from that of doing nothing.
const ANNOTATED: usize = 20;

const PAUSE: Duration = Duration::from_millis(50);

/// A process rests when it has used next to nothing three times in a row. The peer's runtime alone
/// takes a millisecond now and then.
const REST_LOOK: Duration = Duration::from_millis(500);
const REST_LOOKS: u32 = 3;
const REST_CPU: Duration = Duration::from_millis(5);

/// Longer than anything takes that ends at all.
const LONG: Duration = Duration::from_secs(600);
