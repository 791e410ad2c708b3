// sockswitch-precreate: Podman's `precreate` hook. Podman writes a container's OCI spec to its
// stdin and replaces the spec by what it prints. It runs at every start of an annotated container,
// so it only carries: the daemon decides.
//
// Podman gives it an empty environment, the bundle as working directory, and throws its stderr
// away; when it exits with another status than 0 the start fails, without telling the user why.
//
// Order of events:
//   1. read the spec to the end of stdin
//   2. connect to the daemon (SOCK_STREAM, same user), write the spec, shut down the writing side
//   3. read the answer to its end: "OK\n" and the new spec, or "REJECT <message>\n" (what
//      follows is ignored)
//   4. print the new spec, or the old one changed such that the start fails with the message
//      (see `refuse`)
// No daemon, or no complete and well-formed answer in time: the container starts on its fallback
// network with the spec as it came, unless it is annotated `sockswitch/required=true` or
// `sockswitch/publish`, which refuse. All waiting together is bounded by one deadline.
//
// A container that asks for acceleration and starts without it leaves a record, since nobody reads
// what this program writes to stderr: a line of JSON in the file `missed-starts` beside the
// daemon's socket, which the daemon reports (src/daemon/admission/missed-starts.ts):
//
//   {"time":SECONDS,"container":["TEXT",...],"reason":"TEXT"}
//
// `time` is Unix time; `container` has the texts of the spec in which the container's id stands
// (cgroupsPath, sources of Podman's own mounts), and its hostname last. A file of more than 64 KiB
// takes no more records.
//
// How a refusal reaches the user: crun and runc each name an unknown resource limit in the error
// that Podman prints, and look at the limits before anything of the container exists. So the
// message is put where the name of a resource limit is expected. (A failing OCI hook does not do:
// of it crun shows the path only.)
//
//   crun  Error: OCI runtime error: crun: invalid rlimit `sockswitch: MESSAGE`
//   runc  Error: OCI runtime error: runc: runc create failed: wrong rlimit value: sockswitch: ...
//
// Limits: a spec or an answer of more than 16 MiB, and a spec that is no JSON object where a
// refusal has to be written into it: exit status 1.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/errno_error.h"
#include "kernel/unix_socket.h"
#include "programs/json_scan.h"

namespace sockswitch {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kMaxSpecBytes = std::size_t{16} * 1024 * 1024;
constexpr std::size_t kChunkBytes = std::size_t{64} * 1024;
// crun carries an error from the container's process in 512 bytes.
constexpr std::size_t kMaxMessageBytes = 400;
constexpr int kUsageStatus = 2;
constexpr off_t kMaxRecordsBytes = off_t{64} * 1024;
// A container's name in a record: longer ones are left out.
constexpr std::size_t kMaxNameBytes = 1024;

struct Options {
  std::string socket;
  milliseconds timeout{5000};
};

// What keeps the daemon's answer from being one, in words for the user.
class NoAnswer : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Deadline {
 public:
  explicit Deadline(milliseconds timeout) : end_(Clock::now() + timeout) {}

  // For poll(2): never negative, 0 only when it is over.
  int remaining_ms() const {
    const auto left = std::chrono::ceil<milliseconds>(end_ - Clock::now()).count();
    return static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX));
  }

  // Returns those of the events that are there.
  short wait(int fd, short events) const {
    struct pollfd request = {.fd = fd, .events = events, .revents = 0};
    while (true) {
      const int left = remaining_ms();
      if (left == 0) throw NoAnswer("no complete answer in time");
      const int ready = ::poll(&request, 1, left);
      if (ready > 0) return request.revents;
      if (ready < 0 && errno != EINTR) throw_errno("poll");
    }
  }

 private:
  Clock::time_point end_;
};

// Appends what there is to read, up to the limit and one byte (which tells that it was exceeded).
// Returns false at the end. EAGAIN reads as "nothing yet".
bool read_chunk(int fd, std::string& text) {
  const std::size_t before = text.size();
  text.resize(std::min(before + kChunkBytes, kMaxSpecBytes + kChunkBytes));
  ssize_t count = 0;
  do {
    count = ::read(fd, text.data() + before, text.size() - before);
  } while (count < 0 && errno == EINTR);
  text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  if (count < 0 && errno != EAGAIN) throw_errno("read");
  return count != 0;
}

std::string read_spec(int fd) {
  std::string spec;
  while (read_chunk(fd, spec)) {
    if (spec.size() > kMaxSpecBytes) throw ErrnoError(EFBIG, "read", "the spec on stdin");
  }
  return spec;
}

void print(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno != EINTR) throw_errno("write", "stdout");
    if (count > 0) text.remove_prefix(static_cast<std::size_t>(count));
  }
}

UniqueFd connect_daemon(const std::string& path, const Deadline& deadline) {
  constexpr milliseconds kRetry{2};
  while (true) {
    try {
      UniqueFd fd = unix_connect(path, SOCK_STREAM | SOCK_NONBLOCK);
      if (peer_credentials(fd.get()).uid != ::geteuid())
        throw NoAnswer("another user serves the socket");
      return fd;
    } catch (const ErrnoError& error) {
      // EAGAIN: many containers start at once and the backlog is full. There is nothing to poll
      // for.
      if (error.error() != EAGAIN) throw;
    }
    if (deadline.remaining_ms() == 0) throw NoAnswer("no complete answer in time");
    std::this_thread::sleep_for(kRetry);
  }
}

void send_spec(int fd, std::string_view spec, const Deadline& deadline) {
  while (!spec.empty()) {
    const ssize_t count = ::send(fd, spec.data(), spec.size(), MSG_NOSIGNAL);
    if (count >= 0) {
      spec.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      // Who answers before it has read everything wants no more.
      if ((deadline.wait(fd, POLLOUT | POLLIN) & POLLIN) != 0) break;
    } else if (errno == EPIPE) {
      return;  // it has read enough to answer, or it is gone: the answer tells
    } else if (errno != EINTR) {
      throw_errno("send");
    }
  }
  if (::shutdown(fd, SHUT_WR) != 0) throw_errno("shutdown");
}

std::string receive_answer(int fd, const Deadline& deadline) {
  std::string answer;
  do {
    deadline.wait(fd, POLLIN);
    if (answer.size() > kMaxSpecBytes) throw NoAnswer("its answer is too long");
  } while (read_chunk(fd, answer));
  return answer;
}

struct Answer {
  std::string spec;                    // the new spec, or empty
  std::optional<std::string> refusal;  // the message of a REJECT
};

Answer understand(std::string answer) {
  constexpr std::string_view kAccepted = "OK\n";
  constexpr std::string_view kRejected = "REJECT ";
  if (answer.starts_with(kAccepted)) {
    answer.erase(0, kAccepted.size());
    // A daemon that died while it wrote leaves half a spec: that must not reach Podman.
    const std::optional<json::Value> spec = json::parse(answer);
    if (!spec || spec->kind != json::Kind::kObject)
      throw NoAnswer("its answer is cut off or garbled");
    return {.spec = std::move(answer), .refusal = std::nullopt};
  }
  const std::size_t end = answer.find('\n');
  if (answer.starts_with(kRejected) && end != std::string::npos) {
    return {.spec = {}, .refusal = answer.substr(kRejected.size(), end - kRejected.size())};
  }
  throw NoAnswer(answer.empty() ? "it hung up without an answer"
                                : "its answer is cut off or garbled");
}

Answer ask_daemon(const Options& options, std::string_view spec) {
  const Deadline deadline(options.timeout);
  try {
    const UniqueFd fd = connect_daemon(options.socket, deadline);
    send_spec(fd.get(), spec, deadline);
    return understand(receive_answer(fd.get(), deadline));
  } catch (const ErrnoError& error) {
    throw NoAnswer(error.syscall() + ": " + error.code());
  }
}

// The string of a member, or nothing where there is none.
std::optional<std::string> string_member(const json::Value& object, std::string_view key) {
  const std::optional<json::Value> value = json::member(object, key);
  return value ? json::decode_string(*value) : std::nullopt;
}

// Whether an annotation is one of the truths of Go's strconv.ParseBool; nothing where there is
// none.
std::optional<bool> truth(const json::Value& annotations, std::string_view name) {
  constexpr std::array<std::string_view, 6> kTruths = {"1", "t", "T", "true", "TRUE", "True"};
  const std::optional<std::string> value = string_member(annotations, name);
  if (!value) return std::nullopt;
  return std::ranges::find(kTruths, *value) != kTruths.end();
}

// Which annotation lets the container not start without the daemon, if any: `sockswitch/required`,
// or `sockswitch/publish`, since nothing else would lead to its ports.
std::optional<std::string> requiring_annotation(const json::Value& annotations) {
  if (json::member(annotations, "sockswitch/publish")) return "sockswitch/publish";
  if (truth(annotations, "sockswitch/required").value_or(false)) return "sockswitch/required";
  return std::nullopt;
}

bool asks_for_acceleration(const json::Value& annotations) {
  const std::optional<bool> ours = truth(annotations, "sockswitch/enable");
  return ours ? *ours : truth(annotations, "nerdctl/bypass4netns").value_or(false);
}

// Texts that tell which container it is: its id is in one of the first, the last is its hostname.
std::vector<std::string> names_of(const json::Value& spec) {
  std::vector<std::string> names;
  const auto add = [&names](const json::Value& object, std::string_view key) {
    std::optional<std::string> name = string_member(object, key);
    if (name && name->size() <= kMaxNameBytes) names.push_back(*std::move(name));
  };
  if (const auto platform = json::member(spec, "linux")) add(*platform, "cgroupsPath");
  const auto mounts = json::member(spec, "mounts");
  for (const json::Value& mount : mounts ? json::elements(*mounts) : std::vector<json::Value>()) {
    const auto destination = string_member(mount, "destination");
    // Files that Podman makes for each container, in a directory of its id.
    if (destination == "/run/.containerenv" || destination == "/etc/hostname") add(mount, "source");
  }
  add(spec, "hostname");
  return names;
}

// See the top of the file. The directory may be missing where no daemon has run since the user
// logged in. Throws ErrnoError.
void leave_record(const std::string& socket, const json::Value& spec, const std::string& reason) {
  const std::string directory = socket.substr(0, socket.rfind('/'));
  const std::string path = directory + "/missed-starts";
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) throw_errno("mkdir", directory);
  const UniqueFd file(::open(
      path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!file) throw_errno("open", path);
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) throw_errno("fstat", path);
  if (!S_ISREG(status.st_mode) || status.st_size > kMaxRecordsBytes) return;
  std::string record = "{\"time\":" + std::to_string(::time(nullptr)) + ",\"container\":[";
  for (const std::string& name : names_of(spec)) {
    if (!record.ends_with('[')) record += ',';
    json::append_string(record, name);
  }
  record += "],\"reason\":";
  json::append_string(record, reason);
  record += "}\n";
  // One call: hooks of other containers append to the file at the same time.
  if (::write(file.get(), record.data(), record.size()) < 0) throw_errno("write", path);
}

// One line, cut at a character's boundary.
std::string presentable(std::string message) {
  for (char& c : message) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  if (message.size() > kMaxMessageBytes) {
    std::size_t end = kMaxMessageBytes;
    while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xc0U) == 0x80U) --end;
    message.resize(end);
    message += "...";
  }
  return message;
}

// The spec with `edit` in place of the part of it that `span` views.
std::string splice(std::string_view spec, std::string_view span, std::string_view edit) {
  const auto offset = static_cast<std::size_t>(span.data() - spec.data());
  std::string result;
  result.reserve(spec.size() + edit.size());
  result.append(spec.substr(0, offset)).append(edit).append(spec.substr(offset + span.size()));
  return result;
}

// The spec, made to fail with the message: an impossible resource limit, before all others.
std::optional<std::string> refuse(std::string_view spec, std::string_view message) {
  const std::optional<json::Value> root = json::parse(spec);
  if (!root) return std::nullopt;
  const std::optional<json::Value> process = json::member(*root, "process");
  if (!process || process->kind != json::Kind::kObject) return std::nullopt;
  std::string limit = R"({"type":)";
  json::append_string(limit, message);
  limit += R"(,"hard":0,"soft":0})";

  const std::optional<json::Value> limits = json::member(*process, "rlimits");
  if (!limits) {
    const std::string edit = R"("rlimits":[)" + limit + (json::is_empty(*process) ? "]" : "],");
    return splice(spec, process->text.substr(1, 0), edit);
  }
  if (limits->kind != json::Kind::kArray || json::is_empty(*limits)) {
    return splice(spec, limits->text, "[" + limit + "]");
  }
  return splice(spec, limits->text.substr(1, 0), limit + ",");
}

void complain(const std::string& message) {
  std::fprintf(stderr, "sockswitch-precreate: %s\n", message.c_str());
}

int fail_start(std::string_view spec, const std::string& reason) {
  const std::string message = "sockswitch: " + presentable(reason);
  complain(message);
  const std::optional<std::string> refused = refuse(spec, message);
  if (!refused) return 1;
  print(*refused);
  return 0;
}

// Returns the exit status.
int go_without_daemon(const Options& options, std::string_view spec, const std::string& reason) {
  const std::optional<json::Value> root = json::parse(spec);
  const auto annotations = root ? json::member(*root, "annotations") : std::nullopt;
  const auto requiring = annotations ? requiring_annotation(*annotations) : std::nullopt;
  if (requiring) {
    return fail_start(
        spec, *requiring + " is set, but no daemon answers at " + options.socket + " (" + reason +
                  "); start it with: systemctl --user start sockswitch, or sockswitch daemon");
  }
  complain(reason + ": the container starts on its fallback network");
  print(spec);
  try {
    if (annotations && asks_for_acceleration(*annotations))
      leave_record(options.socket, *root, reason);
  } catch (const ErrnoError& error) {
    complain(std::string("no record of it: ") + error.what());
  }
  return 0;
}

int run(const Options& options) {
  const std::string spec = read_spec(STDIN_FILENO);
  try {
    const Answer answer = ask_daemon(options, spec);
    if (answer.refusal) return fail_start(spec, *answer.refusal);
    print(answer.spec);
  } catch (const NoAnswer& problem) {
    return go_without_daemon(options, spec, problem.what());
  }
  return 0;
}

std::optional<Options> parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string_view value = argv[i + 1];
    if (name == "--socket") {
      options.socket = value;
    } else if (name == "--timeout-ms") {
      unsigned milliseconds_given = 0;
      const auto parsed =
          std::from_chars(value.data(), value.data() + value.size(), milliseconds_given);
      if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size())
        return std::nullopt;
      options.timeout = milliseconds(milliseconds_given);
    } else {
      return std::nullopt;
    }
  }
  // Arguments come in pairs, after the program's name.
  if (argc % 2 == 0 || !options.socket.starts_with('/')) return std::nullopt;
  return options;
}

}  // namespace
}  // namespace sockswitch

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  const auto options = sockswitch::parse_options(argc, argv);
  if (!options) {
    std::fprintf(
        stderr,
        "usage: sockswitch-precreate --socket ABSOLUTE_PATH [--timeout-ms N] < SPEC > NEW_SPEC\n"
        "Podman's precreate hook: lets the sockswitch daemon edit an OCI spec.\n");
    return sockswitch::kUsageStatus;
  }
  try {
    return sockswitch::run(*options);
  } catch (const std::exception& error) {
    sockswitch::complain(error.what());
    return 1;
  }
}
