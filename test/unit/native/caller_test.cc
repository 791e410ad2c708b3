// Threads that call, remembered: whose descriptors are reached, and what is in flight.
#include "notify/caller.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <deque>
#include <thread>

#include "base/unique_fd.h"
#include "check.h"
#include "notify/in_flight.h"
#include "notify/option_mark.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

pid_t this_thread() { return static_cast<pid_t>(::syscall(SYS_gettid)); }

// A thread that waits until it is let go.
class Waiting {
 public:
  Waiting()
      : thread_([this] {
          tid_ = this_thread();
          tid_.notify_all();
          ended_.wait(false);
        }) {
    tid_.wait(0);
  }
  ~Waiting() { end(); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  pid_t tid() const { return tid_; }
  void end() {
    if (!thread_.joinable()) return;
    ended_ = true;
    ended_.notify_all();
    thread_.join();
  }

 private:
  std::atomic<pid_t> tid_{0};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

// PIDFD_THREAD is of Linux 6.9; without it a pidfd is the group's, which lives on here.
TEST(a_thread_that_is_gone_is_noticed) {
  for (PidfdUse use : {PidfdUse::kThread, PidfdUse::kGroup}) {
    UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    Waiting thread;
    CallerCache callers(use);
    Caller& caller = callers.find(thread.tid());
    CHECK(static_cast<bool>(caller.fetch(file.get())));
    CHECK(!caller.fetch(9999) && errno == EBADF);
    thread.end();
    // Its id goes a moment after the join.
    UniqueFd fetched;
    for (int tries = 0; tries < 1000; ++tries) {
      fetched = callers.find(caller.tid()).fetch(file.get());
      if (!fetched) break;
      ::usleep(1000);
    }
    CHECK(!fetched && errno == ESRCH);
  }
}

TEST(flags_are_those_of_the_moment) {
  CallerCache callers;
  Caller& caller = callers.find(this_thread());
  UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  auto flags = caller.flags(file.get());
  CHECK(flags && flags->close_on_exec && !flags->non_blocking);
  ::fcntl(file.get(), F_SETFD, 0);
  ::fcntl(file.get(), F_SETFL, O_NONBLOCK);
  flags = caller.flags(file.get());
  CHECK(flags && !flags->close_on_exec && flags->non_blocking);
  const int number = file.get();
  file.reset();
  CHECK(!caller.flags(number));
  // The number again, with another file.
  UniqueFd other(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  CHECK_EQ(other.get(), number);
  flags = caller.flags(number);
  CHECK(flags && flags->close_on_exec && !flags->non_blocking);
}

TEST(many_callers_are_remembered) {
  constexpr pid_t kMany = 300;
  CallerCache callers;
  const Caller* first = &callers.find(this_thread());
  std::deque<Waiting> threads(kMany);
  for (const Waiting& thread : threads) {
    callers.find(thread.tid());
    CHECK_EQ(&callers.find(this_thread()), first);  // used all the time, so not forgotten
  }
}

TEST(what_is_in_flight_changes_what_is_known) {
  InFlight calls;
  CHECK(!calls.any());
  const auto before = calls.generation();
  calls.begin(1);
  CHECK(calls.any());
  CHECK(calls.generation() != before);
  const auto during = calls.generation();
  calls.end(2);
  CHECK(calls.any());
  CHECK_EQ(calls.generation(), during);
  calls.end(1);
  CHECK(!calls.any());
  CHECK(calls.generation() != during);
}

TEST(a_mark_is_shared_by_who_shares_a_namespace) {
  OptionMarks marks;
  std::atomic<std::uint8_t> one_record{0};
  std::atomic<std::uint8_t> other_record{0};
  OptionMark one(one_record);
  OptionMark other(other_record);
  SharedMark shared = marks.of(7);
  CHECK(shared == marks.of(7));
  CHECK(marks.of(8) != shared);
  one.set();  // before the namespace is known
  other.join(shared);
  CHECK(!other.is_set());
  one.join(shared);
  CHECK(other.is_set());
  CHECK_EQ(other_record.load(), 1);
}

}  // namespace
