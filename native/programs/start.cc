// sockswitch-start: what the command `sockswitch` is. Starts Node.js with the command line of this
// installation, found from where this program stands.
//
// For most verbs it becomes Node.js. `sockswitch with` has to become the user's command, which
// shall find the process as it was started. Node.js changes a process at its start: it marks
// descriptors close-on-exec, raises the soft limit of descriptors, and sets actions of signals that
// were ignored. So there Node.js runs in a child, which writes what to become (the plan) into a
// pipe and ends, and this process becomes it, untouched:
//
//   sockswitch-start with ...          node dist/cli.js with ...
//   sockswitch-start with-front ...    node dist/with/front.js ... (src/with/front.sh)
//
// The child finds the pipe's number in SOCKSWITCH_START_FD (src/with/execute.ts). A plan is a
// sequence of strings with a zero behind each: variables that are set ("NAME=VALUE"), an empty one,
// the words of the command. A child that fails, or writes no plan (--help), gives its status.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace sockswitch {
namespace {

// Exit statuses of programs that start others (env(1)).
enum Status { kCannotStart = 125, kCannotExecute = 126, kNotFound = 127 };

constexpr auto kPlanVariable = "SOCKSWITCH_START_FD";

void say(const std::string& message) {
  std::string line = "sockswitch: " + message;
  for (char& byte : line) {
    if (static_cast<unsigned char>(byte) < ' ' || byte == 0x7f) byte = '?';
  }
  line += '\n';
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;  // nobody reads it
}

// "/usr/lib/sockswitch/" of "/usr/lib/sockswitch/build/Release/sockswitch-start".
std::string installation() {
  std::array<char, 4096> path{};
  ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  if (length <= 0) return {};
  std::string root(path.data(), static_cast<size_t>(length));
  for (int level = 0; level < 3 && !root.empty(); ++level) root.erase(root.find_last_of('/'));
  return root + "/";
}

// Becomes the program; returns the errno where it cannot.
int execute(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execvp(pointers.front(), pointers.data());
  return errno;
}

int execute_node(std::vector<std::string>& words) {
  int error = execute(words);
  say("cannot run " + words.front() + " (" + std::strerror(error) +
      "): install Node.js 20 or later, or correct PATH");
  return kNotFound;
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

// Ends as the child has, if that was no success.
void end_as(int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  if (WIFEXITED(status)) std::_Exit(WEXITSTATUS(status));
  std::signal(WTERMSIG(status), SIG_DFL);
  ::raise(WTERMSIG(status));
  std::_Exit(128 + WTERMSIG(status));
}

// What the child has written; it has ended then, and was successful.
std::string plan_by(std::vector<std::string>& words) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) {
    say(std::string("cannot make a pipe (") + std::strerror(errno) + ")");
    std::_Exit(kCannotStart);
  }
  UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
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

// Becomes what the plan says.
int carry_out(std::string_view plan) {
  std::vector<std::string> words;
  bool in_words = false;
  while (!plan.empty()) {
    size_t end = plan.find('\0');
    std::string item(plan.substr(0, end));
    plan.remove_prefix(end == std::string_view::npos ? plan.size() : end + 1);
    size_t equals = item.find('=');
    if (in_words) {
      words.push_back(item);
    } else if (item.empty()) {
      in_words = true;
    } else if (equals != std::string::npos) {
      ::setenv(item.substr(0, equals).c_str(), item.c_str() + equals + 1, 1);
    }
  }
  if (words.empty()) return 0;
  int error = execute(words);
  const std::string named = '"' + words.front() + '"';
  if (error == ENOENT) {
    say("there is no command " + named + ": check its spelling, and PATH");
    return kNotFound;
  }
  say("cannot execute " + named + " (" + std::strerror(error) + "): check its mode and its format");
  return kCannotExecute;
}

int start(int argc, char** argv) {
  std::vector<std::string> given(argv + (argc > 0 ? 1 : 0), argv + argc);
  const std::string verb = given.empty() ? "" : given.front();
  const std::string root = installation();
  const char* node = std::getenv("SOCKSWITCH_WITH_NODE");
  const bool is_front = verb == "with-front";
  std::vector<std::string> words{is_front && node != nullptr ? node : "node",
                                 root + (is_front ? "dist/with/front.js" : "dist/cli.js")};
  words.insert(words.end(), given.begin() + (is_front ? 1 : 0), given.end());
  if (!is_front && verb != "with") return execute_node(words);
  return carry_out(plan_by(words));
}

}  // namespace
}  // namespace sockswitch

int main(int argc, char** argv) { return sockswitch::start(argc, argv); }
