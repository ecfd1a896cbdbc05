//! Prints [`tidy::figures`] as a table: `cargo run -p tidy --bin figures [ROOT]`.

use std::path::PathBuf;
use std::process::ExitCode;

use tidy::figures::{HEADING, figures};
use tidy::order::PRODUCTS;
use tidy::tree::Tree;

fn main() -> ExitCode {
    let root = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    match Tree::read(&root) {
        Ok(tree) => {
            println!("{HEADING}");
            figures(&tree, &PRODUCTS).iter().for_each(|row| println!("{row}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
