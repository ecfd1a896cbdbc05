//! What `trustd run` does, on a real control plane.
//!
//! Most tests are a [`scene::Scene`]: they share one cluster and one trustd, each with names of its
//! own, so they run side by side. Those that start trustd with other flags take turns on a second
//! cluster ([`alone`]).
//!
//! What trust-manager does in each situation, and which test says what trustd does:
//!
//! | situation | test |
//! |---|---|
//! | Bundle deleted | `ownership::deleting_a_bundle_leaves_the_targets_to_the_garbage_collector`, `deleting_a_bundle_without_its_dependents_keeps_all_of_them` |
//! | namespace created, labelled in | `sources::namespaces_are_labelled_in_and_out_made_and_deleted` |
//! | namespace labelled out, selector narrowed | the same |
//! | target kind removed, target left out | `sources::a_renamed_key_and_another_kind_leave_nothing_behind` |
//! | clean-up fails: trustd counts, tells and repeats it | `reactions::a_clean_up_that_fails_is_told_and_tried_again` |
//! | namespace taken out of `--target-namespaces` | `flags::target_namespaces_are_all_that_trustd_asks_for` |
//! | Secret targets switched off later | `flags::secrets_are_written_only_where_they_are_switched_on` |
//! | source edited, deleted, invalid | `sources::a_source_is_followed_as_it_changes_goes_and_comes_back`, `a_source_made_invalid_freezes_its_targets_until_it_is_mended` |
//! | target edited by another manager; label, hash, owner reference edited | `targets::what_others_change_is_mended_with_one_write` |
//! | target deleted | `targets::a_deleted_target_is_made_anew` |
//! | template label or annotation edited: trustd mends it | `targets::what_others_change_is_mended_with_one_write` |
//! | edit under the field manager `trust-manager` | `targets::an_edit_under_our_own_name_that_keeps_keys_and_marks_is_not_noticed`, and the two tests after it |
//! | target key renamed | `sources::a_renamed_key_and_another_kind_leave_nothing_behind` |
//! | keys of other managers | `targets::what_others_add_stays` |
//! | foreign object of the same name: trustd shares it and never seizes it | `ownership::an_object_of_somebody_else_is_shared_and_released`, `a_key_that_somebody_else_holds_is_refused_until_its_owner_allows_it` |
//! | the same with a controlling owner, where trust-manager fails | `ownership::an_object_with_another_controlling_owner_keeps_it` |
//! | the same, immutable | `reactions::one_namespace_that_cannot_be_written_holds_up_no_other` |
//! | clean-up of a shared object: trustd lets go of label and owner reference | `ownership::an_object_of_somebody_else_is_shared_and_released`, `adopted` |
//! | target undone again and again, where trust-manager writes as often | `fights` |
//! | target replaced whole | `ownership::a_target_that_is_replaced_whole_is_taken_back`, `restart::a_target_that_was_replaced_meanwhile_is_taken_back_where_anything_still_tells` |
//! | roots that change while nobody runs | `restart::what_happened_meanwhile_is_made_good` |
//! | namespace terminating | `reactions::nothing_is_written_into_a_namespace_that_is_going` |
//! | content too large: trustd does not try | `reactions::what_is_too_large_is_not_even_tried` |
//! | one namespace refuses: trustd serves all others | `reactions::one_namespace_that_cannot_be_written_holds_up_no_other` |
//!
//! And its defects:
//!
//! | defect | test |
//! |---|---|
//! | the first error ends the pass | `reactions::one_namespace_that_cannot_be_written_holds_up_no_other` |
//! | owner reference of shared objects never released | `ownership::an_object_of_somebody_else_is_shared_and_released`, `adopted` |
//! | a Bundle feeds on its own target | `reactions::a_bundle_does_not_feed_on_its_own_target`, `bundles_that_read_one_another_are_refused_by_name` |
//! | template metadata drifts | `targets::what_others_change_is_mended_with_one_write` |
//! | `%` garbles events | `reactions::a_percent_sign_in_an_event_stays_one` |
//! | no clean-up while a source is broken | `sources::a_source_made_invalid_freezes_its_targets_until_it_is_mended` |
//! | failed clean-up never repeated | `reactions::a_clean_up_that_fails_is_told_and_tried_again` |
//! | Secrets switched off block the ConfigMap half | `flags::secrets_are_written_only_where_they_are_switched_on` |
//! | the expiry filter has no clock | `flags::a_certificate_that_expires_is_left_out_though_nothing_else_happens` |
//! | truncated PEM vanishes | `reactions::nothing_vanishes_silently` |
//! | target keys unchecked at admission | the table of the test binary `cluster` |
//! | inline content unchecked at admission: so it is here, and the status tells | `reactions::inline_text_that_must_not_be_distributed_is_told` |
//! | the chart's subjects and permissions | there is no chart yet; `deploy` in the test binary `cluster` asks for each permission |
//! | a store without a password crashes | there are no stores yet: `sources::formats_that_cannot_be_written_stop_the_bundle_by_name_until_they_go` |

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop; clippy exempts test functions, not their helpers"
)]

mod adopted;
mod alone;
mod example;
mod fights;
mod fixtures;
mod flags;
mod ownership;
mod quiet;
mod reactions;
mod restart;
mod scene;
mod secrecy;
mod sources;
mod targets;
mod untouched;
mod world;
