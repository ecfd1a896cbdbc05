//! Flags in place of the scenario file's keys, for whoever uses no file.

use std::borrow::Cow;

/// Names flags where a text names keys of a scenario file; as it is if there is a file.
pub(super) fn named(text: &str, has_file: bool) -> Cow<'_, str> {
    if has_file {
        return Cow::Borrowed(text);
    }
    let mut named = Cow::Borrowed(text);
    for (key, flag) in FLAGS {
        // Only whole keys between backticks are replaced, so that a word such as `pin` in prose
        // stays.
        let key = format!("`{key}`");
        if named.contains(&key) {
            named = Cow::Owned(named.replace(&key, &format!("`{flag}`")));
        }
    }
    named
}

/// Each key that a cure names, with the flag that says the same.
const FLAGS: [(&str, &str); 22] = [
    ("load.connections", "--connections"),
    ("load.pool", "--pool"),
    ("load.rate", "--rate"),
    ("load.requests_per_connection", "--requests-per-connection"),
    ("pin", "--pin"),
    ("request.expect_bytes", "--expect-bytes"),
    ("request.expect_status", "--expect-status"),
    ("request.method", "--method"),
    ("request.protocol", "--protocol"),
    ("sources", "--sources"),
    ("threads", "--threads"),
    ("timeout.operation", "--timeout"),
    ("timing.round", "--round"),
    ("timing.rounds", "--rounds"),
    ("timing.warm_up", "--warm-up"),
    ("tls.ca_bundle", "--ca-bundle"),
    ("tls.client_certificate", "--client-certificate"),
    ("tls.client_key", "--client-key"),
    ("tls.early_data", "--early-data"),
    ("tls.groups", "--groups"),
    ("tls.resume", "--resume"),
    ("tls.suites", "--suites"),
];

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use tlsbench_core::tally::Failure;
    use tlsbench_core::warning::cure;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn keys_become_flags_where_there_is_no_file() {
        let text = "lower `load.rate`, or raise `load.pool` (`cpu.max`)";
        assert_eq!(named(text, false), "lower `--rate`, or raise `--pool` (`cpu.max`)");
        assert_eq!(named(text, true), text);
    }

    #[test]
    fn each_flag_is_one_of_run_and_no_cure_names_a_key_beside_them() {
        let command = Cli::command();
        let run = command.find_subcommand("run").unwrap();
        for (key, flag) in FLAGS {
            let is_it = |arg: &clap::Arg| arg.get_long().map(|long| format!("--{long}"));
            assert!(run.get_arguments().any(|arg| is_it(arg).as_deref() == Some(flag)), "{key}");
        }
        for failure in Failure::ALL {
            let cure = cure(*failure);
            let text = named(cure, false);
            for table in ["`tls.", "`load.", "`request.", "`timing.", "`timeout.", "`target."] {
                assert!(!text.contains(table), "{text}");
            }
        }
    }
}
