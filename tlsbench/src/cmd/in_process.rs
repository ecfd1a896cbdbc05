//! Verbs within the process of a test, with paths of a folder: no process is started for a table.

use std::path::Path;

use clap::Parser as _;

use crate::cli::Cli;
use crate::exit::Exit;

/// Runs a command line, and returns its output, its error and its exit code. Words are paths in the
/// folder but for flags and the values of `not_paths`; texts name these paths without the folder.
pub(super) fn said_in(
    folder: &Path,
    arguments: &[&str],
    not_paths: &[&str],
) -> (String, String, Option<i32>) {
    let (verb, rest) = arguments.split_first().unwrap();
    let mut words = vec!["tlsbench".to_owned(), (*verb).to_owned()];
    let mut before = "";
    for word in rest {
        let is_path = !word.starts_with('-') && !not_paths.contains(&before);
        let joined = || folder.join(word).display().to_string();
        words.push(if is_path { joined() } else { (*word).to_owned() });
        before = word;
    }
    let bare = |text: String| text.replace(&format!("{}/", folder.display()), "");
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return (String::new(), bare(error.to_string()), Some(2)),
    };
    let mut out = Vec::new();
    let (error, code) = match super::run(&cli.settings(), &mut out) {
        Ok(Exit::Fine) => (String::new(), 0),
        Ok(Exit::Negative) => (String::new(), 1),
        Ok(Exit::Failed) => (String::new(), 2),
        Ok(Exit::Signal(signal)) => panic!("signal {signal}"),
        Err(error) => (format!("error: {error:#}\n"), 2),
    };
    (bare(String::from_utf8(out).unwrap()), bare(error), Some(code))
}
