// The maker of sockets in another namespace (kernel/netns.h), with the real helper: stopped,
// killed, and one that cannot be had.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "base/errno_error.h"
#include "beside.h"
#include "check.h"
#include "kernel/netns.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

constexpr std::chrono::milliseconds kPatience{300};

std::string helper() { return beside_this_program("sockswitch-netns"); }

// The one child that this thread has; 0 where there is none.
pid_t child() {
  pid_t found = 0;
  std::ifstream("/proc/thread-self/children") >> found;
  return found;
}

int type_of(const UniqueFd& socket) {
  int type = 0;
  socklen_t size = sizeof type;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size);
  return type;
}

// The errno of an attempt, 0 where there is a socket.
int attempt(SocketSource& source) {
  try {
    source.open(AF_INET, SOCK_STREAM, 0);
    return 0;
  } catch (const ErrnoError& error) {
    return error.error();
  }
}

// Entering a namespace takes a capability.
bool may_enter() {
  if (::geteuid() == 0) return true;
  CHECK(std::getenv("CI") == nullptr);
  std::puts("skipped: only root may enter its own network namespace");
  return false;
}

TEST(an_answer_that_comes_too_late_is_no_other_questions_answer) {
  if (!may_enter()) return;
  SocketSource source(helper(), Netns::of_process(::getpid()), kPatience);
  CHECK_EQ(type_of(source.open(AF_INET, SOCK_DGRAM, 0)), SOCK_DGRAM);
  const pid_t stopped = child();
  ::kill(stopped, SIGSTOP);
  CHECK_EQ(attempt(source), EAGAIN);
  ::kill(stopped, SIGCONT);
  std::this_thread::sleep_for(SocketSource::kPause);
  CHECK_EQ(type_of(source.open(AF_INET, SOCK_DGRAM, 0)), SOCK_DGRAM);
  CHECK_EQ(type_of(source.open(AF_INET, SOCK_STREAM, 0)), SOCK_STREAM);
}

TEST(a_helper_that_died_is_started_again_with_a_pause_between_starts) {
  if (!may_enter()) return;
  SocketSource source(helper(), Netns::of_process(::getpid()), kPatience);
  CHECK_EQ(attempt(source), 0);
  std::this_thread::sleep_for(SocketSource::kPause);
  const pid_t first = child();
  ::kill(first, SIGKILL);
  CHECK_EQ(attempt(source), 0);
  CHECK(child() != first);
  ::kill(child(), SIGKILL);
  CHECK_EQ(attempt(source), EAGAIN);
  CHECK_EQ(child(), 0);
  std::this_thread::sleep_for(SocketSource::kPause);
  CHECK_EQ(attempt(source), 0);
}

TEST(a_helper_that_cannot_be_had_is_an_error_and_may_come_back) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("sockswitch-helper-" + std::to_string(::getpid()));
  SocketSource source(path, Netns::of_process(::getpid()), kPatience);
  CHECK_EQ(attempt(source), ENOENT);
  CHECK_EQ(attempt(source), EAGAIN);
  if (!may_enter()) return;
  std::filesystem::create_symlink(helper(), path);
  std::this_thread::sleep_for(SocketSource::kPause);
  CHECK_EQ(attempt(source), 0);
  std::filesystem::remove(path);
}

}  // namespace
