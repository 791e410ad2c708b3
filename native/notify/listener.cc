// Theory of operation.
//
// The thread blocks in SECCOMP_IOCTL_NOTIF_RECV; with synchronous wake-up (Linux 6.6) caller and
// thread hand one CPU to each other, which is what makes a connection cheap. A notification is
// handled start to end before the next one is received. No handler waits for the network, except
// for the first proof of a neighbour's way: 20 ms at most (publish/neighbours.cc). Containers
// cannot slow each other down beyond what the scheduler allows: each listener has a thread of its
// own.
//
//   running -> ended      RECV says that nobody is left (Linux 6.11), or hang_up() (before, by
//                         POLLHUP)
//   running -> stopping   the destructor: pending notifications stay pending, for the keeper's
//                         duplicate
//
// A daemon that is killed in the middle of a call leaves that call in the listener's record
// (notify/live_record.h), and the next one's listener thread begins with it.
//
// The thread has a descriptor table of its own. Descriptors that it fetches and makes are private
// to it: a container cannot use up the daemon's, system calls on them are cheaper (no reference
// counting while one thread has the table), and any number is free to be borrowed
// (switch/epoll_set.h). What lives in the process's common table is reached through the control
// thread (kernel/descriptor_table.h). Nothing in this thread may touch a descriptor of the common
// table: the number would mean another file.
//
// RECV is left by a signal with an empty handler, sent again until the thread has noticed.
#include "notify/listener.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>

#include "base/errno_error.h"
#include "kernel/descriptor_table.h"
#include "kernel/socket_label.h"
#include "notify/handlers.h"

namespace sockswitch {
namespace {

// After a failed look-up of the container's network.
constexpr std::chrono::seconds kLookupPause{1};

// An OCI runtime's work between handing over the listener and the end of the container's start.
constexpr int kStartMs = 50;

// After a call that came while another one was handled.
constexpr int kBusyCalls = 8;

// More than Interrupted remembers anything for.
constexpr int kRestartMs = 1100;

int wake_signal() { return SIGRTMIN + 6; }

void install_wake_signal() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action{};
    action.sa_handler = [](int) {};
    ::sigaction(wake_signal(), &action, nullptr);
  });
}

// Calls that the kernel must not execute with whatever their descriptor number means by then: where
// it cannot be told what they are about, they fail.
bool never_continued(Call call) { return call == Call::kListen || call == Call::kIoctl; }

}  // namespace

Listener::Listener(std::uint64_t number, UniqueFd fd, UniqueFd record, pid_t pid,
                   const std::optional<NetnsIdentity>& netns,
                   std::shared_ptr<ContainerState> container, std::shared_ptr<const Policy> policy,
                   NetworkViews& views, const Host& host, Sink sink)
    : number_(number),
      record_(std::move(record)),
      notify_(std::move(fd), record_->in_hand),
      pid_(pid),
      container_(std::move(container)),
      views_(views),
      host_(host),
      sink_(std::move(sink)),
      policy_(std::move(policy)) {
  remember_netns(netns);
  install_wake_signal();
  notify_.enable_sync_wake_up();
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "ssw-listener");
}

// Which namespace is the container's is settled before any of its calls is handled, and kept with
// the record: a later daemon finds the processes elsewhere, perhaps.
void Listener::remember_netns(const std::optional<NetnsIdentity>& netns) {
  NetnsIdentity& known = record_->netns;
  if (netns) known = *netns;
  if (known != NetnsIdentity{} || pid_ == 0) return;
  try {
    known = Netns::of_process(pid_).identity();
  } catch (const ErrnoError&) {
    known = {};  // it has ended: a caller is asked, then
  }
}

Listener::~Listener() {
  while (!stop()) {
  }
  thread_.join();
}

bool Listener::stop() {
  stopping_ = true;
  return kick();
}

bool Listener::hang_up() {
  hung_up_ = true;
  return kick();
}

bool Listener::kick() {
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
  // From here on this thread has a table of its own, which holds the listener and nothing else.
  if (leave_common_table(notify_.get())) {
    const SocketLabel label(policy()->socket_label);
    if (!label.obstacle().empty()) {
      report(ListenerEvent::Type::kUnlabelled, Outcome::kInternal, label.obstacle());
    }
    SocketGuard guard(host_.guard, host_.control, host_.network);
    Session session{
        .notify = NotifyFd(UniqueFd(notify_.get()), record_->in_hand),
        .ports = PortPrivilege(host_.helper),
        .guard = guard,
        .names = ThreadNames(host_.names, host_.control),
        .pool = SocketPool(guard, host_.network, host_.fresh),
        .options = OptionMark(record_.marks().rare_options),
    };
    serve(session);
  } else {
    report(ListenerEvent::Type::kFailed, Outcome::kInternal, "close_range (Linux 5.9)");
    continue_all();
  }
  if (!stopping_) report(ListenerEvent::Type::kClosed, Outcome::kInternal, {});
  done_ = true;
}

// The least that can be done for the container: its calls go on as if there were no filter.
void Listener::continue_all() {
  const abi::SeccompNotif& call = notify_.in_hand().call;
  auto go_on = [&] {
    // For the next daemon, which may be able to switch.
    if (decode(call).call == Call::kRestrictSelf) {
      mark_restricted(record_.marks().restriction, static_cast<pid_t>(call.pid));
    }
    notify_.let_continue(call.id);
  };
  if (call.id != 0) go_on();
  while (!stopping_ && !hung_up_) {
    Receive received = notify_.receive();
    if (received == Receive::kEnd) return;
    if (received == Receive::kNotification) go_on();
  }
}

// Looks the container's network up before the first call has to wait for it; not while the
// container is being started, which takes the CPUs, and never for one that ends at once.
void Listener::prepare(Session& session) {
  struct pollfd first{.fd = session.notify.get(), .events = POLLIN};
  std::string ignored;
  if (pid_ != 0 && ::poll(&first, 1, kStartMs) == 0) network(session, pid_, ignored);
}

// A call that was interrupted has left something for its repetition, and its caller may have been
// killed: it is not kept until whenever the next call comes.
void Listener::wait_for_restart(Session& session) {
  struct pollfd next{.fd = session.notify.get(), .events = POLLIN};
  if (::poll(&next, 1, kRestartMs) == 0) session.interrupted.expire();
}

void Listener::serve(Session& session) {
  resume(session);
  prepare(session);
  while (!stopping_) {
    if (!session.interrupted.is_empty()) wait_for_restart(session);
    switch (session.notify.receive()) {
      case Receive::kNotification:
        handle(session, session.notify.in_hand().call, false);
        if (session.pool.wants_more()) make_ahead(session);
        break;
      case Receive::kRetry:
        if (hung_up_) return;
        break;
      case Receive::kEnd:
        return;
    }
  }
}

// Sockets for the next connects, if nobody waits for an answer. Where somebody does, somebody is
// likely to wait next time, too.
void Listener::make_ahead(Session& session) {
  if (session.busy > 0) {
    --session.busy;
    return;
  }
  struct pollfd next{.fd = session.notify.get(), .events = POLLIN};
  const auto* container = container_->network();
  if (!container) return;
  if (::poll(&next, 1, 0) == 0) {
    session.pool.refill(container->fresh);
  } else {
    session.busy = kBusyCalls;
  }
}

// A daemon that was killed may have left one call half-way: received, so that the kernel gives it
// to nobody again, and not answered. What had been decided is answered now; else it is handled as
// if it had just come, because nothing about it is remembered anywhere but in the kernel.
void Listener::resume(Session& session) {
  const CallInHand left = session.notify.in_hand();
  if (left.call.id == 0 || !session.notify.valid(left.call.id)) return;
  if (left.answer.id == left.call.id) {
    session.notify.send(left.answer);
  } else {
    handle(session, left.call, left.begun == left.call.id);
  }
}

void Listener::report(ListenerEvent::Type type, Outcome outcome, const std::string& detail) {
  host_.control.post(
      [sink = sink_, event = ListenerEvent{type, number_, outcome, detail}] { sink(event); });
}

// Null, and why, when the network cannot be looked up: nothing is switched then, and a call a
// second later tries again.
const ContainerNetwork* Listener::network(Session& session, pid_t caller, std::string& detail) {
  if (const auto* known = container_->network()) {
    if (!session.options.joined()) session.options.join(known->mark);
    if (!session.relay_knows) introduce_to_relay(session, known->view);
    return known;
  }
  auto now = std::chrono::steady_clock::now();
  if (now < session.next_lookup) {
    detail = session.lookup_problem;
    return nullptr;
  }
  try {
    std::optional<NetnsIdentity> wanted;
    if (record_->netns != NetnsIdentity{}) wanted = record_->netns;
    host_.control.run([&] {
      record_->netns =
          container_->network(views_, host_.marks, wanted, {pid_, caller}).view->identity();
    });
    return network(session, caller, detail);
  } catch (const std::exception& error) {
    session.next_lookup = now + kLookupPause;
    session.lookup_problem = detail = error.what();
  }
  return container_->network();
}

void Listener::introduce_to_relay(Session& session, const std::shared_ptr<NetworkView>& view) {
  session.relay_knows = true;
  auto policy = this->policy();
  for (const auto& publication : policy->published) {
    publication->listen_unseen = policy->listen_unseen;
    publication->host_names = policy->host_names;
    try {
      host_.relay.attach(publication->id, view);
    } catch (const ErrnoError& error) {
      report(ListenerEvent::Type::kFirstOutcome, Outcome::kInternal, error.what());
    }
  }
}

// `resumed`: another daemon may have done what cannot be done twice (CallInHand::begun).
void Listener::handle(Session& session, const abi::SeccompNotif& notification, bool resumed) {
  const auto since = std::chrono::steady_clock::now();
  static const ContainerNetwork kUnknown;
  std::string detail;
  Outcome outcome = Outcome::kInternal;
  CallArguments arguments = decode(notification);
  const auto* container = network(session, static_cast<pid_t>(notification.pid), detail);
  auto policy = this->policy();
  session.interrupted.expire();
  const auto tid = static_cast<pid_t>(notification.pid);
  session.epoll_calls.end(tid);
  session.option_calls.end(tid);
  Context context{session.notify,
                  host_,
                  session.callers,
                  session.interrupted,
                  record_->bound,
                  session.addresses,
                  session.ports,
                  session.guard,
                  session.pool,
                  session.names,
                  session.epoll_reading,
                  session.epoll_calls,
                  session.option_calls,
                  session.options,
                  session.reports,
                  container ? *container : kUnknown,
                  container_->nested(),
                  *policy,
                  record_.marks().restriction,
                  detail};
  auto give_up = [&] {
    if (never_continued(arguments.call)) {
      session.notify.fail(notification.id, ENOBUFS);
    } else {
      session.notify.let_continue(notification.id);
    }
  };
  try {
    std::optional<Outcome> finished;
    if (resumed && arguments.call == Call::kConnect) {
      finished = resume_connect(context, notification, arguments);
    } else if (resumed && arguments.call == Call::kGetName) {
      finished = resume_get_name(context, notification, arguments);
    }
    outcome = finished ? *finished : dispatch(session, context, notification, arguments);
  } catch (const ErrnoError& error) {
    bool gone = error.error() == ESRCH || error.error() == ENOENT;
    outcome = gone ? Outcome::kCallerGone : Outcome::kInternal;
    detail = error.what();
    give_up();
  } catch (const std::exception& error) {
    detail = error.what();
    give_up();
  }
  if (arguments.call == Call::kConnect) {
    record_->latency.observe(std::chrono::steady_clock::now() - since);
  }
  count(outcome, detail);
}

void Listener::count(Outcome outcome, const std::string& detail) {
  if (!record_->counters.count(outcome)) return;
  OutcomeKind kind = info(outcome).kind;
  if (kind == OutcomeKind::kFallback) {
    report(ListenerEvent::Type::kFirstOutcome, outcome, detail);
  }
}

Outcome Listener::dispatch(Session& session, Context& context,
                           const abi::SeccompNotif& notification, const CallArguments& arguments) {
  if (arguments.unreadable && arguments.call != Call::kSetOption) {
    context.notify.fail(notification.id, EFAULT);
    return Outcome::kHousekeeping;
  }
  switch (arguments.call) {
    case Call::kConnect:
      if (!context.container.view)
        return continue_call(context, notification.id, Outcome::kUnknownWay);
      return handle_connect(context, notification, arguments);
    case Call::kBind:
      return handle_bind(context, notification, arguments);
    case Call::kListen:
      return handle_listen(context, notification, arguments);
    case Call::kIoctl:
      return handle_ioctl(context, notification, arguments);
    case Call::kEpollCreate:
      // The set comes to be when the call continues: whoever connects by then looks again.
      session.epoll_calls.begin(static_cast<pid_t>(notification.pid));
      return continue_call(context, notification.id, Outcome::kHousekeeping);
    case Call::kRestrictSelf:
      mark_restricted(record_.marks().restriction, static_cast<pid_t>(notification.pid));
      return continue_call(context, notification.id, Outcome::kHousekeeping);
    case Call::kSetOption:
      return handle_set_option(context, notification, arguments);
    case Call::kGetOption:
      return handle_get_option(context, notification, arguments);
    case Call::kGetName:
      return handle_get_name(context, notification, arguments);
    case Call::kOther:
      break;
  }
  return continue_call(context, notification.id, Outcome::kHousekeeping);
}

}  // namespace sockswitch
