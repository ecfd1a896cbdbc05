//! The program that libFuzzer drives: `FUZZ_TARGET` names the target, arguments are libFuzzer's.

#![no_main]

use std::sync::LazyLock;

use fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    fuzz::target(&name).unwrap_or_else(|| {
        let known: Vec<_> = fuzz::TARGETS.iter().map(|target| target.name).collect();
        eprintln!("`FUZZ_TARGET` is `{name}`; set it to one of {}", known.join(", "));
        std::process::exit(2);
    })
});

// With `FUZZ_LIST` set it prints the target's inputs, as libFuzzer's `-seed_inputs` reads them, and
// ends.
fuzz_target!(
    init: {
        if std::env::var_os("FUZZ_LIST").is_some() {
            let inputs: Vec<_> =
                TARGET.inputs().iter().map(|path| path.display().to_string()).collect();
            println!("{}", inputs.join(","));
            std::process::exit(0);
        }
    },
    |input: &[u8]| (TARGET.check)(input)
);
