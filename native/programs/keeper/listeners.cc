#include "programs/keeper/listeners.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <ctime>
#include <string_view>
#include <utility>

#include "base/errno_error.h"
#include "kernel/listener_record.h"

namespace sockswitch::keeper {
namespace {

// What ids begin with: see keeper_protocol.h.
std::uint64_t microseconds_since_boot() {
  struct timespec now = {};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1'000;
}

// No process has the filter any more.
bool has_ended(int listener) {
  struct pollfd request = {.fd = listener, .events = 0, .revents = 0};
  return ::poll(&request, 1, 0) > 0 && (request.revents & POLLHUP) != 0;
}

}  // namespace

bool is_seccomp_listener(int fd) {
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  std::array<char, 64> target = {};
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  return length > 0 && std::string_view(target.data(), static_cast<std::size_t>(length)) ==
                           "anon_inode:seccomp notify";
}

Listeners::Listeners(Poller& poller, const DescriptorStore& store, Refusals& refusals)
    : poller_(poller), store_(store), refusals_(refusals), next_id_(microseconds_since_boot()) {}

void Listeners::hold_new(UniqueFd listener, std::string state) {
  Waiting waiting{.listener = std::move(listener), .state = std::move(state)};
  if (hold_waiting(waiting)) return;
  waiting_.push_back(std::move(waiting));
  if (!retry_at_) retry_at_ = Clock::now() + kRetryTime;
}

// False where that is to be tried again; nothing has changed then.
bool Listeners::hold_waiting(Waiting& waiting) {
  try {
    UniqueFd record = make_record(waiting.state);
    const std::array<int, 2> fds = {waiting.listener.get(), record.get()};
    hold(next_id_, waiting.listener, std::move(record));
    store_.add(std::to_string(next_id_++), fds);
    return true;
  } catch (const ErrnoError& error) {
    // Once a listener, not with each attempt.
    if (waiting_.empty())
      refusals_.add(std::string("nothing: a listener waits for its record: ") + error.what());
    return false;
  }
}

void Listeners::tick() {
  if (!retry_at_ || Clock::now() < *retry_at_) return;
  std::erase_if(waiting_, [this](Waiting& waiting) {
    return has_ended(waiting.listener.get()) || hold_waiting(waiting);
  });
  retry_at_.reset();
  if (!waiting_.empty()) retry_at_ = Clock::now() + kRetryTime;
}

// Ids of other keepers lie below ours.
bool Listeners::hold_old(std::uint64_t id, UniqueFd listener, UniqueFd record) {
  if (!is_seccomp_listener(listener.get()) || id >= next_id_) return false;
  if (held_.contains(id)) return true;
  const std::array<int, 2> fds = {listener.get(), record.get()};
  hold(id, listener, std::move(record));
  store_.add(std::to_string(id), fds);
  return true;
}

// Takes the listener, except where it throws.
void Listeners::hold(std::uint64_t id, UniqueFd& listener, UniqueFd record) {
  poller_.add(listener.get(), 0, tag(Source::kHeld, id));
  held_.emplace(id, Held{std::move(listener), std::move(record)});
}

void Listeners::take_back(std::vector<DescriptorStore::Entry> stored) {
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
      hold(id, held.listener, std::move(held.record));
    } else if (name != kListenerSocketName) {
      store_.remove(name);
    }
  }
}

void Listeners::release(std::uint64_t id) {
  const auto found = held_.find(id);
  if (found == held_.end()) return;
  poller_.remove(found->second.listener.get());
  held_.erase(found);
  store_.remove(std::to_string(id));
}

}  // namespace sockswitch::keeper
