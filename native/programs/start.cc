// sockswitch-start: what the command `sockswitch` is. Starts Node.js with the command line of this
// installation, found from where this program stands.
//
// For most verbs it becomes Node.js. `sockswitch with` has to become the user's command, which
// shall find the process as it was started. Node.js changes a process at its start: it marks
// descriptors close-on-exec, raises the soft limit of descriptors, and sets actions of signals that
// were ignored. So there Node.js runs in a child, which writes what to become (the plan) into a
// pipe and ends, and this process becomes it, untouched:
//
//   sockswitch-start with ...          node dist/commands/start-with.cjs with ...
//   sockswitch-start with-front ...    node dist/with/front.js ... (front.cc)
//
// The child finds the pipe's number in SOCKSWITCH_START_FD (src/with/execute.ts). A plan is a
// sequence of strings with a zero behind each; Node.js cannot carry bytes that are no UTF-8, so
// what was there before is only referred to:
//
//   =NAME=VALUE    sets a variable        +NAME=TEXT    puts the text before its value
//   (empty)        ends the variables
//   =WORD          a word of the command  @NUMBER       one of those that Node.js was given, from 0
//
// A child that fails, or writes no plan (--help), gives its status.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "programs/become.h"

namespace sockswitch {
namespace {

constexpr auto kPlanVariable = "SOCKSWITCH_START_FD";

// "/usr/lib/sockswitch/" of "/usr/lib/sockswitch/build/Release/sockswitch-start".
std::string installation() {
  std::array<char, 4096> path{};
  ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  if (length <= 0 || static_cast<size_t>(length) == path.size()) return {};
  std::string root(path.data(), static_cast<size_t>(length));
  for (int level = 0; level < 3 && !root.empty(); ++level) root.erase(root.find_last_of('/'));
  return root.empty() ? root : root + "/";
}

int execute_node(std::vector<std::string>& words) {
  int error = execute(words);
  say("cannot run " + words.front() + " (" + std::strerror(error) +
      "): install Node.js 20 or later, or correct PATH");
  return error == ENOENT ? kNotFound : kCannotExecute;
}

std::string read_to_end(int fd) {
  std::string text;
  std::array<char, 65536> part{};
  for (;;) {
    ssize_t length = ::read(fd, part.data(), part.size());
    if (length > 0) {
      text.append(part.data(), static_cast<size_t>(length));
    } else if (length == 0 || errno != EINTR) {
      return text;
    }
  }
}

// Ends as the child has, if that was no success. A signal that is ignored here is not sent: Node.js
// has given it its own action back.
void end_as(int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  if (WIFEXITED(status)) std::_Exit(WEXITSTATUS(status));
  ::raise(WTERMSIG(status));
  std::_Exit(128 + WTERMSIG(status));
}

// Not one of the first three, which the user may have closed, and which messages go to.
UniqueFd above_standard(UniqueFd fd) {
  if (fd.get() > STDERR_FILENO) return fd;
  return UniqueFd(::fcntl(fd.get(), F_DUPFD, STDERR_FILENO + 1));
}

// What the child has written; it has ended then, and was successful.
std::string plan_by(std::vector<std::string>& words) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) {
    say(std::string("cannot make a pipe (") + std::strerror(errno) + ")");
    std::_Exit(kCannotStart);
  }
  UniqueFd reading = above_standard(UniqueFd(ends[0]));
  UniqueFd writing = above_standard(UniqueFd(ends[1]));
  // Where SIGCHLD is ignored, a child's status is lost.
  struct sigaction before{};
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &standard, &before);
  pid_t child = ::fork();
  if (child < 0) {
    say(std::string("cannot start a process (") + std::strerror(errno) + ")");
    std::_Exit(kCannotStart);
  }
  if (child == 0) {
    reading.reset();
    ::setenv(kPlanVariable, std::to_string(writing.get()).c_str(), 1);
    std::_Exit(execute_node(words));
  }
  writing.reset();
  std::string plan = read_to_end(reading.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  ::sigaction(SIGCHLD, &before, nullptr);
  end_as(status);
  return plan;
}

// "NAME=VALUE".
void set_variable(std::string_view item, bool before) {
  const size_t equals = item.find('=');
  if (equals == std::string_view::npos) return;
  const std::string name(item.substr(0, equals));
  std::string value(item.substr(equals + 1));
  const char* old = std::getenv(name.c_str());
  if (before && old != nullptr) value += old;
  ::setenv(name.c_str(), value.c_str(), 1);
}

// Becomes what the plan says. `given`: the words that Node.js was given.
int carry_out(std::string_view plan, std::span<const std::string> given) {
  std::vector<std::string> words;
  bool in_words = false;
  while (!plan.empty()) {
    const size_t end = plan.find('\0');
    const std::string_view item = plan.substr(0, end);
    plan.remove_prefix(end == std::string_view::npos ? plan.size() : end + 1);
    if (item.empty()) {
      in_words = true;
    } else if (!in_words) {
      set_variable(item.substr(1), item.front() == '+');
    } else if (item.front() == '=') {
      words.emplace_back(item.substr(1));
    } else {
      size_t number = given.size();
      std::from_chars(item.data() + 1, item.data() + item.size(), number);
      if (number < given.size()) words.push_back(given[number]);
    }
  }
  if (words.empty()) return 0;
  return become(words);
}

int start(int argc, char** argv) {
  std::vector<std::string> given(argv + (argc > 0 ? 1 : 0), argv + argc);
  const std::string verb = given.empty() ? "" : given.front();
  const std::string root = installation();
  if (root.empty()) {
    say("cannot tell where it is installed: /proc/self/exe cannot be read");
    return kCannotStart;
  }
  const char* node = std::getenv("SOCKSWITCH_WITH_NODE");
  const bool is_front = verb == "with-front";
  const bool is_with = verb == "with";
  const char* script = is_front  ? "dist/with/front.js"
                       : is_with ? "dist/commands/start-with.cjs"
                                 : "dist/cli.js";
  std::vector<std::string> words{is_front && node != nullptr ? node : "node", root + script};
  words.insert(words.end(), given.begin() + (is_front ? 1 : 0), given.end());
  if (!is_front && !is_with) return execute_node(words);
  const std::string plan = plan_by(words);
  return carry_out(plan, std::span(words).subspan(2));
}

}  // namespace
}  // namespace sockswitch

int main(int argc, char** argv) { return sockswitch::start(argc, argv); }
