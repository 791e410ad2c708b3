// Two descriptor tables, one type: what a thread with a table of its own drops is closed in the
// common one.
#include "kernel/descriptor_table.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>
#include <thread>

#include "check.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

UniqueFd event() { return UniqueFd(::eventfd(7, EFD_CLOEXEC | EFD_NONBLOCK)); }

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

template <typename Body>
void in_own_table(Body body) {
  UniqueFd kept = event();
  std::thread([&] {
    CHECK(leave_common_table(kept.get()));
    CHECK(!has_common_table());
    body();
  }).join();
  CHECK(has_common_table());
}

TEST(a_thread_that_leaves_the_common_table_keeps_one_descriptor) {
  UniqueFd other = event();
  in_own_table([&] { CHECK(!is_open(other.get())); });
  CHECK(is_open(other.get()));
}

TEST(what_a_listener_thread_drops_is_closed_in_the_common_table) {
  auto control = std::make_unique<ControlThread>();
  InCommonTable<UniqueFd> shared(*control, event());
  int number = shared->get();
  in_own_table([&] {
    // The same number, another file: the one that must survive.
    CHECK_EQ(::dup2(::eventfd(1, 0), number), number);
    InCommonTable<UniqueFd> last = std::move(shared);
    last.reset();
    CHECK(is_open(number));
  });
  control.reset();  // does what was posted
  CHECK(!is_open(number));
}

TEST(the_last_reference_may_be_a_listener_threads) {
  struct Watching {
    UniqueFd fd;
    bool& ended_in_common_table;
    ~Watching() { ended_in_common_table = has_common_table(); }
  };
  auto control = std::make_unique<ControlThread>();
  bool in_common_table = false;
  auto shared =
      dropped_in_common_table(*control,  // NOLINTNEXTLINE(modernize-make-unique): an aggregate
                              std::unique_ptr<Watching>(new Watching{event(), in_common_table}));
  int number = shared->fd.get();
  in_own_table([&] { shared.reset(); });
  control.reset();
  CHECK(in_common_table);
  CHECK(!is_open(number));
}

TEST(a_listener_thread_cannot_take_a_number_of_the_common_table_for_its_own) {
  ControlThread control;
  InCommonTable<UniqueFd> shared(control, event());
  in_own_table([&] {
    bool refused = false;
    try {
      (void)shared.get();
    } catch (const std::logic_error&) {
      refused = true;
    }
    CHECK(refused);
    // What it may: have work done there, and a duplicate here.
    eventfd_t value = 0;
    shared.run([&](const UniqueFd& fd) { ::eventfd_read(fd.get(), &value); });
    CHECK_EQ(value, 7U);
    shared.run([](const UniqueFd& fd) { ::eventfd_write(fd.get(), 3); });
    UniqueFd mine = duplicate(shared);
    CHECK_EQ(::eventfd_read(mine.get(), &value), 0);
    CHECK_EQ(value, 3U);
  });
  CHECK_EQ(shared.run([](const UniqueFd& fd) { return fd.get(); }), shared->get());
}

}  // namespace
