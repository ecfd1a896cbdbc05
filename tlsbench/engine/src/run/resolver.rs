//! Names resolved again and again while a run goes on.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::{self, Thread};
use std::time::Duration;

use tlsbench_core::plan::{Scenario, Target};

use super::{Inputs, resolve};
use crate::drive::AddressBook;
use crate::shard::Stop;

/// Keeps the addresses of targets up to date until it is dropped.
#[derive(Debug)]
pub(super) struct Resolver {
    books: Vec<Arc<AddressBook>>,
    done: Arc<Stop>,
    threads: Vec<Thread>,
}

impl Resolver {
    /// Begins with addresses that are known, and goes on with the targets that have names.
    pub(super) fn start(scenario: &Scenario, inputs: &Inputs) -> io::Result<Self> {
        let books = inputs.addresses.iter().cloned().map(AddressBook::new).map(Arc::new).collect();
        let mut resolver = Self { books, done: Arc::default(), threads: Vec::new() };
        for (target, book) in scenario.targets.iter().zip(&resolver.books) {
            if is_named(target) {
                let (target, book) = (target.clone(), Arc::clone(book));
                let done = Arc::clone(&resolver.done);
                // Nobody waits for it at the end: a name server may take its time.
                let thread = thread::Builder::new()
                    .name("resolver".to_owned())
                    .spawn(move || keep(&target, &book, &done))?;
                resolver.threads.push(thread.thread().clone());
            }
        }
        Ok(resolver)
    }

    /// The addresses of a target.
    pub(super) fn book(&self, target: usize) -> Option<&Arc<AddressBook>> {
        self.books.get(target)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.done.ask();
        for thread in &self.threads {
            thread.unpark();
        }
    }
}

fn keep(target: &Target, book: &AddressBook, done: &Stop) {
    loop {
        thread::park_timeout(EVERY);
        if done.is_asked() {
            return;
        }
        // A name server that fails for a while is no reason to forget what it said.
        if let Ok(addresses) = resolve(target) {
            book.replace(addresses);
        }
    }
}

/// Whether what the target resolves to can change.
fn is_named(target: &Target) -> bool {
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    target.connect_to.is_empty() && host.parse::<IpAddr>().is_err()
}

/// The usual lifetime of a load balancer's addresses.
const EVERY: Duration = Duration::from_secs(60);
