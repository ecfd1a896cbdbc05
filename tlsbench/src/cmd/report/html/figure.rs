//! Parts that every picture of the page has: words for those who do not see it, and a legend.

use maud::{Markup, html};
use tlsbench_core::placement::Role;

use super::scale::px;

/// A picture as wide as a phone, with what it shows in words.
pub(super) struct Picture {
    /// Unique in the page.
    pub(super) id: String,
    /// The title above the picture.
    pub(super) title: String,
    /// A line below that.
    pub(super) under: String,
    /// The description for those who do not see it.
    pub(super) says: String,
    /// The height, in units of which a phone is [`WIDTH`] wide.
    pub(super) height: f64,
    /// SVG.
    pub(super) drawn: Markup,
}

impl Picture {
    pub(super) fn figure(&self) -> Markup {
        let Self { id, title, under, says, height, drawn } = self;
        html! {
            figure {
                figcaption {
                    (title)
                    @if !under.is_empty() { span class="under" { (under) } }
                }
                svg role="img" viewBox=(format!("0 0 {WIDTH} {}", px(*height)))
                    aria-labelledby=(format!("{id}-title {id}-says")) {
                    title id=(format!("{id}-title")) { (title) }
                    desc id=(format!("{id}-says")) { (says) }
                    (drawn)
                }
            }
        }
    }
}

/// The ways in which hops are filled: colours that are told apart by everyone, and patterns for
/// print.
pub(super) fn patterns() -> Markup {
    html! {
        svg class="defs" aria-hidden="true" {
            defs {
                pattern id="fill-lb" width="8" height="8" patternUnits="userSpaceOnUse" {
                    rect class="fill-lb" width="8" height="8" {}
                }
                pattern id="fill-ingress" width="6" height="6" patternUnits="userSpaceOnUse"
                    patternTransform="rotate(45)" {
                    rect class="fill-ingress" width="6" height="6" {}
                    rect class="hatch" width="2" height="6" {}
                }
                pattern id="fill-sidecar" width="6" height="6" patternUnits="userSpaceOnUse" {
                    rect class="fill-sidecar" width="6" height="6" {}
                    circle class="hatch" cx="3" cy="3" r="1.5" {}
                }
                pattern id="fill-backend" width="6" height="5" patternUnits="userSpaceOnUse" {
                    rect class="fill-backend" width="6" height="5" {}
                    rect class="hatch" width="6" height="1.6" {}
                }
            }
        }
    }
}

/// Explains the fills.
pub(super) fn hops_legend(roles: &[Role]) -> Markup {
    html! {
        ul class="legend" {
            @for role in roles {
                li {
                    svg viewBox="0 0 34 17" aria-hidden="true" {
                        rect width="34" height="17" fill=(fill(*role)) {}
                    }
                    (role)
                }
            }
            li {
                svg viewBox="0 0 34 17" aria-hidden="true" {
                    path class="whisker" d="M4 8.5H30M4 4V13M30 4V13" {}
                }
                "95 % interval of all hops; thin lines below a bar: of each hop"
            }
        }
    }
}

pub(super) fn fill(role: Role) -> String {
    format!("url(#fill-{role})")
}

/// A name that may be too long for its place; the whole is in the table.
pub(super) fn short(name: &str, letters_max: usize) -> String {
    if name.chars().count() <= letters_max {
        return name.to_owned();
    }
    let kept: String = name.chars().take(letters_max.saturating_sub(1)).collect();
    kept + "…"
}

/// Returns the side of its place on which the word of an axis stands, so that none sticks out.
pub(super) fn anchor(place: f64) -> &'static str {
    match place {
        ..WORD => "start",
        _ if place > WIDTH - WORD => "end",
        _ => "middle",
    }
}

/// Half of the longest word of an axis.
const WORD: f64 = 18.0;
/// Units across: near the pixels of a phone, so that text is as large as it says.
pub(super) const WIDTH: f64 = 360.0;
