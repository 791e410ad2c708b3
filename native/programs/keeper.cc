// sockswitch-keeper: keeps the seccomp listeners of all containers while daemons come and go.
//
// A listener that nobody holds any more makes every trapped call in its container fail with ENOSYS.
// So each one is received here first and held until its last process has ended; the daemon works on
// duplicates.
//
// One thread, one epoll set, no blocking call once it serves. Two sockets in its runtime directory:
//
//   listener.sock  SOCK_STREAM: OCI runtimes. A peer sends one ContainerProcessState (a JSON
//                  object) with one descriptor. States of a peer:
//                    silent   connected, nothing sent yet. No time limit: crun connects when it
//                             creates a container and, under no_new_privileges, sends when it is
//                             started, maybe days later.
//                    talking  something was sent. The object must be complete within kTalkTime.
//                    done     complete: becomes a held listener. The peer need not hang up for
//                             that: crun keeps its end open as long as it lives.
//                  Whatever else a peer does ends in a refusal: its descriptors are closed and
//                  the daemon is told.
//   keeper.sock    SOCK_SEQPACKET: the daemon, one at a time; messages in keeper_protocol.h. A
//                  daemon that connects is sent kHello, all held listeners in order of arrival,
//                  kReady, then what comes. Nothing is queued for it: the listeners themselves and
//                  a cursor (`next_to_send_`) are the queue, so a slow daemon costs no memory.
//
// With each listener goes a record (kernel/listener_record.h), made here: it has the state, and
// what one daemon leaves to the next. The keeper itself may be replaced, too:
//
//   by the daemon  when this one has died, or is of another version: the new one is given the
//                  listening socket, on which runtimes went on connecting, as an inherited
//                  descriptor, and the listeners by kHold
//   by systemd     where it runs as a unit: all of these are in the unit's descriptor store, under
//                  the listener's id
//
// A held listener ends with EPOLLHUP (no process has the filter any more) or kForget. Its
// notifications do not wake the keeper, because epoll is asked for no event but that.
//
// The daemon may also give it descriptors to keep (reserved ports), which the next daemon gets back
// first. They end with kDrop.
//
// Limits: kMaxPeers connections (others wait in the backlog, as they do when descriptors run short:
// each connection reserves one more descriptor for the listener it may bring), kMaxStateBytes a
// state, kMaxRefusals remembered refusals and as many reported in kRefusalWindow. Peers of another
// user are refused.
//
// One keeper serves a directory: it holds a lock on keeper.lock as long as it lives, and at its
// start waits a moment for one that may be ending. Sockets that are found with the lock taken are
// left-overs and are replaced. The lock file stays: removing it would race.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "kernel/errno_error.h"
#include "kernel/listener_record.h"
#include "kernel/unix_socket.h"
#include "programs/descriptor_store.h"
#include "programs/keeper_protocol.h"

namespace sockswitch {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kTalkTime{5};
constexpr milliseconds kLockTime{500};
constexpr milliseconds kLockPause{10};
constexpr std::size_t kMaxPeers = 512;
constexpr std::size_t kMaxRefusals = 32;
constexpr seconds kRefusalWindow{10};
// When the kernel is short of something that no event announces, it is asked again after this time.
constexpr milliseconds kRetryTime{100};
constexpr std::size_t kReceiveBytes = std::size_t{16} * 1024;
// Reserved ports; each takes a descriptor.
constexpr std::size_t kMaxKept = 16384;
constexpr std::size_t kMaxKeptTextBytes = 1024;
constexpr int kBacklog = 1024;
// Descriptors beside peers and listeners: standard streams, directory, lock, sockets, daemon, a
// newcomer.
constexpr std::size_t kOwnDescriptors = 16;
constexpr int kUsageStatus = 2;
constexpr int kReplacedStatus = 75;  // EX_TEMPFAIL: systemd starts the next one
constexpr const char* kListenerSocketName = "listener.sock";

// Tells where a JSON object ends, by counting brackets outside strings; its grammar is the daemon's
// matter.
class ObjectFrame {
 public:
  enum class State { kIncomplete, kComplete, kRubbish };

  State feed(std::string_view bytes) {
    for (const char c : bytes) {
      if (!advance(c)) return State::kRubbish;
    }
    return started_ && depth_ == 0 ? State::kComplete : State::kIncomplete;
  }

 private:
  bool advance(char c) {
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
      return true;
    }
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (depth_ == 0) {
      if (space) return true;
      if (started_ || c != '{') return false;
    }
    if (c == '"') in_string_ = true;
    if (c == '{' || c == '[') ++depth_;
    if (c == '}' || c == ']') --depth_;
    started_ = true;
    return true;
  }

  std::size_t depth_ = 0;
  bool started_ = false;
  bool in_string_ = false;
  bool escaped_ = false;
};

// Why what a peer sent is not taken, in words for the daemon's log.
class Refused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Peer {
  UniqueFd socket;
  std::string state;
  UniqueFd listener;
  ObjectFrame frame;
  std::optional<Clock::time_point> deadline;  // since when it talks, and kTalkTime
};

struct Held {
  UniqueFd listener;
  UniqueFd record;
};

// A reserved port, as the daemon gave it.
struct Kept {
  UniqueFd descriptor;
  std::string text;
};

// What ids begin with: see keeper_protocol.h.
std::uint64_t microseconds_since_boot() {
  struct timespec now = {};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1'000;
}

bool is_seccomp_listener(int fd) {
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  std::array<char, 64> target = {};
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  return length > 0 && std::string_view(target.data(), static_cast<std::size_t>(length)) ==
                           "anon_inode:seccomp notify";
}

// epoll tells what an event is about by these 64 bits: a source, and a peer's or listener's number.
enum class Source : std::uint64_t {
  kSignals = 1,
  kListenerSocket,
  kDaemonSocket,
  kDaemon,
  kPeer,
  kHeld
};
constexpr unsigned kSourceShift = 56;

std::uint64_t tag(Source source, std::uint64_t id = 0) {
  return (static_cast<std::uint64_t>(source) << kSourceShift) | id;
}

class Poller {
 public:
  Poller() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (!fd_) throw_errno("epoll_create1");
  }

  void add(int fd, std::uint32_t events, std::uint64_t data) {
    control(EPOLL_CTL_ADD, fd, events, data);
  }
  void modify(int fd, std::uint32_t events, std::uint64_t data) {
    control(EPOLL_CTL_MOD, fd, events, data);
  }
  // Needed before a descriptor is closed whose file lives on in another process.
  void remove(int fd) { control(EPOLL_CTL_DEL, fd, 0, 0); }

  template <std::size_t N>
  std::size_t wait(std::array<struct epoll_event, N>& events, int timeout_ms) {
    const int count = ::epoll_wait(fd_.get(), events.data(), static_cast<int>(N), timeout_ms);
    if (count < 0 && errno != EINTR) throw_errno("epoll_wait");
    return static_cast<std::size_t>(std::max(count, 0));
  }

 private:
  void control(int operation, int fd, std::uint32_t events, std::uint64_t data) {
    struct epoll_event event = {};
    event.events = events;
    event.data.u64 = data;
    if (::epoll_ctl(fd_.get(), operation, fd, &event) != 0) throw_errno("epoll_ctl");
  }

  UniqueFd fd_;
};

// The runtime directory as ours alone: checked, locked, and cleared of our sockets in the end.
class RuntimeDirectory {
 public:
  explicit RuntimeDirectory(std::string path) : path_(std::move(path)) {
    UniqueFd directory(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory) throw_errno("open", path_);
    struct stat status = {};
    if (::fstat(directory.get(), &status) != 0) throw_errno("fstat", path_);
    if (status.st_uid != ::geteuid()) throw std::runtime_error(path_ + " belongs to another user");
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
      throw std::runtime_error(path_ + " is open to other users; set its mode: chmod 0700 " +
                               path_);
    }
    lock_ = UniqueFd(
        ::openat(directory.get(), "keeper.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!lock_) refuse("keeper.lock", ErrnoError(errno, "open", path_ + "/keeper.lock"));
    take_lock();
  }
  RuntimeDirectory(const RuntimeDirectory&) = delete;
  RuntimeDirectory& operator=(const RuntimeDirectory&) = delete;
  RuntimeDirectory(RuntimeDirectory&&) = delete;
  RuntimeDirectory& operator=(RuntimeDirectory&&) = delete;

  // Removes what it made while it still has the lock.
  ~RuntimeDirectory() {
    for (const std::string& socket : sockets_) ::unlink(socket.c_str());
  }

  // `inherited`: a listening socket of that name that another keeper has left, if there is one.
  UniqueFd listen(const std::string& name, int type, UniqueFd inherited = {}) {
    const std::string path = path_ + "/" + name;
    try {
      UniqueFd fd = serves(inherited.get(), path)
                        ? std::move(inherited)
                        : unix_listen(path, type | SOCK_NONBLOCK, kBacklog);
      sockets_.push_back(path);
      return fd;
    } catch (const ErrnoError& error) {
      refuse(name, error);
    }
  }

  // Leaves the sockets' files where they are.
  void leave_sockets() { sockets_.clear(); }

 private:
  // One that is ending closes its sockets before it lets go of the lock, and a daemon that sees
  // them closed starts the next one at once.
  void take_lock() {
    const Clock::time_point deadline = Clock::now() + kLockTime;
    while (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) throw_errno("flock", path_ + "/keeper.lock");
      if (Clock::now() >= deadline)
        throw std::runtime_error("another keeper already serves " + path_);
      std::this_thread::sleep_for(kLockPause);
    }
  }

  // Says what to do about a name that cannot be had; about anything else what the kernel says.
  [[noreturn]] void refuse(const std::string& name, const ErrnoError& error) const {
    const std::string path = path_ + "/" + name;
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

  // Whether `fd` listens on `path`, which is still there. Nobody but the holder of the lock
  // replaces sockets, so the name still means this one.
  static bool serves(int fd, const std::string& path) {
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

  std::string path_;
  UniqueFd lock_;
  std::vector<std::string> sockets_;
};

void raise_descriptor_limit() {
  struct rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// Not remembered: prlimit(1) may change it while we run.
std::size_t descriptor_limit() {
  struct rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("getrlimit");
  return limit.rlim_cur;
}

UniqueFd termination_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw_errno("signalfd");
  return fd;
}

// Why things were refused, until a daemon wants to know: the first ones of a window, and a count of
// the others.
class Refusals {
 public:
  void add(std::string reason) {
    const Clock::time_point now = Clock::now();
    if (now - window_start_ >= kRefusalWindow) {
      window_start_ = now;
      added_in_window_ = 0;
    }
    if (waiting_.size() >= kMaxRefusals || added_in_window_ >= kMaxRefusals) {
      ++suppressed_;
      return;
    }
    ++added_in_window_;
    if (suppressed_ > 0)
      reason += " (and " + std::to_string(std::exchange(suppressed_, 0)) + " more before it)";
    waiting_.push_back(std::move(reason));
  }

  bool empty() const { return waiting_.empty(); }
  const std::string& front() const { return waiting_.front(); }
  void pop() { waiting_.pop_front(); }

 private:
  std::deque<std::string> waiting_;
  Clock::time_point window_start_ = Clock::now();
  std::size_t added_in_window_ = 0;
  std::size_t suppressed_ = 0;
};

// One of the two listening sockets, with its accepting on or off.
struct Door {
  UniqueFd socket;
  Source source;
  bool open = true;
  Clock::time_point closed_until;  // no second attempt before, while closed
};

class Keeper {
 public:
  // `listening`: see RuntimeDirectory::listen(); `stored`: what systemd kept for us.
  Keeper(const std::string& runtime_directory, UniqueFd listening,
         std::vector<DescriptorStore::Entry> stored)
      : directory_(runtime_directory),
        signals_(termination_signals()),
        runtimes_{
            .socket = directory_.listen(kListenerSocketName, SOCK_STREAM, std::move(listening)),
            .source = Source::kListenerSocket},
        daemons_{.socket = directory_.listen("keeper.sock", SOCK_SEQPACKET),
                 .source = Source::kDaemonSocket} {
    raise_descriptor_limit();
    poller_.add(signals_.get(), EPOLLIN, tag(Source::kSignals));
    poller_.add(runtimes_.socket.get(), EPOLLIN, tag(runtimes_.source));
    poller_.add(daemons_.socket.get(), EPOLLIN, tag(daemons_.source));
    const std::array<int, 1> listening_fd = {runtimes_.socket.get()};
    store_.remove(kListenerSocketName);
    store_.add(kListenerSocketName, listening_fd);
    take_back(std::move(stored));
    store_.ready();
  }

  void run() {
    std::array<struct epoll_event, 64> events = {};
    while (!ending_) {
      const std::size_t count = poller_.wait(events, next_timeout_ms());
      for (std::size_t i = 0; i < count && !ending_; ++i) {
        try {
          dispatch(events.at(i));
        } catch (const ErrnoError& error) {
          refusals_.add(error.what());  // what goes wrong with one must not end the others
        }
      }
      expire_peers();
      reopen(runtimes_, has_room_for_peer());
      reopen(daemons_, true);
      serve_daemon();
      if (end_when_idle_ && held_.empty() && peers_.empty() && !daemon_) ending_ = true;
    }
  }

  // Listeners that nobody has any more when this object goes.
  bool handed_over() const { return handed_over_; }
  std::size_t lost() const { return handed_over_ ? 0 : held_.size(); }

 private:
  void dispatch(const struct epoll_event& event) {
    const std::uint64_t id = event.data.u64 & ((std::uint64_t{1} << kSourceShift) - 1);
    switch (static_cast<Source>(event.data.u64 >> kSourceShift)) {
      case Source::kSignals:
        ending_ = true;
        break;
      case Source::kListenerSocket:
        accept_peers();
        break;
      case Source::kDaemonSocket:
        accept_daemons();
        break;
      case Source::kDaemon:
        // EPOLLOUT alone: serve_daemon goes on where it stopped.
        if ((event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) hear_daemon();
        break;
      case Source::kPeer:
        hear_peer(id);
        break;
      case Source::kHeld:
        release(id);
        break;
    }
  }

  // --- accepting, and not accepting while something is short ---

  // Accepts one connection; nothing where there is none, or none can be taken now.
  std::optional<UniqueFd> accept_from(Door& door) {
    while (true) {
      UniqueFd fd(::accept4(door.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd) return fd;
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN) return std::nullopt;
      if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
        throw_errno("accept4");
      shut(door, Clock::now() + kRetryTime);
      return std::nullopt;
    }
  }

  // A connection that waits in the backlog would wake an epoll that still looks.
  void shut(Door& door, Clock::time_point until) {
    poller_.modify(door.socket.get(), 0, tag(door.source));
    door.open = false;
    door.closed_until = until;
  }

  void reopen(Door& door, bool has_room) {
    if (door.open || !has_room || Clock::now() < door.closed_until) return;
    poller_.modify(door.socket.get(), EPOLLIN, tag(door.source));
    door.open = true;
  }

  bool is_ours(int socket, const char* door) {
    const uid_t uid = peer_credentials(socket).uid;
    if (uid == ::geteuid()) return true;
    refusals_.add("a process of user " + std::to_string(uid) + " connected to " + door);
    return false;
  }

  // --- OCI runtimes ---

  bool has_room_for_peer() const {
    return peers_.size() < kMaxPeers &&
           kOwnDescriptors + 2 * held_.size() + kept_.size() + 3 * (peers_.size() + 1) <=
               descriptor_limit();
  }

  void accept_peers() {
    while (has_room_for_peer()) {
      std::optional<UniqueFd> socket = accept_from(runtimes_);
      if (!socket) return;
      if (!is_ours(socket->get(), "listener.sock")) continue;
      const std::uint64_t id = next_id_++;
      poller_.add(socket->get(), EPOLLIN, tag(Source::kPeer, id));
      peers_[id].socket = std::move(*socket);
    }
    shut(runtimes_, Clock::now());
    if (peers_.size() < kMaxPeers) {
      refusals_.add(
          "whatever comes next: the keeper can open no more files (RLIMIT_NOFILE), so it waits");
    }
  }

  void hear_peer(std::uint64_t id) {
    const auto found = peers_.find(id);
    if (found == peers_.end()) return;
    try {
      if (!take(found->second, receive_message(found->second.socket.get(), kReceiveBytes))) return;
      hold_new(found->second);
    } catch (const Refused& refused) {
      refusals_.add(refused.what());
    } catch (const ErrnoError& error) {
      if (error.error() == EAGAIN) return;
      refusals_.add(error.what());
    }
    peers_.erase(found);
  }

  // Adds what a peer sent to what it has sent before; true when that is complete.
  static bool take(Peer& peer, Message message) {
    if (message.truncated) throw Refused("more descriptors came than can be taken");
    if (message.fds.size() + (peer.listener ? 1 : 0) > 1)
      throw Refused("two descriptors came instead of one");
    if (message.end) {
      throw Refused(peer.deadline ? "the state ended before it was complete"
                                  : "a peer left without sending anything");
    }
    if (!message.fds.empty()) peer.listener = std::move(message.fds.front());
    if (!peer.deadline) peer.deadline = Clock::now() + kTalkTime;
    if (peer.state.size() + message.bytes.size() > kMaxStateBytes)
      throw Refused("the state is too long");
    peer.state += message.bytes;
    switch (peer.frame.feed(message.bytes)) {
      case ObjectFrame::State::kRubbish:
        throw Refused("the state is not one JSON object");
      case ObjectFrame::State::kIncomplete:
        return false;
      case ObjectFrame::State::kComplete:
        return true;
    }
    return false;
  }

  void hold_new(Peer& peer) {
    if (!peer.listener) throw Refused("the state came without a descriptor");
    if (!is_seccomp_listener(peer.listener.get()))
      throw Refused("the descriptor is no seccomp listener");
    UniqueFd record = make_record(peer.state);
    const std::uint64_t id = next_id_++;
    const std::array<int, 2> fds = {peer.listener.get(), record.get()};
    hold(id, std::move(peer.listener), std::move(record));
    store_.add(std::to_string(id), fds);
  }

  void hold(std::uint64_t id, UniqueFd listener, UniqueFd record) {
    poller_.add(listener.get(), 0, tag(Source::kHeld, id));
    held_.emplace(id, Held{std::move(listener), std::move(record)});
  }

  // From systemd's store: a listener and a record under each id. What does not go with anything, as
  // the record of a container that has ended meanwhile, is closed and forgotten.
  void take_back(std::vector<DescriptorStore::Entry> stored) {
    std::map<std::string, Held> found;
    for (DescriptorStore::Entry& entry : stored) {
      Held& held = found[entry.name];
      (is_seccomp_listener(entry.fd.get()) ? held.listener : held.record) = std::move(entry.fd);
    }
    for (auto& [name, held] : found) {
      std::uint64_t id = 0;
      const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
      const bool whole = error == std::errc() && end == name.data() + name.size();
      if (whole && id < next_id_ && held.listener && held.record) {
        hold(id, std::move(held.listener), std::move(held.record));
      } else if (name != kListenerSocketName) {
        store_.remove(name);
      }
    }
  }

  void expire_peers() {
    const Clock::time_point now = Clock::now();
    for (auto peer = peers_.begin(); peer != peers_.end();) {
      if (peer->second.deadline && *peer->second.deadline <= now) {
        refusals_.add("the state was not complete in time");
        peer = peers_.erase(peer);
      } else {
        ++peer;
      }
    }
  }

  void release(std::uint64_t id) {
    const auto found = held_.find(id);
    if (found == held_.end()) return;
    poller_.remove(found->second.listener.get());
    held_.erase(found);
    store_.remove(std::to_string(id));
  }

  // --- the daemon ---

  void accept_daemons() {
    while (std::optional<UniqueFd> socket = accept_from(daemons_)) {
      if (!is_ours(socket->get(), "keeper.sock")) continue;
      // The end of the former one may stand later in this round's events.
      if (daemon_ && has_hung_up(daemon_.get())) hear_daemon();
      if (daemon_) {
        turn_away(socket->get());
        continue;
      }
      poller_.add(socket->get(), EPOLLIN, tag(Source::kDaemon));
      daemon_ = std::move(*socket);
      end_when_idle_ = false;
    }
  }

  static bool has_hung_up(int socket) {
    struct pollfd request = {.fd = socket, .events = POLLRDHUP, .revents = 0};
    return ::poll(&request, 1, 0) > 0;
  }

  static void turn_away(int socket) {
    try {
      send(socket, {.type = KeeperMessage::kBusy}, {}, {});
    } catch (const ErrnoError&) {  // NOLINT(bugprone-empty-catch): it has left already
    }
  }

  void drop_daemon() {
    daemon_.reset();
    hello_sent_ = false;
    next_to_send_ = 0;
    next_kept_ = 0;
    kept_sent_ = false;
    ready_sent_ = false;
    awaiting_room_ = false;
    send_again_at_.reset();
  }

  // Takes all that it has said; where it has left, to its last word.
  void hear_daemon() {
    try {
      while (daemon_) {
        Message message = receive_message(daemon_.get(), sizeof(KeeperHeader) + kMaxKeptTextBytes);
        KeeperHeader header;
        if (message.end || message.bytes.size() < sizeof(header)) return drop_daemon();
        std::memcpy(&header, message.bytes.data(), sizeof(header));
        if (message.truncated || header.magic != kKeeperMagic ||
            header.length != message.bytes.size() - sizeof(header)) {
          return drop_daemon();
        }
        obey(header, std::move(message));
      }
    } catch (const ErrnoError& error) {
      if (error.error() != EAGAIN) drop_daemon();
    }
  }

  void obey(const KeeperHeader& header, Message message) {
    switch (header.type) {
      case KeeperMessage::kForget:
        return release(header.id);
      case KeeperMessage::kHold:
        return hold_old(header.id, std::move(message.fds));
      case KeeperMessage::kKeep:
        return keep(header.id, std::move(message));
      case KeeperMessage::kDrop:
        kept_.erase(header.id);
        return;
      case KeeperMessage::kShutdown:
        return shut_down(static_cast<KeeperShutdown>(header.id));
      default:
        drop_daemon();
    }
  }

  // Without room it is not kept: it then ends with the daemon, as it would without us.
  void keep(std::uint64_t id, Message message) {
    if (message.fds.size() != 1) return drop_daemon();
    if (kept_.size() >= kMaxKept) return;
    kept_.insert_or_assign(id, Kept{.descriptor = std::move(message.fds.front()),
                                    .text = message.bytes.substr(sizeof(KeeperHeader))});
  }

  // Ids of other keepers lie below ours, and the daemon has this one: it is not to be sent again.
  void hold_old(std::uint64_t id, std::vector<UniqueFd> fds) {
    if (!ready_sent_ || fds.size() != 2 || !is_seccomp_listener(fds[0].get()) || id >= next_id_) {
      drop_daemon();
      return;
    }
    next_to_send_ = std::max(next_to_send_, id + 1);
    if (held_.contains(id)) return;
    const std::array<int, 2> numbers = {fds[0].get(), fds[1].get()};
    hold(id, std::move(fds[0]), std::move(fds[1]));
    store_.add(std::to_string(id), numbers);
  }

  void shut_down(KeeperShutdown how) {
    if (how == KeeperShutdown::kWhenIdle) {
      end_when_idle_ = true;
      return;
    }
    ending_ = true;
    handed_over_ = how == KeeperShutdown::kReplaced;
    if (handed_over_) directory_.leave_sockets();
  }

  // Sends all that the daemon has not got yet and its socket takes.
  void serve_daemon() {
    if (!daemon_ || (send_again_at_ && Clock::now() < *send_again_at_)) return;
    send_again_at_.reset();
    try {
      const bool all_sent =
          send_hello() && send_kept() && send_listeners() && send_ready() && send_refusals();
      if (all_sent == awaiting_room_) {
        poller_.modify(daemon_.get(), all_sent ? EPOLLIN : EPOLLIN | EPOLLOUT,
                       tag(Source::kDaemon));
        awaiting_room_ = !all_sent;
      }
    } catch (const ErrnoError& error) {
      // Too many descriptors in flight (ETOOMANYREFS) or no memory: it has to read some first.
      if (error.error() == ETOOMANYREFS || error.error() == ENOBUFS || error.error() == ENOMEM) {
        send_again_at_ = Clock::now() + kRetryTime;
      } else {
        hear_daemon();
        drop_daemon();
      }
    }
  }

  // What an earlier daemon left; nothing is added to that by this one.
  bool send_kept() {
    while (!kept_sent_) {
      const auto next = kept_.lower_bound(next_kept_);
      if (next == kept_.end()) {
        kept_sent_ = true;
        break;
      }
      const std::array<int, 1> fds = {next->second.descriptor.get()};
      const KeeperHeader header = {.type = KeeperMessage::kKept, .id = next->first};
      if (!send(daemon_.get(), header, next->second.text, fds)) return false;
      next_kept_ = next->first + 1;
    }
    return true;
  }

  bool send_hello() {
    if (hello_sent_) return true;
    const std::array<int, 1> fds = {runtimes_.socket.get()};
    hello_sent_ =
        send(daemon_.get(), {.type = KeeperMessage::kHello, .id = kKeeperVersion}, {}, fds);
    return hello_sent_;
  }

  bool send_listeners() {
    for (auto held = held_.lower_bound(next_to_send_); held != held_.end(); ++held) {
      const std::array<int, 2> fds = {held->second.listener.get(), held->second.record.get()};
      const KeeperHeader header = {.type = KeeperMessage::kListener, .id = held->first};
      if (!send(daemon_.get(), header, {}, fds)) return false;
      next_to_send_ = held->first + 1;
    }
    return true;
  }

  bool send_ready() {
    if (!ready_sent_) ready_sent_ = send(daemon_.get(), {.type = KeeperMessage::kReady}, {}, {});
    return ready_sent_;
  }

  bool send_refusals() {
    while (!refusals_.empty()) {
      if (!send(daemon_.get(), {.type = KeeperMessage::kRefused}, refusals_.front(), {}))
        return false;
      refusals_.pop();
    }
    return true;
  }

  // False where the socket has no room now.
  static bool send(int socket, KeeperHeader header, std::string_view text,
                   std::span<const int> fds) {
    header.length = static_cast<std::uint32_t>(text.size());
    // iovec has no const form; sendmsg(2) only reads.
    const std::array<struct iovec, 2> parts = {{
        {.iov_base = &header, .iov_len = sizeof(header)},
        {.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()},
    }};
    return send_message(socket, parts, fds);
  }

  // Until the next thing that happens by time alone; -1 where there is none.
  int next_timeout_ms() const {
    std::optional<Clock::time_point> next = send_again_at_;
    const auto consider = [&next](Clock::time_point time) {
      next = next ? std::min(*next, time) : time;
    };
    for (const auto& [id, peer] : peers_) {
      if (peer.deadline) consider(*peer.deadline);
    }
    if (!runtimes_.open && has_room_for_peer()) consider(runtimes_.closed_until);
    if (!daemons_.open) consider(daemons_.closed_until);
    if (!next) return -1;
    const auto left = std::chrono::ceil<milliseconds>(*next - Clock::now()).count();
    return static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX));
  }

  RuntimeDirectory directory_;
  UniqueFd signals_;
  Door runtimes_;
  Door daemons_;
  Poller poller_;
  DescriptorStore store_;

  std::map<std::uint64_t, Peer> peers_;
  std::map<std::uint64_t, Held> held_;
  std::uint64_t next_id_ = microseconds_since_boot();
  Refusals refusals_;

  std::map<std::uint64_t, Kept> kept_;

  UniqueFd daemon_;
  std::uint64_t next_kept_ = 0;
  bool kept_sent_ = false;
  bool hello_sent_ = false;
  std::uint64_t next_to_send_ = 0;  // listeners below this number the daemon has got
  bool ready_sent_ = false;
  bool awaiting_room_ = false;                      // epoll is asked for EPOLLOUT
  std::optional<Clock::time_point> send_again_at_;  // the kernel was short of something

  bool end_when_idle_ = false;
  bool ending_ = false;
  bool handed_over_ = false;
};

struct Arguments {
  std::string runtime_directory;
  int listening = -1;
};

std::optional<Arguments> parse_arguments(std::span<char*> words) {
  if (words.size() != 3 && words.size() != 5) return std::nullopt;
  if (std::string_view(words[1]) != "--runtime-dir" || words[2][0] != '/') return std::nullopt;
  Arguments arguments{.runtime_directory = words[2]};
  if (words.size() == 3) return arguments;
  const std::string_view number = words[4];
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), arguments.listening);
  const bool whole = error == std::errc() && end == number.data() + number.size();
  if (std::string_view(words[3]) != "--listening-socket" || !whole || arguments.listening < 3)
    return std::nullopt;
  return arguments;
}

// The listening socket: given by the daemon, or among what systemd kept.
UniqueFd listening_socket(int given, std::vector<DescriptorStore::Entry>& stored) {
  if (given >= 0) {
    ::fcntl(given, F_SETFD, FD_CLOEXEC);
    return UniqueFd(given);
  }
  const auto found = std::ranges::find(stored, kListenerSocketName, &DescriptorStore::Entry::name);
  return found == stored.end() ? UniqueFd() : std::move(found->fd);
}

}  // namespace
}  // namespace sockswitch

int main(int argc, char** argv) {
  using sockswitch::DescriptorStore;
  const auto arguments =
      sockswitch::parse_arguments(std::span(argv, static_cast<std::size_t>(argc)));
  if (!arguments) {
    std::fprintf(
        stderr,
        "usage: sockswitch-keeper --runtime-dir ABSOLUTE_PATH [--listening-socket DESCRIPTOR]\n"
        "Keeps the seccomp listeners of containers while the sockswitch daemon restarts.\n"
        "The descriptor, an inherited one, is the listening socket of a keeper that has ended.\n");
    return sockswitch::kUsageStatus;
  }
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  ::prctl(PR_SET_NAME, "sockswitch-keep");  // the kernel keeps 15 characters
  try {
    std::vector<DescriptorStore::Entry> stored = DescriptorStore::inherited();
    sockswitch::UniqueFd listening = sockswitch::listening_socket(arguments->listening, stored);
    sockswitch::Keeper keeper(arguments->runtime_directory, std::move(listening),
                              std::move(stored));
    keeper.run();
    if (keeper.lost() > 0) {
      std::fprintf(stderr,
                   "sockswitch-keeper: ends while it holds %zu listeners: trapped calls in these "
                   "containers fail\n",
                   keeper.lost());
    }
    return keeper.handed_over() ? sockswitch::kReplacedStatus : 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sockswitch-keeper: %s\n", error.what());
    return 1;
  }
}
