//! `tlsbench calibrate`: what single operations take on this machine.

use std::path::Path;

use anyhow::Context as _;
use comfy_table::{Table, presets};
use tlsbench_core::calibration::{Calibration, Primitive, SCHEMA, SPREAD_MAX};
use tlsbench_core::units::Nanos;
use tlsbench_engine::calibrate::{measure, primitives};
use tlsbench_engine::probe::Machine;

use super::answer::Answer;
use crate::exit::Exit;
use crate::progress::StepProgress;
use crate::settings::OutputFormat;
use crate::{build, environment, store};

/// Calibrates, and writes the document where one is asked for.
pub(super) fn answer(output: OutputFormat, document: Option<&Path>) -> anyhow::Result<Answer> {
    if let Some(path) = document {
        // Before ten seconds of measuring, not after.
        store::prepare(path)?;
    }
    let calibration = calibrate()?;
    let failed = match document {
        Some(path) => store::write(path, &json(&calibration)?).err(),
        None => None,
    };
    let text = match output {
        OutputFormat::Json => json(&calibration)?,
        OutputFormat::Table => text(&calibration),
    };
    let answer = Answer::new(text, exit(&calibration)).beside(document);
    Ok(answer.failing(failed.map(anyhow::Error::new)))
}

/// Measures, within about ten seconds.
fn calibrate() -> anyhow::Result<Calibration> {
    let shown = StepProgress::new("calibrating");
    let primitives = primitives().context("cannot calibrate")?;
    let measured = measure(primitives, |done, of| shown.done(done, of));
    shown.finish();
    let primitives = measured
        .context("cannot calibrate")?
        .into_iter()
        .map(|of| {
            let provider = of.provider.map(|provider| provider.to_string());
            Primitive::new(of.name, provider, of.bytes.map(u64::from), of.operations, &of.rounds)
                .with_context(|| format!("no time passed while `{}` was measured", of.name))
        })
        .collect::<anyhow::Result<_>>()?;
    // AES and carry-less multiplication decide the speed of AES-GCM more than the model's name
    // does.
    let features = Machine::read(Path::new("/")).cpu.map(|cpu| cpu.features).unwrap_or_default();
    Ok(Calibration {
        schema: SCHEMA,
        program: build::PROGRAM.to_owned(),
        made: jiff::Timestamp::now().to_string(),
        machine: environment::of_process(),
        cpu_features: features.iter().map(ToString::to_string).collect(),
        primitives,
    })
}

/// No when a figure is not steady.
fn exit(calibration: &Calibration) -> Exit {
    let is_steady = calibration.primitives.iter().all(|primitive| primitive.steady);
    if is_steady { Exit::Fine } else { Exit::Negative }
}

/// The document.
fn json(calibration: &Calibration) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(calibration);
    Ok(text.context("cannot write the calibration")? + "\n")
}

fn text(calibration: &Calibration) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "by", "of", "median", "95 %", "fastest", "spread", "per second", ""]);
    for primitive in &calibration.primitives {
        table.add_row([
            primitive.name.clone(),
            primitive.provider.clone().unwrap_or_else(|| "kernel".to_owned()),
            primitive.bytes.map(|bytes| format!("{} KB", bytes >> 10)).unwrap_or_default(),
            nanos(primitive.ns.value),
            format!("{} to {}", nanos(primitive.ns.low), nanos(primitive.ns.high)),
            nanos(primitive.fastest_ns),
            format!("{:.1} %", primitive.spread * 100.0),
            per_second(primitive),
            if primitive.steady { "" } else { "not steady" }.to_owned(),
        ]);
    }
    let mut text = format!("{}\n{}", table.trim_fmt(), build::WARNING);
    let unsteady = calibration.primitives.iter().filter(|primitive| !primitive.steady).count();
    let of = calibration.primitives.len();
    if unsteady == 0 {
        text.push_str(&format!("steady: all {of}, by CPU time of one thread\n"));
        return text;
    }
    let limit = SPREAD_MAX.as_f64() * 100.0;
    text.push_str(&format!(
        "warning: {unsteady} of {of} are not steady: the middle half of their rounds spreads over \
         more than {limit} %, likely because something else ran or the CPU changed its frequency; \
         look with `tlsbench doctor`, then calibrate again\n"
    ));
    text
}

fn nanos(value: f64) -> String {
    Nanos(value.round() as u64).to_string()
}

/// Formats the rate of one thread: bytes where the operation handles bytes, operations elsewhere.
fn per_second(primitive: &Primitive) -> String {
    match primitive.bytes_per_second() {
        Some(bytes) => format!("{:.2} GB", bytes / 1e9),
        None => format!("{:.0}", 1e9 / primitive.ns.value),
    }
}

#[cfg(test)]
mod tests {
    use tlsbench_core::record::Environment;

    use super::*;

    fn calibration(rounds: [f64; 7]) -> Calibration {
        let hash = Primitive::new("sha-256", Some("ring".into()), Some(16_384), 5, &rounds);
        let call = Primitive::new("system-call", None, None, 5, &[100.0; 7]);
        Calibration {
            schema: SCHEMA,
            program: "tlsbench".into(),
            made: "2026-01-02T03:04:05Z".into(),
            machine: Environment::default(),
            cpu_features: Vec::new(),
            primitives: vec![hash.unwrap(), call.unwrap()],
        }
    }

    fn printed(rounds: [f64; 7]) -> (String, Exit) {
        let calibration = calibration(rounds);
        (text(&calibration), exit(&calibration))
    }

    #[test]
    fn a_line_that_is_not_steady_is_marked_and_is_a_negative_answer() {
        let (text, exit) = printed([8_192.0; 7]);
        assert!(
            !text.contains("not steady") && text.ends_with("CPU time of one thread\n"),
            "{text}"
        );
        assert_eq!(exit, Exit::Fine);
        let (text, exit) = printed([8.0, 8.5, 9.0, 9.5, 10.0, 10.5, 11.0].map(|n| n * 1e3));
        let line = text.lines().find(|line| line.contains("sha-256")).unwrap();
        assert!(line.ends_with("not steady"), "{text}");
        assert!(text.contains("warning: 1 of 2 are not steady"), "{text}");
        assert_eq!(exit, Exit::Negative);
    }

    #[test]
    fn bytes_per_second_are_those_of_the_median() {
        let (text, _) = printed([8_192.0; 7]);
        // 16,384 bytes in 8,192 ns.
        assert!(text.contains("2.00 GB") && text.contains("16 KB") && text.contains("8.19 µs"));
        assert!(text.contains("10000000"), "{text}");
    }
}
