//! Names resolved again and again while a run goes on.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Thread};
use std::time::Duration;

use tlsbench_core::scenario::{IpVersion, Scenario, Target};
use tlsbench_core::units::Nanos;

use super::inputs::{Inputs, is_left_out, resolve};
use super::reach;
use crate::load::AddressBook;
use crate::shard::Stop;

/// Keeps the addresses of targets up to date until it is dropped.
#[derive(Debug)]
pub(super) struct Resolver {
    books: Vec<Arc<AddressBook>>,
    done: Arc<Stop>,
    threads: Vec<Thread>,
    notes: Receiver<String>,
}

impl Resolver {
    /// Begins with addresses that are known, and goes on with the targets that have names.
    pub(super) fn start(scenario: &Scenario, inputs: &Inputs) -> io::Result<Self> {
        let books = inputs.addresses.iter().cloned().map(AddressBook::new).map(Arc::new).collect();
        let (to, notes) = channel();
        let mut resolver = Self { books, done: Arc::default(), threads: Vec::new(), notes };
        for (index, (target, book)) in scenario.targets.iter().zip(&resolver.books).enumerate() {
            if is_named(target) {
                let left_out = inputs.left_out.get(index).into_iter().flatten();
                let mut name = ResolvedName {
                    target: target.clone(),
                    version: scenario.effective_ip_version(),
                    sources: scenario.sources.clone(),
                    left_out: left_out.map(|left_out| left_out.address).collect(),
                    book: Arc::clone(book),
                    notes: to.clone(),
                };
                let done = Arc::clone(&resolver.done);
                // Nobody waits for it at the end: a name server may take its time.
                let thread = thread::Builder::new()
                    .name("resolver".to_owned())
                    .spawn(move || name.keep(&done))?;
                resolver.threads.push(thread.thread().clone());
            }
        }
        Ok(resolver)
    }

    /// The addresses of a target.
    pub(super) fn book(&self, target: usize) -> Option<&Arc<AddressBook>> {
        self.books.get(target)
    }

    /// Returns notes on addresses since the last call.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        self.notes.try_iter()
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

/// A target with a name, and what is known of its addresses.
struct ResolvedName {
    target: Target,
    version: Option<IpVersion>,
    sources: Vec<IpAddr>,
    /// Addresses that the name had last time and that did not answer.
    left_out: BTreeSet<SocketAddr>,
    book: Arc<AddressBook>,
    notes: Sender<String>,
}

impl ResolvedName {
    fn keep(&mut self, done: &Stop) {
        loop {
            // Resolving blocks, and getaddrinfo has no asynchronous form, so it has a thread of its
            // own.
            thread::park_timeout(EVERY);
            if done.is_asked() {
                return;
            }
            // A name server that fails for a while is no reason to forget what it said.
            if let Ok(found) = resolve(&self.target, self.version) {
                self.take(found, reach::LIMIT);
            }
        }
    }

    /// Takes what the name resolves to now. Addresses that are in use are not tried: what becomes
    /// of operations there is measured.
    fn take(&mut self, mut found: Vec<SocketAddr>, limit: Nanos) {
        let known = self.book.all();
        let new = found.iter().filter(|address| !known.contains(address)).copied().collect();
        let unreachable = reach::unreachable(&new, &self.sources, limit);
        let left_out = reach::leave_out(&mut found, &unreachable);
        let name = &self.target.name;
        // Who started this may have gone, and has no use for notes then.
        let note = |text| drop(self.notes.send(text));
        for one in left_out.iter().filter(|one| !self.left_out.contains(&one.address)) {
            note(is_left_out(name, one));
        }
        for address in found.iter().filter(|address| self.left_out.contains(address)) {
            note(format!("{name}: {address} is used from now on"));
        }
        self.left_out = left_out.into_iter().map(|one| one.address).collect();
        self.book.replace(found);
    }
}

/// Returns whether what the target resolves to can change.
fn is_named(target: &Target) -> bool {
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    target.connect_to.is_empty() && host.parse::<IpAddr>().is_err()
}

/// The usual lifetime of a load balancer's addresses.
const EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use tlsbench_core::scenario::Draft;

    use super::super::reach::tests::one_of_two;
    use super::*;

    #[test]
    fn new_addresses_are_tried_and_come_back_once_they_answer() {
        let (_listener, up, down) = one_of_two();
        let other = SocketAddr::from(([127, 0, 0, 3], up.port()));
        let scenario = Draft::from_toml("[[target]]\nname = 'a'\nurl = 'http://a.test/'").unwrap();
        let (to, notes) = channel();
        let book = Arc::new(AddressBook::new(vec![up]));
        let mut name = ResolvedName {
            target: scenario.finish().unwrap().targets.remove(0),
            version: None,
            sources: Vec::new(),
            left_out: BTreeSet::new(),
            book: Arc::clone(&book),
            notes: to,
        };
        let mut take = |found: &[SocketAddr]| {
            name.take(found.to_vec(), reach::LIMIT);
            (book.all(), notes.try_iter().collect::<Vec<_>>())
        };
        let told = vec![format!("a: {down} does not answer (connect_refused) and is left out")];
        assert_eq!(take(&[up, down]), (vec![up], told));
        // It is said once.
        assert_eq!(take(&[up, down]), (vec![up], vec![]));
        let listener = std::net::TcpListener::bind(down).unwrap();
        let told = vec![format!("a: {down} is used from now on")];
        assert_eq!(take(&[up, down]), (vec![up, down], told));
        // What is in use is not tried again, and where nothing answers all is kept.
        drop(listener);
        assert_eq!(take(&[up, down]), (vec![up, down], vec![]));
        assert_eq!(take(&[other]), (vec![other], vec![]));
    }
}
