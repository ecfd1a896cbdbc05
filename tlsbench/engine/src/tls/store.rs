//! Sessions of one target, handed out only when the next handshake is to resume.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// The sessions of one target. rustls asks while a connection is made and at no other time, so
/// what that connection wants is said just before. One shard uses it: the lock is never waited for.
pub(super) struct SessionStore(Mutex<StoreState>);

#[derive(Default)]
struct StoreState {
    handing_out: bool,
    handed_out: bool,
    hint: Option<NamedGroup>,
    session: Option<Tls12ClientSessionValue>,
    tickets: VecDeque<Tls13ClientSessionValue>,
}

impl SessionStore {
    pub(super) fn new() -> Self {
        Self(Mutex::new(StoreState {
            tickets: VecDeque::with_capacity(TICKETS_MAX),
            ..StoreState::default()
        }))
    }

    /// Says whether the connection that is made next is to resume.
    pub(super) fn ask(&self, resume: bool) {
        let mut state = self.state();
        state.handing_out = resume;
        state.handed_out = false;
    }

    /// Returns whether a session was handed out since it was asked.
    pub(super) fn answer(&self) -> bool {
        self.state().handed_out
    }

    pub(super) fn hint(&self) -> Option<NamedGroup> {
        self.state().hint
    }

    pub(super) fn set_hint(&self, hint: Option<NamedGroup>) {
        self.state().hint = hint;
    }

    pub(super) fn len(&self) -> usize {
        let state = self.state();
        state.tickets.len() + usize::from(state.session.is_some())
    }

    pub(super) fn clear(&self) {
        let mut state = self.state();
        state.session = None;
        state.tickets.clear();
    }

    fn state(&self) -> MutexGuard<'_, StoreState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for SessionStore {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.set_hint(Some(group));
    }

    /// Returns the server's group to a connection that resumes, from the session; no other knows
    /// it. A full handshake is that of a client which has not been here before: a server that wants
    /// another group than our first retries each of them, and that round trip is part of what is
    /// measured. rustls asks for the session first.
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        let state = self.state();
        state.hint.filter(|_| state.handed_out)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.state().session = Some(session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let mut state = self.state();
        if !state.handing_out {
            return None;
        }
        let session = state.session.clone();
        state.handed_out |= session.is_some();
        session
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.state().session = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut state = self.state();
        if state.tickets.len() >= TICKETS_MAX {
            state.tickets.pop_front();
        }
        state.tickets.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut state = self.state();
        if !state.handing_out {
            return None;
        }
        let ticket = state.tickets.pop_back();
        state.handed_out |= ticket.is_some();
        ticket
    }
}

impl fmt::Debug for SessionStore {
    /// Formats the store without the sessions, which are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStore").field("sessions", &self.len()).finish_non_exhaustive()
    }
}

/// Tickets kept, newest first out: enough for 512 connections of one shard that begin together,
/// at about 1 KB each, 0.5 MB in all.
const TICKETS_MAX: usize = 512;
