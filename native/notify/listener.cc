// Theory of operation.
//
// The thread blocks in SECCOMP_IOCTL_NOTIF_RECV; with synchronous wake-up (Linux 6.6) caller and thread
// hand one CPU to each other, which is what makes a connection cheap. A notification is handled start to
// end before the next one is received; no handler ever waits for the network. Containers cannot slow
// each other down beyond what the scheduler allows: each listener has a thread of its own.
//
//   running   ->  ended     RECV says that nobody is left (6.11), or hang_up() (older kernels: POLLHUP)
//   running   ->  stopping  the destructor; pending notifications stay pending, for the keeper's duplicate
//
// RECV is left by a signal with an empty handler, sent again until the thread has noticed.
#include "notify/listener.h"

#include <pthread.h>
#include <signal.h>

#include <cerrno>
#include <chrono>
#include <exception>

#include "kernel/errno_error.h"

namespace sockswitch {
namespace {

// After this many failed look-ups of the container's network the listener only continues calls.
constexpr int kMaxFailedLookups = 8;

int wake_signal() { return SIGRTMIN + 6; }

void install_wake_signal() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(wake_signal(), &action, nullptr);
  });
}

}  // namespace

OptionBaselines read_baselines(int fresh_v4, int fresh_v6) {
  OptionBaselines baselines;
  if (fresh_v4 >= 0) baselines.v4.emplace(fresh_v4, AF_INET);
  if (fresh_v6 >= 0) baselines.v6.emplace(fresh_v6, AF_INET6);
  return baselines;
}

std::shared_ptr<const ContainerNetwork> ContainerState::network(NetworkViews& views, pid_t pid) {
  std::lock_guard lock(mutex_);
  if (!network_) {
    auto view = views.of_process(pid);
    auto fresh = read_baselines(view->fresh_socket(AF_INET), view->fresh_socket(AF_INET6));
    network_ = std::make_shared<ContainerNetwork>(ContainerNetwork{view, std::move(fresh)});
  }
  return network_;
}

std::shared_ptr<const ContainerNetwork> ContainerState::network() const {
  std::lock_guard lock(mutex_);
  return network_;
}

Listener::Listener(std::uint64_t number, UniqueFd fd, pid_t pid,
                   std::shared_ptr<ContainerState> container, std::shared_ptr<const Policy> policy,
                   NetworkViews& views, const Host& host, Sink sink)
    : number_(number),
      notify_(std::move(fd)),
      pid_(pid),
      container_(std::move(container)),
      views_(views),
      host_(host),
      sink_(std::move(sink)),
      policy_(std::move(policy)) {
  install_wake_signal();
  notify_.enable_sync_wake_up();
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "ssw-listener");
}

Listener::~Listener() {
  stopping_ = true;
  while (!interrupted()) {
  }
  thread_.join();
}

bool Listener::hang_up() {
  hung_up_ = true;
  return interrupted();
}

bool Listener::interrupted() {
  if (done_) return true;
  ::pthread_kill(thread_.native_handle(), wake_signal());
  constexpr struct timespec kPause{0, 200'000};
  ::nanosleep(&kPause, nullptr);
  return done_;
}

void Listener::set_policy(std::shared_ptr<const Policy> policy) {
  std::lock_guard lock(policy_mutex_);
  policy_ = std::move(policy);
}

std::shared_ptr<const Policy> Listener::policy() const {
  std::lock_guard lock(policy_mutex_);
  return policy_;
}

void Listener::run() {
  if (pid_ != 0) network(pid_);  // before the first call has to wait for it
  abi::SeccompNotif notification{};
  bool over = false;
  while (!stopping_ && !over) {
    switch (notify_.receive(notification)) {
      case Receive::kNotification:
        handle(notification);
        break;
      case Receive::kRetry:
        over = hung_up_;
        break;
      case Receive::kEnd:
        over = true;
        break;
    }
  }
  if (!stopping_) sink_({ListenerEvent::Type::kClosed, number_, Outcome::kCount, {}});
  done_ = true;
}

// Empty when the network cannot be looked up: the calls are then continued, and a later one tries again.
std::shared_ptr<const ContainerNetwork> Listener::network(pid_t caller) {
  if (auto known = container_->network()) return known;
  if (failed_lookups_ >= kMaxFailedLookups) return {};
  try {
    return container_->network(views_, caller);
  } catch (const ErrnoError& error) {
    ++failed_lookups_;
    sink_({ListenerEvent::Type::kFailed, number_, Outcome::kInternal, error.what()});
    return {};
  }
}

void Listener::handle(const abi::SeccompNotif& notification) {
  std::string detail;
  Outcome outcome = Outcome::kInternal;
  auto container = network(static_cast<pid_t>(notification.pid));
  auto policy = this->policy();
  if (!container) {
    notify_.let_continue(notification.id);
  } else {
    Context context{notify_,    host_,   callers_,          interrupted_,
                    *container, *policy, epoll_generation_, detail};
    try {
      outcome = dispatch(context, notification);
    } catch (const ErrnoError& error) {
      bool gone = error.error() == ESRCH || error.error() == ENOENT;
      outcome = gone ? Outcome::kCallerGone : Outcome::kInternal;
      detail = error.what();
      notify_.let_continue(notification.id);
    } catch (const std::exception& error) {
      detail = error.what();
      notify_.let_continue(notification.id);
    }
  }
  if (!counters_.count(outcome)) return;
  OutcomeKind kind = info(outcome).kind;
  if (kind == OutcomeKind::kFallback || kind == OutcomeKind::kRefused) {
    sink_({ListenerEvent::Type::kFirstOutcome, number_, outcome, detail});
  }
}

Outcome Listener::dispatch(Context& context, const abi::SeccompNotif& notification) {
  CallArguments arguments = decode(notification);
  switch (arguments.call) {
    case Call::kConnect:
      return handle_connect(context, notification, arguments);
    case Call::kBind:
    case Call::kListen:
      return handle_bind_or_listen(context, notification, arguments);
    case Call::kEpollCreate:
      ++epoll_generation_;  // the set comes to be when the call continues: look again after that
      return pass(context, notification.id, Outcome::kHousekeeping);
    case Call::kOther:
      break;
  }
  return pass(context, notification.id, Outcome::kHousekeeping);
}

}  // namespace sockswitch
