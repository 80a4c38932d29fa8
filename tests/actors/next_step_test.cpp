// The decision of the hand-over, rule by rule: docs/choreography.md gives the numbers.
#include "actors/migration/next_step.h"

#include <gtest/gtest.h>

namespace supercloud {
namespace {

using State = GuestStatus::State;
using Memory = GuestStatus::Memory;

const EventId migration{"policy", 1, 7};

// A VM that runs on "here" at epoch 4, with a valid session, wanted running.
class NextStep : public testing::Test {
 protected:
  NextStep() {
    view_.node = "here";
    view_.now = {1'000'000'000'000};
    view_.session = "s1";
    view_.session_deadline = view_.now + absl::Seconds(10);
    view_.record_read = true;
    view_.record = LeaseRecord{.key = "vm/main/web1",
                               .holder = "here",
                               .session = "s1",
                               .swap_id = "x",
                               .epoch = 4,
                               .in_sync = {"here", "there"},
                               .session_alive = true};
    view_.copy = GuestStatus{.vm = "main/web1", .state = State::running, .epoch = 4};
    view_.volume = VolumeStatus{.vm = "main/web1", .role = VolumeStatus::Role::serving, .epoch = 4};
  }

  void held_elsewhere() {
    view_.record->holder = "there";
    view_.record->session = "t1";
    view_.copy.reset();
  }
  // The migration of web1 to "there", accepted and ready to be paused.
  Outgoing ready() const {
    Outgoing out;
    out.migration = migration;
    out.target = "there";
    out.epoch = 4;
    out.deadline = view_.now + absl::Seconds(30);
    out.accepted_logged = out.target_ready = out.replica_ready = out.sending = out.converged = true;
    out.checked_at = view_.now;
    return out;
  }
  // "here" is the target of a migration from "there", verified and complete.
  void incoming() {
    held_elsewhere();
    view_.record->heir = Heir{"here", migration};
    view_.in = Incoming{.migration = migration,
                        .source = "there",
                        .epoch = 4,
                        .deadline = view_.now + absl::Seconds(30),
                        .prepared = true,
                        .seal = Seal{4, 9, 9},
                        .verified = true};
    view_.copy =
        GuestStatus{.vm = "main/web1", .state = State::arrived, .epoch = 4, .migration = migration};
  }
  Step step() const { return next_step(view_).step; }

  View view_;
};

TEST_F(NextStep, waits_while_the_lease_record_is_not_known) {
  view_.record_read = false;
  view_.copy.reset();
  EXPECT_EQ(step(), Step::none);
}

TEST_F(NextStep, leaves_a_running_guest_alone) { EXPECT_EQ(step(), Step::none); }

TEST_F(NextStep, never_executes_again_without_a_new_epoch) {  // rule 2
  view_.copy->state = State::frozen;
  EXPECT_EQ(step(), Step::swap_reclaim);
  view_.copy->state = State::stopped;
  EXPECT_EQ(step(), Step::swap_reclaim);
  view_.copy.reset();
  EXPECT_EQ(step(), Step::swap_restart);
}

TEST_F(NextStep, resumes_only_at_an_epoch_won_under_the_session_that_it_has) {  // rule 3
  view_.copy->state = State::stopped;
  view_.record->epoch = 5;
  view_.record->swap_kind = SwapKind::RECLAIM;
  view_.asked_by_copy = {4};
  view_.won = {5, "s1"};
  EXPECT_EQ(step(), Step::resume);
  view_.session = "s2";
  EXPECT_EQ(step(), Step::swap_reclaim) << "the swap's session has ended";
  view_.session.reset();
  EXPECT_EQ(step(), Step::none) << "no session at all";
}

TEST_F(NextStep, boots_only_at_an_epoch_it_won_and_from_a_disk_that_is_whole) {
  view_.copy.reset();
  view_.won = {4, "s1"};
  EXPECT_EQ(step(), Step::boot);
  view_.volume->complete = false;
  EXPECT_EQ(step(), Step::report_failed);
  view_.volume.reset();
  EXPECT_EQ(step(), Step::report_failed);
}

TEST_F(NextStep,
       boots_at_no_epoch_that_a_copy_won) {  // what its memory held would be lost in silence
  view_.copy.reset();
  view_.won = {4, "s1"};
  view_.record->swap_kind = SwapKind::COMMIT;
  EXPECT_EQ(step(), Step::swap_restart);
  view_.in = Incoming{.migration = migration, .source = "there", .epoch = 3, .from_disk = true};
  EXPECT_EQ(step(), Step::boot) << "a drain leaves memory behind, and says so";
}

TEST_F(NextStep, destroys_its_copy_only_on_learning_that_it_lost) {  // rule 7
  view_.copy->state = State::stopped;
  view_.record->holder = "there";
  EXPECT_EQ(step(), Step::none) << "the record is as old as the copy";
  view_.record->epoch = 5;
  EXPECT_EQ(step(), Step::destroy_copy);
  view_.record.reset();
  EXPECT_EQ(step(), Step::destroy_copy) << "no lease at all";
  view_.session.reset();
  EXPECT_EQ(step(), Step::none) << "by a table that gives no session";
}

TEST_F(NextStep, a_stopped_copy_whose_disk_is_gone_is_of_no_use) {
  view_.copy->state = State::stopped;
  view_.volume.reset();
  EXPECT_EQ(step(), Step::destroy_copy);
}

// ---- the source ------------------------------------------------------------------------------------------------------

TEST_F(NextStep, walks_from_the_proposal_to_the_pause) {
  Outgoing out = ready();
  out.epoch = 0;
  view_.out = out;
  EXPECT_EQ(step(), Step::accept);
  view_.out->epoch = 4;
  view_.record->heir = Heir{"there", migration};
  view_.out->target_ready = false;
  EXPECT_EQ(step(), Step::ask_target);
  view_.out->target_ready = true;
  view_.out->sending = false;
  EXPECT_EQ(step(), Step::send);
  view_.out->sending = true;
  view_.out->converged = false;
  EXPECT_EQ(step(), Step::none);
  view_.out->converged = true;
  EXPECT_EQ(step(), Step::pause);
}

TEST_F(NextStep, pauses_only_after_a_fresh_lease_round_trip_and_with_time_left) {  // rule 15
  view_.record->heir = Heir{"there", migration};
  view_.out = ready();
  view_.out->checked_at = view_.now - absl::Milliseconds(1001);
  EXPECT_EQ(step(), Step::check);
  view_.out->checked_at = view_.now;
  view_.session_deadline = view_.now + view_.blackout_reserve;
  EXPECT_EQ(step(), Step::none);
}

// rules 1 and 9
TEST_F(NextStep, seals_before_the_hand_over_and_wants_its_machine_back_at_the_deadline_by_a_swap) {
  view_.record->heir = Heir{"there", migration};
  view_.copy->state = State::stopped;
  view_.out = ready();
  view_.out->paused = true;
  view_.out->pause_deadline = view_.now + absl::Seconds(3);
  EXPECT_EQ(step(), Step::seal);
  view_.out->seal = Seal{4, 9, 9};
  EXPECT_EQ(step(), Step::hand_over);
  view_.out->handed_over = true;
  EXPECT_EQ(step(), Step::none);
  view_.now = view_.out->pause_deadline;
  EXPECT_EQ(step(), Step::swap_reclaim);
  view_.record->heir.reset();
  view_.now = view_.out->pause_deadline - absl::Seconds(1);
  EXPECT_EQ(step(), Step::swap_reclaim) << "the target gave up";
}

TEST_F(NextStep, hands_nothing_over_before_its_acceptance_is_in_the_log) {
  view_.record->heir = Heir{"there", migration};
  view_.out = ready();
  EXPECT_EQ(step(), Step::pause);
  view_.out->accepted_logged = false;
  EXPECT_EQ(step(), Step::none);
}

TEST_F(NextStep, a_drain_whose_stream_broke_after_the_seal_waits_for_the_word_to_start_from_disk) {
  incoming();
  view_.copy.reset();
  EXPECT_EQ(step(), Step::none);
  view_.in->from_disk = true;
  EXPECT_EQ(step(), Step::swap_commit);
  view_.in->from_disk = false;
  view_.record->session_alive = false;
  EXPECT_EQ(step(), Step::drop_incoming) << "nobody will say it";
}

TEST_F(NextStep, a_drain_does_not_take_its_machine_back) {  // rule 16
  view_.record->heir = Heir{"there", migration};
  view_.copy->state = State::stopped;
  view_.out = ready();
  view_.out->paused = view_.out->handed_over = true;
  view_.out->seal = Seal{4, 9, 9};
  view_.out->pause_deadline = view_.now;
  view_.out->no_return = view_.now;
  EXPECT_EQ(step(), Step::none);
  view_.now = view_.out->deadline;
  EXPECT_EQ(step(), Step::swap_reclaim) << "it was not taken away after all";
}

TEST_F(NextStep, lets_go_of_its_copy_when_the_target_has_won) {
  view_.out = ready();
  view_.out->paused = view_.out->handed_over = true;
  view_.copy->state = State::stopped;
  view_.record->holder = "there";
  EXPECT_EQ(step(), Step::none) << "not known yet";
  view_.record->epoch = 5;
  EXPECT_EQ(step(), Step::finish_lost);
  view_.out->epoch = 0;
  EXPECT_EQ(step(), Step::abort) << "it was never accepted: that is a refusal";
}

TEST_F(NextStep, keeps_its_copy_as_long_as_the_target_needs_its_memory) {  // rule 14
  for (const bool restarted : {false, true}) {
    view_.out = ready();
    view_.out->paused = view_.out->handed_over = true;
    if (restarted) view_.out.reset();
    view_.copy =
        GuestStatus{.vm = "main/web1", .state = State::stopped, .epoch = 4, .migration = migration};
    view_.record->holder = "there";
    view_.record->epoch = 5;
    view_.record->heir = Heir{"there", migration};
    for (const Memory memory : {Memory::needed, Memory::broken, Memory::unknown}) {
      view_.copy->memory = memory;
      view_.record->epoch = 5;
      view_.record->heir = Heir{"there", migration};
      EXPECT_EQ(step(), Step::none);
      view_.record->heir = Heir{"", migration};
      view_.record->epoch = 6;
      EXPECT_NE(step(), Step::none) << "it started anew there, from its disk";
    }
    const Step gone = restarted ? Step::destroy_copy : Step::finish_lost;
    EXPECT_EQ(step(), gone);
    view_.record->heir = Heir{"there", migration};
    view_.copy->memory = Memory::whole;
    EXPECT_EQ(step(), gone) << "the target has all";
    view_.copy->memory = Memory::lost;
    EXPECT_EQ(step(), gone) << "nobody comes for it";
  }
}

TEST_F(NextStep, starts_anew_what_cannot_go_on_without_the_rest_of_its_memory) {  // rule 14
  view_.copy->memory = Memory::waiting;
  EXPECT_EQ(step(), Step::none) << "its stream may come again";
  view_.copy->memory = Memory::lost;
  EXPECT_EQ(step(), Step::lose_memory);
  // A source that took its machine back, too late for its memory.
  view_.out = ready();
  view_.out->paused = view_.out->handed_over = true;
  view_.out->seal = Seal{4, 9, 9};
  view_.out->failure = "the target was lost";
  view_.record->heir = Heir{"there", migration};
  view_.copy->state = State::stopped;
  for (const Memory memory : {Memory::needed, Memory::broken, Memory::lost}) {
    view_.copy->memory = memory;
    view_.record->epoch = 4;
    EXPECT_EQ(step(), memory == Memory::lost ? Step::swap_reclaim : Step::none)
        << "nothing is won by taking back what is half way";
    view_.record->epoch = 5;
    view_.record->swap_kind = SwapKind::RECLAIM;
    view_.asked_by_copy = {4};
    view_.won = {5, "s1"};
    EXPECT_EQ(step(), Step::lose_memory);
  }
}

// By a daemon that was restarted, and whose QEMU does not answer yet.
TEST_F(NextStep, neither_takes_back_nor_destroys_what_may_be_half_way) {  // rule 14
  view_.out = ready();
  view_.out->paused = view_.out->handed_over = true;
  view_.out->seal = Seal{4, 9, 9};
  view_.out->failure = "the target was lost";
  view_.record->heir = Heir{"there", migration};
  view_.copy->state = State::stopped;
  view_.copy->memory = Memory::unknown;
  EXPECT_EQ(step(), Step::none);
  view_.copy->state = State::frozen;
  EXPECT_EQ(step(), Step::swap_reclaim) << "it says nothing before it goes on";
  view_.out.reset();
  view_.copy->state = State::stopped;
  view_.record->heir.reset();
  EXPECT_EQ(step(), Step::none);
  view_.copy->memory = Memory::whole;
  EXPECT_EQ(step(), Step::swap_reclaim);
}

TEST_F(NextStep, tells_no_end_of_a_move_before_all_of_its_memory_is_here) {  // rule 14
  view_.record->heir = Heir{"here", migration};
  view_.record->swap_kind = SwapKind::COMMIT;
  view_.wanted_paused = true;
  view_.copy->state = State::stopped;
  for (const Memory memory : {Memory::following, Memory::waiting}) {
    view_.copy->memory = memory;
    EXPECT_EQ(step(), Step::none);
  }
  view_.copy->memory = Memory::whole;
  EXPECT_EQ(step(), Step::say_aborted) << "or that it has completed";
}

TEST_F(NextStep, clears_a_mark_that_no_migration_explains) {
  view_.record->heir = Heir{"there", migration};
  EXPECT_EQ(step(), Step::clear_heir);
  view_.wanted_paused = true;
  view_.copy->state = State::stopped;
  EXPECT_EQ(step(), Step::clear_heir);
}

// rule 6
TEST_F(NextStep, takes_a_mark_away_when_nobody_may_commit_and_the_log_has_the_end) {
  view_.record->heir = Heir{"", migration};
  EXPECT_EQ(step(), Step::say_aborted);
  view_.end = View::End::being_told;
  EXPECT_EQ(step(), Step::none);
  view_.end = View::End::told;
  EXPECT_EQ(step(), Step::clear_heir);
  view_.end = View::End::open;
  view_.copy.reset();
  EXPECT_EQ(step(), Step::say_aborted) << "a boot may fail for long";
  view_.volume.reset();
  EXPECT_EQ(step(), Step::say_aborted) << "... and so may the way to a disk";
  view_.wanted_gone = true;
  EXPECT_EQ(step(), Step::say_aborted) << "a record that is gone has no mark";
}

TEST_F(NextStep, who_committed_completes_before_it_takes_the_mark_away) {
  view_.record->heir = Heir{"here", migration};
  EXPECT_EQ(step(), Step::none);
  EXPECT_TRUE(completing(view_));
  view_.end = View::End::told;
  EXPECT_EQ(step(), Step::clear_heir);
  view_.end = View::End::open;
  view_.wanted_running = false;
  view_.copy.reset();
  EXPECT_EQ(step(), Step::say_aborted) << "it never ran here";
}

TEST_F(NextStep, accepts_the_next_migration_when_the_last_ones_end_was_said) {
  view_.record->heir = Heir{"", {"other/policy", 1, 3}};
  view_.out = ready();
  view_.out->epoch = 0;
  EXPECT_EQ(step(), Step::say_aborted);
  view_.end = View::End::told;
  EXPECT_EQ(step(), Step::clear_heir);
  view_.record->heir.reset();
  EXPECT_EQ(step(), Step::accept);
  view_.record->heir = Heir{"", migration};
  EXPECT_EQ(step(), Step::abort) << "its own was accepted, and cleared again";
}

// ---- the target ------------------------------------------------------------------------------------------------------

TEST_F(NextStep, commits_only_what_is_verified_and_complete) {  // rules 1 and 10
  incoming();
  EXPECT_EQ(step(), Step::swap_commit);
  view_.in->verified = false;
  EXPECT_EQ(step(), Step::verify);
  view_.in->verified = true;
  view_.copy->state = State::incoming;
  EXPECT_EQ(step(), Step::none);
  view_.in->from_disk = true;
  EXPECT_EQ(step(), Step::swap_commit) << "a drain starts from the sealed disk";
}

TEST_F(NextStep, gives_up_at_its_deadline_unless_it_has_asked_to_commit) {  // rule 4
  incoming();
  view_.copy->state = State::incoming;
  view_.now = view_.in->deadline;
  view_.session_deadline = view_.now + absl::Seconds(10);
  EXPECT_EQ(step(), Step::drop_incoming);
  view_.in->commit_asked = true;
  EXPECT_EQ(step(), Step::none);
  view_.copy.reset();
  EXPECT_EQ(step(), Step::none) << "the source may still take its machine back";
  view_.record->session_alive = false;
  EXPECT_EQ(step(), Step::drop_incoming) << "nothing is left to give up: it takes over";
  view_.record->epoch = 5;
  EXPECT_EQ(step(), Step::drop_incoming) << "another swap won";
}

TEST_F(NextStep, prepares_a_copy_again_that_an_earlier_daemon_made_for_this_migration) {
  incoming();
  view_.in->prepared = false;
  view_.copy->state = State::incoming;
  EXPECT_EQ(step(), Step::prepare);
  view_.copy->migration = EventId{"there/user", 1, 2};
  EXPECT_EQ(step(), Step::none) << "one of another migration goes first";
  view_.copy->migration = {};
  view_.copy->state = State::frozen;
  EXPECT_NE(step(), Step::prepare);
}

TEST_F(NextStep, takes_no_incoming_copy_while_a_takeover_may_still_be_granted) {  // rule 5
  incoming();
  view_.in->prepared = false;
  view_.copy.reset();
  EXPECT_EQ(step(), Step::prepare);
  view_.asked_by_boot[4] = "s1";
  EXPECT_EQ(step(), Step::none);
  view_.asked_by_boot[4] = "an ended session";
  EXPECT_EQ(step(), Step::prepare);
}

TEST_F(NextStep, resumes_a_committed_copy_or_boots_where_only_the_disk_came) {
  incoming();
  view_.record->holder = "here";
  view_.record->epoch = 5;
  view_.record->heir.reset();
  view_.record->swap_kind = SwapKind::COMMIT;
  view_.asked_by_copy = {4};
  view_.won = {5, "s1"};
  EXPECT_EQ(step(), Step::resume);
  view_.copy->state = State::incoming;
  EXPECT_EQ(step(), Step::destroy_copy);
  view_.copy.reset();
  view_.in->from_disk = true;
  EXPECT_EQ(step(), Step::boot);
}

TEST_F(NextStep, commits_nothing_whose_memory_stopped_following) {  // rule 14
  incoming();
  view_.copy->memory = Memory::following;
  EXPECT_EQ(step(), Step::swap_commit);
  view_.copy->memory = Memory::waiting;
  EXPECT_EQ(step(), Step::none);
  view_.record->holder = "here";
  view_.record->epoch = 5;
  view_.record->swap_kind = SwapKind::COMMIT;
  view_.asked_by_copy = {4};
  view_.won = {5, "s1"};
  EXPECT_EQ(step(), Step::resume) << "it was committed before";
  view_.copy->memory = Memory::lost;
  EXPECT_EQ(step(), Step::lose_memory);
}

// ---- takeover --------------------------------------------------------------------------------------------------------

TEST_F(NextStep, takes_over_only_an_ended_session_in_its_turn_and_in_sync) {  // rules 6, 13, 21
  held_elsewhere();
  EXPECT_EQ(step(), Step::none) << "the holder lives";
  view_.record->session_alive = false;
  EXPECT_EQ(step(), Step::swap_takeover);
  view_.can_be_made = false;
  EXPECT_EQ(step(), Step::none) << "it runs on nodes of another kind";
  view_.can_be_made = true;
  view_.takeover_after = view_.now + absl::Milliseconds(1);
  EXPECT_EQ(step(), Step::none) << "another's turn";
  view_.takeover_after = {};
  view_.record->heir = Heir{"elsewhere", migration};
  view_.record->heir_alive = true;
  EXPECT_EQ(step(), Step::none) << "the heir's turn";
  view_.record->heir_alive = false;
  EXPECT_EQ(step(), Step::swap_takeover);
  view_.record->in_sync = {"there"};
  EXPECT_EQ(step(), Step::clear_heir) << "not in sync, and nobody else is left to end it";
  view_.record->heir->node.clear();
  EXPECT_EQ(step(), Step::say_aborted);
  view_.record->heir.reset();
  EXPECT_EQ(step(), Step::none) << "not in sync";
  view_.record->loss_allowed = true;
  EXPECT_EQ(step(), Step::swap_takeover);
  view_.volume->complete = false;
  EXPECT_EQ(step(), Step::none) << "half a disk";
}

TEST_F(NextStep, takes_over_with_no_more_loss_than_was_declared) {  // rule 13
  held_elsewhere();
  view_.record->session_alive = false;
  view_.record->in_sync = {"there"};
  view_.record->loss_allowed = true;
  view_.loss_bound = absl::Seconds(5);
  view_.loss = absl::Seconds(5);
  EXPECT_EQ(step(), Step::swap_takeover);
  view_.loss = absl::Seconds(6);
  EXPECT_EQ(step(), Step::none);
  view_.record->in_sync = {"there", "here"};
  EXPECT_EQ(step(), Step::swap_takeover) << "in sync, nothing that was flushed is lost";
}

TEST_F(NextStep, leaves_what_its_user_stopped_or_paused_where_it_is) {
  held_elsewhere();
  view_.record->session_alive = false;
  view_.wanted_running = false;
  EXPECT_EQ(step(), Step::none);
  view_.wanted_running = true;
  view_.wanted_paused = true;
  EXPECT_EQ(step(), Step::none);
  view_.record->heir = Heir{"elsewhere", migration};
  EXPECT_EQ(step(), Step::clear_heir) << "nobody is left to end its migration";
  view_.record->heir_alive = true;
  EXPECT_EQ(step(), Step::none) << "the heir ends it";
  view_.record->heir = Heir{"here", migration};
  EXPECT_EQ(step(), Step::clear_heir);
  view_.wanted_gone = true;
  EXPECT_EQ(step(), Step::clear_heir);
  view_.record->heir.reset();
  EXPECT_EQ(step(), Step::swap_remove) << "destroyed, and its holder is lost";
}

TEST_F(NextStep, an_heir_that_has_not_asked_to_commit_drops_its_copy_before_it_takes_over) {
  incoming();
  view_.in->seal.reset();
  view_.record->session_alive = false;
  EXPECT_EQ(step(), Step::drop_incoming);
  view_.in.reset();
  view_.copy.reset();
  EXPECT_EQ(step(), Step::swap_takeover);
}

// ---- users -----------------------------------------------------------------------------------------------------------

TEST_F(NextStep, stop_pause_and_destroy_end_an_open_migration_first) {
  view_.record->heir = Heir{"there", migration};
  view_.out = ready();
  view_.wanted_running = false;
  EXPECT_EQ(step(), Step::abort);
  view_.out.reset();
  EXPECT_EQ(step(), Step::stop_for_user);
  view_.copy.reset();
  view_.record->heir.reset();
  EXPECT_EQ(step(), Step::none) << "stopped";
  view_.wanted_gone = true;
  EXPECT_EQ(step(), Step::swap_remove);
  view_.record.reset();
  EXPECT_EQ(step(), Step::release_volume);
  view_.volume.reset();
  EXPECT_EQ(step(), Step::forget);
}

TEST_F(NextStep, every_step_has_a_name) {
  for (int step = 0; step <= static_cast<int>(Step::drop_incoming); ++step)
    EXPECT_STRNE(to_string(static_cast<Step>(step)), "?");
}

}  // namespace
}  // namespace supercloud
