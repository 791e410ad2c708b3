// How fallback programs are found.
//
// Candidates are processes of this user whose executable has the program's name. Both are asked in
// the cheapest way there is, because it is asked of every process: the owner of /proc/PID (stat),
// then the link /proc/PID/exe, which only says something about processes that could be looked into
// at all. That also holds for pasta and slirp4netns in their sandboxes (measured on Debian trixie
// and bookworm, kernel 6.18): both are started in Podman's user namespace, which this user owns, so
// every capability over them is this user's, whatever they drop themselves. pasta enters a mount
// and a pid namespace of its own and makes itself undumpable; the owner of its /proc/PID is then
// the root of Podman's user namespace, which is this user. Both stay in the host's network
// namespace and never exec again.
//
// What a candidate is believed for is read while a pidfd is held and counts only if the process
// lives after the last of it, so that all of it is one process's. A process changes its command
// line and name at will: whoever is this user, outside of all containers, is trusted with that.
//
// The tap: the first descriptor whose file is the device /dev/net/tun (both programs hold exactly
// one). TUNGETIFF gives the interface's name, TUNGETDEVNETNS the namespace that the interface is in
// now. Both need the descriptor itself, hence the rights of ptrace(2). Where a security module
// refuses those, fdinfo still has the name, and pasta holds its namespace open: the only namespace
// file among its descriptors is believed to be the tap's. That is less certain, because the tap
// could have been moved elsewhere since; who can do that is root in the namespace where the tap
// was, and would have to be in the other one, too. slirp4netns holds no namespace: not found.
#include "path/fallback_program.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/errno_error.h"
#include "kernel/linux_abi.h"
#include "kernel/process_files.h"
#include "kernel/syscalls.h"

namespace sockswitch {
namespace {

constexpr std::size_t kLongestCommandLine = 1 << 18;
constexpr int kMostDescriptors = 4096;  // looked at for the tap, which is among the first
constexpr unsigned kTunMajor = 10;      // Documentation/admin-guide/devices.txt
constexpr unsigned kTunMinor = 200;

// A link of procfs; no value with errno. Longer ones are cut off, which fits no name of ours.
std::optional<std::string> read_link(int at, const char* path) {
  std::array<char, 512> text{};
  const ssize_t size = ::readlinkat(at, path, text.data(), text.size());
  if (size < 0) return {};
  return std::string(text.data(), static_cast<std::size_t>(size));
}

// At most `limit` bytes and one: a longer result says that there is more.
std::optional<std::string> read_file(int at, const char* path, std::size_t limit) {
  UniqueFd fd(::openat(at, path, O_RDONLY | O_CLOEXEC));
  if (!fd) return {};
  std::string text;
  std::array<char, 4096> part{};
  while (text.size() <= limit) {
    const ssize_t size = ::read(fd.get(), part.data(), part.size());
    if (size < 0) return {};
    if (size == 0) break;
    text.append(part.data(), static_cast<std::size_t>(size));
  }
  return text;
}

// pasta is called passt where one is a link to the other, and has a variant for each instruction
// set: "passt.avx2".
std::optional<FallbackKind> kind_of(std::string_view program) {
  constexpr std::string_view kDeleted = " (deleted)";  // after an upgrade of its package
  if (program.ends_with(kDeleted)) program.remove_suffix(kDeleted.size());
  program.remove_prefix(program.rfind('/') + 1);
  if (program == "slirp4netns") return FallbackKind::kSlirp4netns;
  program = program.substr(0, program.find('.'));
  if (program == "pasta" || program == "passt") return FallbackKind::kPasta;
  return {};
}

std::optional<FallbackKind> kind_of_process(int process) {
  auto program = read_link(process, "exe");
  if (!program) return {};
  return kind_of(*program);
}

std::optional<NetnsIdentity> identity_of(int at, const char* path) {
  struct stat status{};
  if (::fstatat(at, path, &status, 0) != 0) return {};
  return NetnsIdentity{status.st_dev, status.st_ino};
}

bool runs(int pidfd) {
  struct pollfd entry{pidfd, POLLIN, 0};
  return ::poll(&entry, 1, 0) == 0;
}

struct Tap {
  std::string device;
  NetnsIdentity netns;
  UniqueFd namespace_fd;
};

// What the descriptor itself says; no value with errno.
std::optional<Tap> ask_tap(int pidfd, int number) {
  UniqueFd tun(pidfd_getfd(pidfd, number));
  if (!tun) return {};
  struct ifreq request{};
  if (::ioctl(tun.get(), TUNGETIFF, &request) != 0) return {};
  UniqueFd netns(::ioctl(tun.get(), abi::kTunGetDevNetns));
  struct stat status{};
  if (!netns || ::fstat(netns.get(), &status) != 0) return {};
  request.ifr_name[IFNAMSIZ - 1] = '\0';
  return Tap{request.ifr_name, {status.st_dev, status.st_ino}, std::move(netns)};
}

std::optional<std::string> interface_in_fdinfo(int process, int number) {
  const std::string path = "fdinfo/" + std::to_string(number);
  auto text = read_file(process, path.c_str(), 4096);
  constexpr std::string_view kKey = "\niff:\t";
  const auto at = text ? text->find(kKey) : std::string::npos;
  if (at == std::string::npos) return {};
  const auto from = at + kKey.size();
  return text->substr(from, text->find('\n', from) - from);
}

struct Descriptors {
  std::optional<int> tun;
  std::vector<int> namespaces;  // those that are files of nsfs; looked for on demand only
};

// One process that may be a fallback program.
class Candidate {
 public:
  Candidate(int process, pid_t pid, const NetnsIdentity& host)
      : process_(process), pid_(pid), host_(host) {}

  // No value: it is none. A sentence in `problem`: it looks like one and cannot be used.
  std::optional<FallbackProgram> read(std::string& problem) {
    UniqueFd pidfd(pidfd_open(pid_, 0));
    if (!pidfd) return {};
    const auto kind = kind_of_process(process_);
    if (!kind) return {};
    const auto home = identity_of(process_, "ns/net");
    if (home && *home != host_) return {};
    if (!home) return fail(problem, *kind, "its network namespace");
    const char* unread = nullptr;
    auto tap = find_tap(pidfd.get(), unread);
    if (!tap && unread) return fail(problem, *kind, unread);
    if (!tap) return {};
    FallbackProgram program{.kind = *kind,
                            .pid = pid_,
                            .pidfd = std::move(pidfd),
                            .netns = tap->netns,
                            .namespace_fd = std::move(tap->namespace_fd),
                            .device = std::move(tap->device)};
    auto line = read_file(process_, "cmdline", kLongestCommandLine);
    if (!line || line->size() > kLongestCommandLine) line.emplace();
    program.options = classify(*kind, split_command_line(*line));
    if (!runs(program.pidfd.get())) return {};
    return program;
  }

  // The tap of the process behind `pidfd`. No value: it has none, or what `unread` says cannot be
  // read (errno).
  std::optional<Tap> find_tap(int pidfd, const char*& unread) const {
    const Descriptors found = find_descriptors(false);
    if (!found.tun) {
      if (errno != 0) unread = "its descriptors";
      return {};
    }
    auto tap = ask_tap(pidfd, *found.tun);
    if (tap) return tap;
    const int error = errno;
    tap = infer_tap(*found.tun);
    errno = error;
    if (!tap) unread = "its tap";
    return tap;
  }

 private:
  std::nullopt_t fail(std::string& problem, FallbackKind kind, const char* what) const {
    problem = std::string(fallback_name(kind)) + " (process " + std::to_string(pid_) +
              ") cannot be used: " + what + " cannot be read: " + ::strerror(errno);
    return std::nullopt;
  }

  // Of a mount that the program has left, a link has the end only. Where the device is a mount of
  // its own (in a container with a user namespace, the runtime makes it one), nothing is left.
  bool may_be_tun(std::string_view link, int number) const {
    return link.ends_with("/net/tun") || (link == "/" && interface_in_fdinfo(process_, number));
  }

  // errno is 0 where all were looked at.
  Descriptors find_descriptors(bool with_namespaces) const {
    Descriptors found;
    DirectoryStream stream = open_directory(process_, "fd");
    if (!stream) return found;
    int left = kMostDescriptors;
    while (const dirent* entry = ::readdir(stream.get())) {
      const auto number = number_of(entry->d_name);
      if (!number) continue;
      if (--left < 0) break;
      // The link first: what it leads to may be a file whose server does not answer.
      const auto link = read_link(::dirfd(stream.get()), entry->d_name);
      if (!link || (!with_namespaces && !may_be_tun(*link, *number))) continue;
      struct stat status{};
      if (::fstatat(::dirfd(stream.get()), entry->d_name, &status, 0) != 0) continue;
      if (S_ISCHR(status.st_mode) && status.st_rdev == makedev(kTunMajor, kTunMinor)) {
        if (!found.tun) found.tun = number;
        if (!with_namespaces) break;
      }
      if (S_ISREG(status.st_mode) && status.st_dev == host_.device) {
        found.namespaces.push_back(*number);
      }
    }
    errno = 0;
    return found;
  }

  std::optional<Tap> infer_tap(int number) const {
    auto device = interface_in_fdinfo(process_, number);
    const Descriptors found = find_descriptors(true);
    if (!device || found.namespaces.size() != 1) return {};
    const std::string path = "fd/" + std::to_string(found.namespaces.front());
    UniqueFd netns(::openat(process_, path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status{};
    if (!netns || ::fstat(netns.get(), &status) != 0) return {};
    return Tap{*std::move(device), {status.st_dev, status.st_ino}, std::move(netns)};
  }

  int process_;
  pid_t pid_;
  NetnsIdentity host_;
};

// Whether the process is this user's and its executable's name fits.
bool looks_like_one(int proc, const char* pid) {
  struct stat status{};
  if (::fstatat(proc, pid, &status, 0) != 0 || status.st_uid != ::geteuid()) return false;
  const std::string path = std::string(pid) + "/exe";
  auto program = read_link(proc, path.c_str());
  return program && kind_of(*program);
}

}  // namespace

bool is_alive(const FallbackProgram& program) { return runs(program.pidfd.get()); }

bool read_again(FallbackProgram& program) {
  const auto host = identity_of(AT_FDCWD, "/proc/thread-self/ns/net");
  const std::string path = "/proc/" + std::to_string(program.pid);
  UniqueFd process(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!host || !process) return false;
  const char* unread = nullptr;
  auto tap = Candidate(process.get(), program.pid, *host).find_tap(program.pidfd.get(), unread);
  if (!tap || tap->netns != program.netns || !is_alive(program)) return false;
  program.device = std::move(tap->device);
  return true;
}

FallbackSearch find_fallback_programs(std::vector<std::string>* problems, pid_t after, int most) {
  FallbackSearch search{.after = after, .programs = {}, .left_at = {}};
  auto report = [&](std::string problem) {
    if (problems && !problem.empty()) problems->push_back(std::move(problem));
  };
  DirectoryStream proc = open_directory(AT_FDCWD, "/proc");
  const auto host = identity_of(AT_FDCWD, "/proc/thread-self/ns/net");
  if (!proc || !host) {
    report(std::string("/proc cannot be read: ") + ::strerror(errno));
    search.left_at = after;
    return search;
  }
  const int proc_fd = ::dirfd(proc.get());
  pid_t last = after;
  while (const dirent* entry = ::readdir(proc.get())) {
    const auto pid = number_of(entry->d_name);
    if (!pid || *pid <= after) continue;
    if (--most < 0) {
      search.left_at = last;
      break;
    }
    last = *pid;
    if (!looks_like_one(proc_fd, entry->d_name)) continue;
    UniqueFd process(::openat(proc_fd, entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!process) continue;
    std::string problem;
    auto program = Candidate(process.get(), *pid, *host).read(problem);
    if (program) search.programs.push_back(*std::move(program));
    report(std::move(problem));
  }
  return search;
}

}  // namespace sockswitch
