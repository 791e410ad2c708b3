#include "switch/epoll_transfer.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <string>

#include "kernel/errno_error.h"
#include "kernel/syscalls.h"

namespace sockswitch {
namespace {

constexpr unsigned kCloseRangeUnshare = 1u << 1;  // CLOSE_RANGE_UNSHARE, Linux 5.9

// The value after `key` on this line, skipping blanks; no value if the key is absent or not a number.
std::optional<std::uint64_t> field(std::string_view line, std::string_view key, int base) {
  auto at = line.find(key);
  if (at == std::string_view::npos) return {};
  at += key.size();
  while (at < line.size() && line[at] == ' ') ++at;
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(line.data() + at, line.data() + line.size(), value, base);
  if (error != std::errc{}) return {};
  return value;
}

}  // namespace

std::optional<EpollEntry> find_epoll_entry(std::string_view fdinfo, int number, std::uint64_t inode) {
  while (!fdinfo.empty()) {
    auto end = fdinfo.find('\n');
    std::string_view line = fdinfo.substr(0, end);
    fdinfo.remove_prefix(end == std::string_view::npos ? fdinfo.size() : end + 1);
    if (!line.starts_with("tfd:")) continue;
    auto descriptor = field(line, "tfd:", 10);
    auto events = field(line, "events:", 16);
    auto data = field(line, "data:", 16);
    auto ino = field(line, "ino:", 16);
    if (!descriptor || !events || !data || !ino) continue;
    if (*descriptor != static_cast<std::uint64_t>(number) || *ino != inode) continue;
    return EpollEntry{static_cast<std::uint32_t>(*events), *data};
  }
  return {};
}

std::vector<int> find_epoll_descriptors(pid_t tid) {
  std::vector<int> found;
  std::string path = "/proc/" + std::to_string(tid) + "/fd";
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (!directory) return found;
  constexpr std::string_view kTarget = "anon_inode:[eventpoll]";
  while (const dirent* entry = ::readdir(directory.get())) {
    char target[kTarget.size() + 1];
    ssize_t length =
        ::readlinkat(::dirfd(directory.get()), entry->d_name, target, sizeof target);
    if (length != static_cast<ssize_t>(kTarget.size()) ||
        std::memcmp(target, kTarget.data(), kTarget.size()) != 0) {
      continue;
    }
    int number = -1;
    auto name_end = entry->d_name + std::strlen(entry->d_name);
    if (std::from_chars(entry->d_name, name_end, number).ec == std::errc{}) found.push_back(number);
  }
  return found;
}

EpollTransfer::EpollTransfer() : thread_([this] { run(); }) {
  ::pthread_setname_np(thread_.native_handle(), "ssw-epoll");
}

EpollTransfer::~EpollTransfer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

int EpollTransfer::add(int epoll, int socket, int number, const EpollEntry& entry) {
  return submit({EPOLL_CTL_ADD, epoll, socket, number, entry});
}

int EpollTransfer::remove(int epoll, int socket, int number) {
  return submit({EPOLL_CTL_DEL, epoll, socket, number, {}});
}

int EpollTransfer::submit(Request request) {
  std::lock_guard one_at_a_time(callers_);
  std::unique_lock lock(mutex_);
  request_ = &request;
  changed_.notify_all();
  changed_.wait(lock, [&] { return request.done; });
  return request.result;
}

void EpollTransfer::run() {
  // From here on this thread has a descriptor table of its own, and an empty one.
  int failed = ::syscall(SYS_close_range, 0, ~0U, kCloseRangeUnshare) == 0 ? 0 : errno;
  // The thread group's leader still has the shared table: what others name is fetched from there.
  if (failed == 0) self_ = UniqueFd(pidfd_open(::getpid(), 0));
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || request_; });
    if (request_) {
      request_->result = failed != 0 ? failed : perform(*request_);
      request_->done = true;
      request_ = nullptr;
      changed_.notify_all();
    }
    if (stopping_) {
      self_.reset();
      return;
    }
  }
}

int EpollTransfer::perform(const Request& request) {
  // Get out of the way of the wanted number; the table holds `self_` and at most two more.
  if (self_.get() == request.number) self_ = UniqueFd(::fcntl(self_.get(), F_DUPFD, request.number + 1));
  UniqueFd epoll(pidfd_getfd(self_.get(), request.epoll));
  if (epoll.get() == request.number) epoll = UniqueFd(::fcntl(epoll.get(), F_DUPFD, request.number + 1));
  UniqueFd socket(pidfd_getfd(self_.get(), request.socket));
  if (!epoll || !socket) return errno;
  if (socket.get() != request.number) {
    if (::dup3(socket.get(), request.number, O_CLOEXEC) < 0) return errno;
    socket.reset(request.number);
  }
  epoll_event event{.events = request.entry.events, .data = {.u64 = request.entry.data}};
  return ::epoll_ctl(epoll.get(), request.operation, request.number, &event) == 0 ? 0 : errno;
}

}  // namespace sockswitch
