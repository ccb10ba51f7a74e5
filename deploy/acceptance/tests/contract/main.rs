//! What `contract.md` promises to callers, held against both modes: the same tests run against `rastro` in one process, always, and
//! against the pair, two of each service on real servers, when there are some.

mod access;
mod batch;
mod carriers;
mod conditional;
mod create_admin;
mod dead_letters;
mod description;
mod events;
mod field;
mod idempotency;
mod journey;
mod keys;
mod lists;
mod log;
mod malformed;
mod order;
mod parking;
mod probes;
mod problems;
mod settings;
mod shipment_events;
mod streams;
mod tracking_position;
mod users;
mod watched;

use acceptance::platform::Platform;
use acceptance::servers::Servers;
use acceptance::stage::Stage;

/// Makes each promise one test for each mode, and counts them, so that the last one can clear away.
macro_rules! promises {
    (both { $($area:ident { $($promise:ident),+ $(,)? })+ } pair { $($pair_area:ident { $($pair_promise:ident),+ $(,)? })+ }) => {
        const IN_BOTH: usize = [$($(stringify!($promise)),+),+].len();
        const IN_PAIR: usize = IN_BOTH + [$($(stringify!($pair_promise)),+),+].len();
        static EMBEDDED: Stage<Platform> = Stage::of(IN_BOTH);
        static PAIR: Stage<Platform> = Stage::of(IN_PAIR);

        mod embedded {
            $(mod $area { $(
                #[test]
                fn $promise() {
                    crate::in_one_process(stringify!($promise), crate::$area::$promise);
                }
            )+ })+
        }

        mod pair {
            $(mod $area { $(
                #[test]
                fn $promise() {
                    crate::on_real_servers(concat!("pair::", stringify!($promise)), crate::$area::$promise);
                }
            )+ })+
            $(mod $pair_area { $(
                #[test]
                fn $pair_promise() {
                    crate::on_real_servers(concat!("pair::", stringify!($pair_promise)), crate::$pair_area::$pair_promise);
                }
            )+ })+
        }
    };
}

fn in_one_process(name: &str, promise: impl AsyncFnOnce(&Platform)) {
    EMBEDDED.play(name, Platform::embedded, promise);
}

fn on_real_servers(name: &str, promise: impl AsyncFnOnce(&Platform)) {
    let Some(servers) = Servers::given(name) else { return };
    PAIR.play(name, async || Platform::pair(&servers, 2, 2).await, promise);
}

promises! {
    both {
        journey {
            a_parcel_goes_from_its_label_to_delivered_and_its_history_tells_how,
            a_registration_is_found_when_it_is_answered_and_keeps_all_that_was_said,
            a_tracking_number_may_be_written_in_lower_case,
            a_scan_without_a_status_is_recorded_and_moves_nothing,
            an_event_that_comes_late_is_applied_when_the_whitelist_allows_it,
            a_parcel_may_be_cancelled_until_it_is_in_transit,
        }
        events {
            an_accepted_event_has_an_id_and_a_place_where_its_outcome_is_found,
            the_same_report_again_is_a_duplicate_and_stands_there_once,
            another_report_in_the_same_second_is_a_conflict_that_can_be_found,
            a_source_that_gives_its_own_ids_may_report_twice_in_a_second,
            a_step_that_the_whitelist_forbids_is_rejected_and_keeps_its_key,
            an_event_about_no_shipment_is_rejected,
            an_event_about_another_client_s_shipment_is_rejected,
            an_event_id_that_was_never_given_out_is_not_found,
            an_outcome_is_shown_to_admins_and_to_the_clients_that_it_concerns,
            whoever_does_not_wait_is_answered_at_once,
        }
        field {
            scans_in_any_order_of_arrival_show_the_same_shipment,
            a_late_scan_is_put_into_its_place_and_what_it_changes_is_shown,
            a_shipment_keeps_the_policy_that_it_was_registered_with,
            a_shipment_with_a_long_history_shows_the_newest_scans_and_what_raised_its_rank,
        }
        batch {
            a_batch_is_one_in_all_three_forms,
            a_batch_is_applied_in_its_order,
            bad_items_are_reported_and_the_others_are_queued,
            a_batch_without_a_valid_item_is_refused,
            a_batch_is_bounded_in_items_and_in_bytes,
        }
        carriers {
            a_carrier_s_own_words_become_a_history_and_what_is_unknown_is_listed,
            a_bad_scan_and_an_unknown_carrier_are_refused_by_name,
            operators_see_the_carriers_and_nobody_else_does,
        }
        idempotency {
            a_registration_that_is_sent_again_is_made_once_whoever_answers,
            of_many_who_send_at_once_one_registers,
            a_batch_that_is_sent_again_gets_its_first_answer,
            a_key_belongs_to_one_request_of_one_caller_on_one_route,
            a_bad_key_is_refused_and_a_refused_request_takes_none,
        }
        lists {
            each_filter_leaves_what_it_names,
            pages_by_offset_show_everything_once,
            a_cursor_leads_through_everything_once_while_more_arrives,
            combined_filters_lead_from_link_to_link_while_shipments_change,
            a_limit_is_held_to_its_bounds,
            bad_parameters_are_named_all_at_once,
        }
        shipment_events {
            every_event_of_a_shipment_is_shown_with_its_outcome_in_log_order,
            the_events_of_a_shipment_come_in_pages_that_link_to_the_next,
            an_owner_learns_nothing_of_what_another_client_reported,
        }
        conditional {
            a_shipment_that_has_not_changed_is_answered_without_a_body,
        }
        tracking_position {
            a_read_that_brings_a_position_along_shows_what_was_written,
            a_batch_says_how_far_it_goes_on_each_partition,
            a_position_that_is_not_there_yet_is_waited_for_and_then_what_is_there_is_shown,
        }
        access {
            without_a_valid_token_nothing_is_told,
            a_client_never_sees_or_changes_another_client_s_shipments,
            a_source_may_post_events_and_nothing_else,
            a_client_registers_shipments_of_its_own_only,
        }
        users {
            an_admin_adds_users_who_can_log_in_and_whose_hashes_never_leave,
            only_an_admin_manages_users,
            a_failed_log_in_does_not_tell_what_was_wrong,
            a_bad_user_is_refused_with_every_field_named,
            an_admin_looks_at_a_user_changes_it_and_removes_it,
            a_user_who_is_kept_out_is_out_on_every_instance,
            one_admin_remains,
            guessing_at_an_account_has_to_wait_and_nobody_else_does,
        }
        keys {
            a_scanner_reports_with_a_key_and_its_events_name_it,
            a_client_s_own_system_sees_what_the_client_sees,
            a_removed_key_stops_on_every_instance,
            what_is_no_key_is_refused_and_only_an_admin_makes_one,
        }
        problems {
            every_bad_request_gets_its_status_in_the_one_shape,
            every_bad_field_of_an_event_is_named_at_once,
            every_bad_field_of_a_shipment_is_named_at_once,
            a_method_that_a_path_lacks_is_answered_with_those_it_has,
            a_body_that_is_too_large_is_refused,
            a_refusal_is_read_by_whoever_is_still_sending,
            every_path_is_served_under_v1_too,
            a_request_keeps_the_trace_that_it_came_with,
        }
        malformed {
            what_is_no_request_is_refused_in_the_one_shape_too,
            a_member_that_stands_there_twice_is_refused_by_its_name,
            what_is_beyond_all_bounds_is_told_by_its_name,
            a_caller_who_takes_no_json_is_told_so_before_anything_is_done,
            a_path_says_what_it_has_and_head_answers_like_get,
        }
        description {
            the_api_describes_itself_to_anybody_and_everywhere_alike,
        }
        probes {
            a_platform_that_is_well_says_so,
            what_happens_is_counted_under_the_contract_s_names,
        }
        streams {
            a_stream_tells_each_step_of_a_parcel,
            a_caller_who_is_cut_off_again_and_again_misses_nothing,
            a_client_hears_of_its_own_shipments_and_no_others,
            a_place_that_is_none_is_refused_or_told,
        }
        dead_letters {
            an_operator_finds_a_dead_letter_and_sees_what_stood_around_it,
            a_redriven_letter_stands_in_the_log_again_and_its_outcome_stays_one,
            dead_letters_are_for_admins_and_a_bad_redrive_is_refused,
        }
        order {
            whatever_is_sent_at_once_the_history_is_the_fold_of_the_log,
            every_step_of_the_table_is_judged_as_the_table_says,
        }
    }
    pair {
        log {
            what_was_accepted_stands_in_the_topic_as_a_cloud_event,
            every_applied_change_is_published_in_order,
            a_record_of_any_kafka_client_is_processed_like_a_request,
            an_owner_sees_what_was_reported_before_its_shipment_was_there,
            a_poison_record_becomes_a_dead_letter_byte_for_byte_and_the_lane_goes_on,
        }
        watched {
            every_name_of_the_contract_is_shown_by_each_program,
        }
    }
}
