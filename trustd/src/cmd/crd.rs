//! `trustd crd`: prints the CustomResourceDefinition that `deploy/crds` holds.

use anyhow::Context as _;
use trustd_api::manifest;

use super::Answer;
use crate::exit::Exit;

pub(super) fn answer() -> anyhow::Result<Answer> {
    let text = manifest::crd().context("cannot write the CRD as YAML")?;
    Ok(Answer { text, exit: Exit::Fine })
}
