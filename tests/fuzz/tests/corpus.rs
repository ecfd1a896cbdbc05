//! Every input of every corpus, through its property: a finding that was mended stays mended.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_input_of_every_corpus_keeps_its_property() {
    for target in fuzz::TARGETS {
        let inputs = target.inputs();
        assert!(!inputs.is_empty(), "the target `{}` has no inputs", target.name);
        for path in inputs {
            let input = fs::read(&path).unwrap();
            // The name of the file, for whoever reads the panic below.
            println!("{}: {}", target.name, path.display());
            (target.check)(&input);
        }
    }
}

#[test]
fn every_corpus_belongs_to_a_target() {
    let known: BTreeSet<_> = fuzz::TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(known.len(), fuzz::TARGETS.len(), "two targets of one name");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let corpora = fs::read_dir(folder).unwrap();
    let corpora: BTreeSet<_> =
        corpora.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(corpora, known);
}
