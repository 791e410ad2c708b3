#include "programs/keeper/runtime_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>

#include "kernel/unix_socket.h"

namespace sockswitch::keeper {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLockTime{500};
constexpr std::chrono::milliseconds kLockPause{10};
constexpr int kBacklog = 1024;

}  // namespace

RuntimeDirectory::RuntimeDirectory(std::string path) : path_(std::move(path)) {
  UniqueFd directory(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) throw_errno("open", path_);
  struct stat status = {};
  if (::fstat(directory.get(), &status) != 0) throw_errno("fstat", path_);
  if (status.st_uid != ::geteuid()) throw std::runtime_error(path_ + " belongs to another user");
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    throw std::runtime_error(path_ + " is open to other users; set its mode: chmod 0700 " + path_);
  }
  lock_ = UniqueFd(
      ::openat(directory.get(), "keeper.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock_) refuse("keeper.lock", ErrnoError(errno, "open", path_ + "/keeper.lock"));
  take_lock();
}

RuntimeDirectory::~RuntimeDirectory() {
  for (const std::string& socket : sockets_) ::unlink(socket.c_str());
}

UniqueFd RuntimeDirectory::listen(const std::string& name, int type, UniqueFd inherited) {
  const std::string path = path_of(name);
  try {
    UniqueFd fd = serves(inherited.get(), path) ? std::move(inherited)
                                                : unix_listen(path, type | SOCK_NONBLOCK, kBacklog);
    sockets_.push_back(path);
    return fd;
  } catch (const ErrnoError& error) {
    refuse(name, error);
  }
}

// One that is ending closes its sockets before it lets go of the lock, and a daemon that sees them
// closed starts the next one at once.
void RuntimeDirectory::take_lock() {
  const Clock::time_point deadline = Clock::now() + kLockTime;
  while (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) throw_errno("flock", path_ + "/keeper.lock");
    if (Clock::now() >= deadline)
      throw std::runtime_error("another keeper already serves " + path_);
    std::this_thread::sleep_for(kLockPause);
  }
}

// Says what to do about a name that cannot be had; about anything else what the kernel says.
void RuntimeDirectory::refuse(const std::string& name, const ErrnoError& error) const {
  const std::string path = path_of(name);
  switch (error.error()) {
    case EISDIR:
    case ELOOP:
    case ENXIO:
    case ENOTSOCK:
    case EACCES:
      throw std::runtime_error(path + " was not made by sockswitch (" + error.code() +
                               "): remove it, and start again");
    case EADDRINUSE:
      throw std::runtime_error(path + " is served by another program: end that (\"fuser " + path +
                               "\" tells which), and start again");
    default:
      throw error;
  }
}

// Whether `fd` listens on `path`, which is still there. Nobody but the holder of the lock replaces
// sockets, so the name still means this one.
bool RuntimeDirectory::serves(int fd, const std::string& path) {
  struct sockaddr_un address = {};
  socklen_t length = sizeof(address);
  int listening = 0;
  socklen_t size = sizeof(listening);
  struct stat status = {};
  return fd >= 0 && ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 &&
         listening != 0 &&
         ::getsockname(fd, reinterpret_cast<struct sockaddr*>(&address), &length) == 0 &&
         address.sun_family == AF_UNIX && path == address.sun_path &&
         ::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

}  // namespace sockswitch::keeper
