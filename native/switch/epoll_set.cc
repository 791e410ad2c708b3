#include "switch/epoll_set.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <string>

#include "base/errno_error.h"

namespace sockswitch {
namespace {

// The value after `key` on this line, skipping blanks; no value if the key is absent or not a
// number.
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

// Files that an epoll set remembers under one number, because a duplicate keeps them open. A
// program could make thousands of them, and the kernel counts through all for each question.
constexpr std::uint32_t kMaxSameNumber = 64;

// Puts files at a descriptor number of this thread's table, and what was there back at the end.
class BorrowedNumber {
 public:
  explicit BorrowedNumber(int number)
      : number_(number), saved_(::fcntl(number, F_DUPFD_CLOEXEC, number + 1)) {}
  ~BorrowedNumber() {
    if (!used_) return;
    if (saved_) {
      ::dup3(saved_.get(), number_, O_CLOEXEC);
    } else {
      ::close(number_);
    }
  }
  BorrowedNumber(const BorrowedNumber&) = delete;
  BorrowedNumber& operator=(const BorrowedNumber&) = delete;
  // 0 or an errno.
  int put(int fd) {
    fd = present(fd);
    if (::dup3(fd, number_, O_CLOEXEC) < 0) return errno;
    used_ = true;
    return 0;
  }
  // The number of what was `fd` before.
  int present(int fd) const { return fd == number_ ? saved_.get() : fd; }

 private:
  int number_;
  UniqueFd saved_;
  bool used_ = false;
};

// What is read of a set's fdinfo here; an entry takes some 100 bytes.
constexpr std::size_t kMaxText = std::size_t{1} << 20U;

// The inode that all descriptors without one of their own share, epoll sets among them.
std::uint64_t anonymous_inode() {
  static const std::uint64_t inode = [] {
    UniqueFd set(::epoll_create1(EPOLL_CLOEXEC));
    struct stat status{};
    if (!set || ::fstat(set.get(), &status) != 0) throw_errno("epoll_create1");
    return static_cast<std::uint64_t>(status.st_ino);
  }();
  return inode;
}

}  // namespace

std::optional<EpollEntry> find_epoll_entry(std::string_view fdinfo, int number,
                                           std::uint64_t inode) {
  while (!fdinfo.empty()) {
    auto end = fdinfo.find('\n');
    std::string_view line = fdinfo.substr(0, end);
    fdinfo.remove_prefix(end == std::string_view::npos ? fdinfo.size() : end + 1);
    if (!line.starts_with("tfd:")) continue;
    auto descriptor = field(line, "tfd:", 10);
    if (!descriptor || *descriptor != static_cast<std::uint64_t>(number)) continue;
    auto events = field(line, "events:", 16);
    auto data = field(line, "data:", 16);
    auto ino = field(line, "ino:", 16);
    if (!events || !data || !ino || *ino != inode) continue;
    return EpollEntry{static_cast<std::uint32_t>(*events), *data};
  }
  return {};
}

Membership epoll_membership_by_fdinfo(pid_t tid, int epoll, int socket, int number) {
  std::string path = "/proc/" + std::to_string(tid) + "/fdinfo/" + std::to_string(epoll);
  UniqueFd info(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!info && errno == ENOENT) return Membership::kNoEpoll;
  if (!info) throw_errno("open", path);
  std::string text;
  std::array<char, 16384> part{};
  ssize_t size = 0;
  while ((size = ::read(info.get(), part.data(), part.size())) > 0) {
    text.append(part.data(), static_cast<std::size_t>(size));
    if (text.size() > kMaxText) return Membership::kPresent;  // or not: who reads all of it decides
  }
  if (size < 0) throw_errno("read", path);
  // The descriptor's own inode, before what the set holds. "ino": Linux 5.14.
  std::string_view own = std::string_view(text).substr(0, text.find("\ntfd:"));
  if (field(own, "\nino:\t", 10) != anonymous_inode()) return Membership::kNoEpoll;
  struct stat status{};
  if (::fstat(socket, &status) != 0) throw_errno("fstat");
  return find_epoll_entry(text, number, status.st_ino) ? Membership::kPresent : Membership::kAbsent;
}

Membership epoll_membership(pid_t tid, int epoll, int socket, int number) {
  for (std::uint32_t nth = 0; nth < kMaxSameNumber; ++nth) {
    thread_local const auto self = static_cast<pid_t>(::syscall(SYS_gettid));
    kcmp_epoll_slot slot{static_cast<std::uint32_t>(epoll), static_cast<std::uint32_t>(number),
                         nth};
    long order = ::syscall(SYS_kcmp, self, tid, KCMP_EPOLL_TFD, socket, &slot);
    if (order == 0) return Membership::kPresent;
    if (order > 0) continue;  // another file that once had this number
    if (errno == ENOENT) return Membership::kAbsent;
    if (errno == EINVAL || errno == EBADF) return Membership::kNoEpoll;
    if (errno == EPERM || errno == ENOSYS) {
      return epoll_membership_by_fdinfo(tid, epoll, socket, number);
    }
    throw_errno("kcmp");
  }
  return Membership::kPresent;  // or not: the set's fdinfo decides
}

std::vector<int> find_epoll_descriptors(pid_t tid, int fdinfo_directory, int socket) {
  std::vector<int> found;
  int copy = ::openat(fdinfo_directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return found;
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(copy), ::closedir);
  if (!directory) return found;
  while (const dirent* entry = ::readdir(directory.get())) {
    int number = -1;
    const char* name_end = entry->d_name + std::strlen(entry->d_name);
    if (std::from_chars(entry->d_name, name_end, number).ec != std::errc{}) continue;
    if (epoll_membership(tid, number, socket, 0) != Membership::kNoEpoll) found.push_back(number);
  }
  return found;
}

int epoll_move(std::span<const EpollRegistration> registrations, int from, int to, int number) {
  if (registrations.empty()) return 0;
  BorrowedNumber borrowed(number);
  if (int error = borrowed.put(to); error != 0) return error;
  std::size_t added = 0;
  int error = 0;
  for (const EpollRegistration& one : registrations) {
    epoll_event event{.events = one.entry.events, .data = {.u64 = one.entry.data}};
    if (::epoll_ctl(borrowed.present(one.set.get()), EPOLL_CTL_ADD, number, &event) != 0) {
      error = errno;
      break;
    }
    ++added;
  }
  // Out of them again goes the one that is not to be there: if all went well, the old one.
  if (error == 0) {
    added = registrations.size();
    if (borrowed.put(from) != 0) return 0;  // it reports POLLHUP until it is closed
  }
  for (const EpollRegistration& one : registrations.first(added)) {
    epoll_event none{};
    ::epoll_ctl(borrowed.present(one.set.get()), EPOLL_CTL_DEL, number, &none);
  }
  return error;
}

}  // namespace sockswitch
