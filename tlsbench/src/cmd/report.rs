//! `tlsbench report`: documents from recorded runs, and from nothing else.

mod csv;
mod markdown;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use tlsbench_core::record::RunRecord;
use tlsbench_core::report::Report;

use crate::settings::{self, Format};
use crate::store;

/// Makes the documents. What is returned goes to standard output: the document, or where files are.
pub(super) fn report(settings: &settings::Report) -> anyhow::Result<String> {
    let places = places(settings)?;
    let mut records: Vec<(String, RunRecord)> = Vec::with_capacity(settings.records.len());
    for path in &settings.records {
        records.push((path.display().to_string(), store::read(path)?));
    }
    let program = concat!("tlsbench ", env!("CARGO_PKG_VERSION"));
    let named = records.iter().map(|(name, record)| (name.clone(), record));
    let report = Report::new(program, named);
    let mut said = String::new();
    for (format, place) in places {
        let text = match format {
            Format::Csv => csv::write(&report)?,
            Format::Json => {
                let json = serde_json::to_string_pretty(&report).context("cannot write JSON")?;
                json + "\n"
            }
            Format::Markdown => markdown::write(&report),
        };
        match place {
            Some(path) => {
                store::write(&path, &text)?;
                said.push_str(&format!("{}\n", path.display()));
            }
            None => said = text,
        }
    }
    Ok(said)
}

/// Where each document goes; nothing means standard output.
fn places(settings: &settings::Report) -> anyhow::Result<Vec<(Format, Option<PathBuf>)>> {
    let is_single = settings.formats.len() == 1;
    let Some(out) = &settings.out else {
        if is_single {
            return Ok(settings.formats.iter().map(|format| (*format, None)).collect());
        }
        bail!("several formats need a place: add `--out PATH`, and each gets its ending there");
    };
    let mut places = Vec::new();
    for &format in &settings.formats {
        let mut place = out.clone();
        if !is_single {
            place.as_mut_os_string().push(format!(".{}", format.extension()));
        }
        if settings.records.iter().any(|record| store::is_same(record, &place)) {
            bail!("`{}` is a record of this report; write to another file", place.display());
        }
        if place.is_dir() {
            bail!("`{}` is a directory; name a file in it", place.display());
        }
        places.push((format, Some(place)));
    }
    Ok(places)
}
